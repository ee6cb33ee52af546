//! What each mode answers, and what stands in the tables for it.
//!
//! **Invariant:** answers are compared whole: a key too many is as wrong as a key too few.

use serde_json::{Value, json};

use crate::harness::Harness;
use crate::harness::client::Call;
use crate::harness::track::{lead, somebody, with};

fn expected(house: &Harness, click: &str, customer: &Value) -> Value {
    let link = &house.link;
    json!({
        "click": {"id": click},
        "link": {
            "id": link.shown(), "domain": link.domain, "key": link.key,
            "shortLink": format!("https://{}/{}", link.domain, link.key), "url": link.url,
            "partnerId": null, "programId": null, "tenantId": null, "externalId": null,
        },
        "customer": customer,
    })
}

fn full(click: &str, customer: &str, mode: &str) -> Value {
    json!({
        "clickId": click, "eventName": "Sign Up", "customerExternalId": customer, "customerName": "Ada",
        "customerEmail": "ada@example.com", "customerAvatar": "https://example.com/ada.png", "mode": mode,
        "eventQuantity": 3, "metadata": {"plan": "pro", "b": [1, null], "a": {"z": 1, "y": 2}},
    })
}

fn ada(customer: &str) -> Value {
    json!({
        "name": "Ada", "email": "ada@example.com", "avatar": "https://example.com/ada.png", "externalId": customer,
    })
}

#[tokio::test]
async fn an_async_lead_is_answered_and_recorded() {
    let house = Harness::start().await;
    let (click, customer) = (house.click().await, somebody());
    let answer = house.track(&full(&click, &customer, "async")).await.ok();
    assert_eq!(answer.body, expected(&house, &click, &ada(&customer)));
    let row = house.ended(answer.lead_id().unwrap()).await;
    assert_eq!((row.ending.as_str(), row.mode.as_str(), row.quantity), ("recorded", "async", 3));
    assert_eq!((row.event_key.as_str(), row.event_name.as_str()), ("sign-up", "Sign Up"));
    assert_eq!(row.metadata.as_deref(), Some(r#"{"plan":"pro","b":[1,null],"a":{"z":1,"y":2}}"#));
    assert_eq!((row.click_id.as_deref(), row.link_id), (Some(click.as_str()), Some(house.link.id)));
    assert_eq!(house.counted().await, 3);
    house.finish().await;
}

#[tokio::test]
async fn a_wait_lead_stands_in_postgres_when_it_is_answered() {
    let house = Harness::start().await;
    for _ in 0..20 {
        let (click, customer) = (house.click().await, somebody());
        let answer = house.track(&full(&click, &customer, "wait")).await.ended("recorded");
        let row = house.row(answer.lead_id().unwrap()).await.expect("committed before it was answered");
        assert_eq!((row.ending.as_str(), row.mode.as_str()), ("recorded", "wait"));
        assert_eq!(answer.body, expected(&house, &click, &ada(&customer)));
    }
    assert_eq!(house.counted().await, 60);
    house.finish().await;
}

#[tokio::test]
async fn a_deferred_lead_stores_customer_and_click_and_counts_nothing() {
    let house = Harness::start().await;
    let (click, customer) = (house.click().await, somebody());
    let answer = house.track(&full(&click, &customer, "deferred")).await.ok();
    assert_eq!(answer.body, expected(&house, &click, &ada(&customer)));
    let row = house.ended(answer.lead_id().unwrap()).await;
    assert_eq!((row.ending.as_str(), row.mode.as_str()), ("deferred", "deferred"));
    assert_eq!(house.customer_click(&customer).await, Some(Some(click)));
    assert_eq!(house.counted().await, 0);
    house.finish().await;
}

#[tokio::test]
async fn a_customer_without_a_name_gets_the_same_name_everywhere() {
    let house = Harness::start().await;
    let customer = somebody();
    let name = leadline::lead::names::stable_name(house.workspace.id, &customer);
    let body = lead(&house.click().await, "a", &customer);
    let stored = json!({"name": name, "email": null, "avatar": null, "externalId": customer});
    assert_eq!(house.track(&with(body.clone(), json!({"mode": "wait"}))).await.ok().body["customer"], stored);
    assert_eq!(house.track(&with(body, json!({"eventName": "b"}))).await.ok().body["customer"], stored);
    let named: String = sqlx::query_scalar("SELECT name FROM customers").fetch_one(&house.pool).await.unwrap();
    assert_eq!(named, name);
    house.finish().await;
}

#[tokio::test]
async fn aliases_trimming_and_the_api_prefix_lead_to_the_same_lead() {
    let house = Harness::start().await;
    for (path, field) in
        [("/track/lead", "externalId"), ("/api/track/lead", "customerId"), ("/api/track/lead", "customerExternalId")]
    {
        let (click, customer) = (house.click().await, somebody());
        let body = json!({"clickId": format!(" {click} "), "eventName": " Sign Up ", field: format!("\t{customer} "), "mode": "wait"});
        let call = Call::post(path, &body).key(&house.workspace.secret);
        house.track_as(&house.workspace, 0, call, &body).await.ended("recorded");
        let rows = house.rows(&customer).await;
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].event_name.as_str(), rows[0].click_id.as_deref()), ("Sign Up", Some(click.as_str())));
    }
    house.finish().await;
}

#[tokio::test]
async fn a_page_tracks_a_lead_with_its_publishable_key() {
    let house = Harness::start().await;
    let (click, customer) = (house.click().await, somebody());
    let body = with(lead(&click, "Sign Up", &customer), json!({"mode": "wait"}));
    let call = Call::post("/track/lead/client", &body)
        .key(&house.workspace.publishable)
        .header("origin", "https://shop.example");
    let answer = house.track_as(&house.workspace, 0, call, &body).await.ended("recorded");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(house.row(answer.lead_id().unwrap()).await.unwrap().ending, "recorded");
    let preflight = house.call(Call::new("OPTIONS", "/track/lead/client")).await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-methods")), (204, Some("POST, OPTIONS")));
    assert_eq!(preflight.header("access-control-allow-headers"), Some("Content-Type, Authorization"));
    house.finish().await;
}
