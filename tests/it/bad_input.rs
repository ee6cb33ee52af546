//! What no honest client sends: it costs a 4xx and leaves nothing behind.
//!
//! **Invariant:** every answer is the contract's JSON, also where a framework would have answered itself.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::Harness;
use crate::harness::client::Call;
use crate::harness::eventually::{eventually, holds};
use crate::harness::given;
use crate::harness::track::{lead, somebody, with};

async fn nothing_left(house: &Harness) {
    assert_eq!(house.queues.total().await, 0, "bad input was published");
    for table in ["leads", "customers", "parked_leads", "buried_leads"] {
        assert_eq!(house.count(table).await, 0, "bad input left a row in {table}");
    }
}

fn nested(depth: usize) -> Vec<u8> {
    let inner = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    format!(r#"{{"clickId":"x","eventName":"e","customerExternalId":"c","metadata":{inner}}}"#).into_bytes()
}

#[tokio::test]
async fn bytes_that_are_no_honest_json_are_refused() {
    let house = Harness::start().await;
    let click = house.click().await;
    let body = |metadata: &str| {
        format!(r#"{{"clickId":"{click}","eventName":"e","customerExternalId":"c","metadata":{metadata}}}"#)
            .into_bytes()
    };
    let mut rows: Vec<(Vec<u8>, u16)> = vec![
        (nested(500), 400),
        (nested(9_000), 400),
        (body(r#"{"a":1,"a":2}"#), 400),
        (body(r#"{"a":"\ud800"}"#), 400),
        (body(r#"{"a":"\udc00\ud800"}"#), 400),
        (body(r#"{"a":"\u0000"}"#), 422),
        (body(r#"{"a":NaN}"#), 400),
        (body("{\"a\":\"\u{1}\"}"), 400),
        (body(&json!({"a": "x".repeat(10_001)}).to_string()), 422),
        (body(&format!(r#"{{"a":{}}}"#, "9".repeat(400))), 400),
    ];
    let mut invalid = body(r#"{"a":"?"}"#);
    let at = invalid.iter().position(|byte| *byte == b'?').unwrap();
    invalid[at] = 0xc0;
    rows.push((invalid, 400));
    for (bytes, status) in rows {
        let call = Call::new("POST", "/track/lead").raw(&bytes).key(&house.workspace.secret);
        let answer = house.call(call).await;
        let start = String::from_utf8_lossy(&bytes[..bytes.len().min(120)]).into_owned();
        assert_eq!(answer.status, status, "{start}: {}", answer.body);
        assert!(answer.body["error"]["code"].is_string(), "{start}: {}", answer.body);
    }
    nothing_left(&house).await;
    house.finish().await;
}

#[tokio::test]
async fn ten_mebibytes_are_refused_without_being_read() {
    let house = Harness::start().await;
    let body = lead(&house.click().await, "e", "c");
    for size in [70_000, 10 * 1024 * 1024] {
        let bytes = with(body.clone(), json!({"customerAvatar": "x".repeat(size)})).to_string();
        let call = Call::new("POST", "/track/lead").raw(bytes.as_bytes()).key(&house.workspace.secret);
        // A server may close while the client still writes; then there is no answer to read.
        if let Some(answer) = call.try_send(house.client(), house.apis[0].address).await {
            assert_eq!(answer.status, 413, "{}", answer.body);
            assert!(answer.body["error"]["code"].is_string(), "{}", answer.body);
        } else {
            assert!(size > 1_000_000, "no answer to {size} bytes");
        }
    }
    nothing_left(&house).await;
    house.finish().await;
}

#[tokio::test]
async fn unknown_routes_and_methods_are_answered_in_json() {
    let house = Harness::without_worker().await;
    for (method, path, status) in [
        ("GET", "/", 404),
        ("GET", "/nothing", 404),
        ("POST", "/api/nothing", 404),
        ("GET", "/track/lead", 405),
        ("DELETE", "/track/lead", 405),
        ("PUT", "/api/track/click", 405),
        ("GET", "/track/lead/client", 405),
    ] {
        let answer = house.call(Call::new(method, path).key(&house.workspace.secret)).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        assert!(answer.body["error"]["message"].is_string(), "{method} {path}: {}", answer.body);
        assert!(answer.header("content-type").unwrap_or_default().starts_with("application/json"));
    }
    house.finish().await;
}

#[tokio::test]
async fn largest_honest_values_are_taken_and_stored_whole() {
    let house = Harness::start().await;
    let fill = 10_000 - json!({"a": ""}).to_string().len();
    let customer = "ü".repeat(255);
    let body = json!({
        "clickId": house.click().await, "eventName": "é".repeat(255), "customerExternalId": customer, "customerName": "😀".repeat(50),
        "customerEmail": format!("{}@example.com", "a".repeat(88)), "customerAvatar": "x".repeat(8_000), "mode": "wait", "eventQuantity": 100,
        "metadata": {"a": "x".repeat(fill)},
    });
    house.track(&body).await.ended("recorded");
    let row = house.rows(&customer).await.remove(0);
    assert_eq!(row.metadata.map(|text| text.len()), Some(10_000));
    assert_eq!((row.quantity, house.counted().await), (100, 100));
    house.finish().await;
}

#[tokio::test]
async fn metadata_keeps_order_and_spelling() {
    let house = Harness::start().await;
    for metadata in ["{}", r#"{"z":1,"a":{"y":[],"b":null}}"#, r#"{"n":1e2,"big":12345678901234567890,"s":"é\n\"\\"}"#]
    {
        let customer = somebody();
        let value: Value = serde_json::from_str(metadata).unwrap();
        let body = with(lead(&house.click().await, "e", &customer), json!({"metadata": value, "mode": "wait"}));
        house.track(&body).await.ended("recorded");
        let stored = house.rows(&customer).await.remove(0).metadata.unwrap();
        assert_eq!(serde_json::from_str::<Value>(&stored).unwrap(), value);
    }
    house.finish().await;
}

#[tokio::test]
async fn a_revoked_key_is_refused_within_two_seconds() {
    let house = Harness::start().await;
    let key = given::key(&house.pool, house.workspace.id, "secret", "ll_").await;
    let body = lead(&house.click().await, "e", &somebody());
    let call = || Call::post("/track/lead", &body).key(&key);
    house.track_as(&house.workspace, 0, call(), &body).await.ok();
    sqlx::query("UPDATE api_keys SET revoked_at = now() WHERE hint LIKE '%' || $1")
        .bind(&key[key.len() - 4..])
        .execute(&house.pool)
        .await
        .unwrap();
    let (revoked, limit) = (Instant::now(), house.config.store.key_ttl + Duration::from_secs(2));
    eventually("the revoked key refused", || async {
        let asked = revoked.elapsed();
        let answer = house.track_as(&house.workspace, 0, call(), &body).await;
        assert!(answer.status == 401 || asked < limit, "{} when asked {asked:?} later", answer.status);
        holds(answer.status == 401, answer.status)
    })
    .await;
    house.finish().await;
}
