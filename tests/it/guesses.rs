//! Waited-for leads that are not looked up: their click and link are in memory, and their customer is taken to be new.
//!
//! **Invariant:** the answer is what it would be after a look-up, but for the lead id of a repeat of what another process took.

use std::time::Duration;

use futures_util::future::{join, join_all};
use leadline::app::Role;
use leadline::config::Config;
use serde_json::{Value, json};

use crate::harness::Harness;
use crate::harness::client::Call;
use crate::harness::eventually::{eventually, holds};
use crate::harness::track::{lead, somebody, with};

const LOOKED_UP: &str = "leadline_resolve_batch_requests_sum";
const NEW: &str = "leadline_guesses_total{customer=\"new\"}";
const KNOWN: &str = "leadline_guesses_total{customer=\"known\"}";
const UNDER_WAY: &str = "leadline_in_flight_requests";

/// What is believed of a link is believed for the whole test.
fn lasting(config: &mut Config) {
    config.intake.link_ttl = Duration::from_secs(600);
}

/// Two APIs: what the second one sees, the first does not remember.
async fn two_doors() -> Harness {
    let mut house = Harness::tuned(lasting).await;
    house.add_api().await;
    house
}

/// A click on the test's link, both in the memory of the first API, and the lead that brought them there, which has ended.
async fn remembered(house: &Harness) -> String {
    let click = house.click().await;
    let sent = house.track(&lead(&click, "before", &somebody())).await.ok();
    house.ended(sent.lead_id().unwrap()).await;
    click
}

fn waited(click: &str, customer: &str, more: Value) -> Value {
    with(with(lead(click, "Sign Up", customer), json!({"mode": "wait"})), more)
}

fn stored(customer: &str) -> Value {
    json!({"name": "Ada", "email": "ada@example.com", "avatar": null, "externalId": customer})
}

fn ada(customer: &str, click: &str) -> Value {
    let ada = json!({"customerName": "Ada", "customerEmail": "ada@example.com"});
    with(lead(click, "Visit", customer), ada)
}

async fn known(house: &Harness, customer: &str) {
    eventually("the customer", || async { holds(house.customer_click(customer).await.is_some(), ()) }).await;
}

/// So many look-ups; so many guesses that were right, and that were wrong.
async fn looks(house: &Harness) -> [f64; 3] {
    [house.metric(LOOKED_UP).await, house.metric(NEW).await, house.metric(KNOWN).await]
}

fn more([looks, new, known]: [f64; 3], by: [f64; 3]) -> [f64; 3] {
    [looks + by[0], new + by[1], known + by[2]]
}

#[tokio::test]
async fn somebody_new_is_never_looked_up_and_answered_as_described() {
    let house = Harness::tuned(lasting).await;
    let click = remembered(&house).await;
    let before = looks(&house).await;
    for (more, name) in [(json!({"customerName": "Bo"}), Some("Bo")), (json!({}), None)] {
        let customer = somebody();
        let answer = house.track(&waited(&click, &customer, more)).await.ended("recorded");
        assert_eq!(answer.body["link"]["key"], json!(house.link.key));
        assert_eq!(answer.body["customer"]["externalId"], json!(customer));
        let shown = answer.body["customer"]["name"].as_str().expect("a name");
        assert!(name.is_none_or(|name| name == shown), "{shown}");
        let stored = sqlx::query_scalar("SELECT name FROM customers WHERE external_id = $1").bind(&customer);
        let stored: String = stored.fetch_one(&house.pool).await.unwrap();
        assert_eq!(stored, shown, "what is stored is what is shown");
    }
    assert_eq!(looks(&house).await, more(before, [0.0, 2.0, 0.0]));
    house.finish().await;
}

#[tokio::test]
async fn somebody_known_to_others_is_shown_as_stored() {
    let house = two_doors().await;
    let (click, customer) = (remembered(&house).await, somebody());
    house.track_at(1, &ada(&customer, &click)).await.ok();
    known(&house, &customer).await;
    let before = looks(&house).await;
    let other = json!({"customerName": "Not Ada", "customerAvatar": "https://example.com/a.png"});
    let answer = house.track(&waited(&click, &customer, other)).await.ended("recorded");
    assert_eq!(answer.body["customer"], stored(&customer));
    assert_eq!(answer.body["link"]["key"], json!(house.link.key));
    assert_eq!(looks(&house).await, more(before, [1.0, 0.0, 1.0]), "looked up afterwards");
    house.finish().await;
}

#[tokio::test]
async fn of_one_batch_only_who_is_new_goes_without() {
    let mut house = two_doors().await;
    let (click, customers) = (remembered(&house).await, [somebody(), somebody(), somebody()]);
    house.track_at(1, &ada(&customers[0], &click)).await.ok();
    known(&house, &customers[0]).await;
    sqlx::query(
        "INSERT INTO customers (workspace_id, external_id, id, name) VALUES ($1, $2, gen_random_uuid(), 'Eve')",
    )
    .bind(house.workspace.id)
    .bind(&customers[1])
    .execute(&house.pool)
    .await
    .unwrap();
    house.workers.pop().unwrap().stop().await;
    let before = looks(&house).await;
    let bodies = customers.each_ref().map(|customer| waited(&click, customer, json!({"customerName": "Cy"})));
    let worker = async {
        eventually("three under way, the first of them queued", || async {
            let (under_way, depth) = (house.metric(UNDER_WAY).await, house.queues.depth("wait").await);
            holds(under_way == 3.0 && depth.is_some_and(|depth| depth > 0), (under_way, depth))
        })
        .await;
        house.run(Role::Worker).await
    };
    let (answers, worker) = join(join_all(bodies.iter().map(|body| house.track(body))), worker).await;
    house.workers.push(worker);
    let names = answers.into_iter().map(|answer| answer.ended("recorded").body["customer"]["name"].clone());
    assert_eq!(names.collect::<Vec<_>>(), [json!("Ada"), json!("Eve"), json!("Cy")]);
    assert_eq!(house.customer_click(&customers[1]).await, Some(Some(click)), "who had no click has this one");
    assert_eq!(looks(&house).await, more(before, [2.0, 1.0, 2.0]));
    house.finish().await;
}

#[tokio::test]
async fn without_a_broker_the_answers_are_the_same() {
    let mut house = two_doors().await;
    house.announced.errors = vec![""];
    let (click, customer) = (remembered(&house).await, somebody());
    house.track_at(1, &ada(&customer, &click)).await.ok();
    known(&house, &customer).await;
    house.rabbitmq.cut();
    house.known_away("rabbitmq").await;
    let before = looks(&house).await;
    let bo = json!({"customerName": "Bo"});
    let new = house.track(&waited(&click, &somebody(), bo.clone())).await.ended("recorded");
    assert_eq!(new.body["customer"]["name"], "Bo");
    let answer = house.track(&waited(&click, &customer, bo)).await.ended("recorded");
    assert_eq!(answer.body["customer"], stored(&customer));
    assert_eq!(looks(&house).await, more(before, [1.0, 1.0, 1.0]));
    house.rabbitmq.restore();
    house.finish().await;
}

#[tokio::test]
async fn a_repeat_is_looked_up_and_names_the_lead_it_repeats() {
    let house = Harness::tuned(lasting).await;
    let click = remembered(&house).await;
    for mode in ["wait", "async", "deferred"] {
        let customer = somebody();
        let body = waited(&click, &customer, json!({}));
        let sent = house.track(&with(body.clone(), json!({"mode": mode}))).await.ok();
        house.ended(sent.lead_id().unwrap()).await;
        let first = match mode {
            "deferred" => house.track(&body).await.ended("recorded"),
            _ => sent,
        };
        let before = looks(&house).await;
        for _ in 0..2 {
            let repeat = house.track(&body).await.ended("duplicate");
            assert_eq!(repeat.lead_id(), first.lead_id());
            assert_eq!(repeat.body["link"], Value::Null);
        }
        assert_eq!(looks(&house).await, more(before, [2.0, 0.0, 0.0]));
        assert_eq!(
            house.rows(&customer).await.len(),
            if mode == "deferred" { 2 } else { 1 },
            "the repeats left no row"
        );
    }
    house.finish().await;
}

#[tokio::test]
async fn a_repeat_at_another_process_is_a_duplicate_of_its_own_and_shows_who_is_stored() {
    let house = two_doors().await;
    let (click, customer) = (remembered(&house).await, somebody());
    let other = with(ada(&customer, &click), json!({"mode": "wait", "eventName": "Sign Up"}));
    house.track_at(1, &other).await.ended("recorded");
    let before = looks(&house).await;
    let repeat = house.track(&waited(&click, &customer, json!({"customerName": "Not Ada"}))).await.ended("duplicate");
    assert_eq!(looks(&house).await, more(before, [1.0, 0.0, 1.0]));
    assert_eq!((&repeat.body["link"], &repeat.body["customer"]), (&Value::Null, &stored(&customer)));
    assert_eq!(repeat.body["click"]["id"], json!(click));
    assert_eq!(house.row(repeat.lead_id().unwrap()).await.expect("its own row").ending, "duplicate");
    assert_eq!(house.counted().await, 2, "one before, and one");
    house.finish().await;
}

#[tokio::test]
async fn a_link_that_must_not_be_tracked_on_is_not_guessed() {
    let house = Harness::tuned(lasting).await;
    sqlx::query("UPDATE links SET disabled_at = now()").execute(&house.pool).await.unwrap();
    let click = house.click().await;
    for _ in 0..2 {
        let before = looks(&house).await;
        let refused = house.track(&waited(&click, &somebody(), json!({}))).await;
        assert_eq!(refused.status, 404, "{}", refused.body);
        assert_eq!(looks(&house).await, more(before, [1.0, 0.0, 0.0]));
    }
    house.finish().await;
}

#[tokio::test]
async fn a_click_that_was_told_here_needs_no_look() {
    let house = Harness::tuned(lasting).await;
    remembered(&house).await;
    let visit = json!({"domain": house.link.domain, "key": house.link.key});
    let told = house.call(Call::post("/track/click", &visit)).await.ok();
    let click = told.body["clickId"].as_str().expect("a click").to_owned();
    let before = looks(&house).await;
    let answer = house.track(&waited(&click, &somebody(), json!({}))).await.ended("recorded");
    assert_eq!(looks(&house).await, more(before, [0.0, 1.0, 0.0]));
    let row = house.row(answer.lead_id().unwrap()).await.unwrap();
    assert_eq!((row.click_id, row.link_id), (Some(click), Some(house.link.id)));
    house.finish().await;
}
