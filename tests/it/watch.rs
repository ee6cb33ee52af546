//! What processes say to those who watch them, beside what their tests look at themselves.
//!
//! **Invariant:** a number is compared with what the test has put there, never with another number of the page.

use chrono::Utc;
use serde_json::json;

use crate::harness::Harness;
use crate::harness::eventually::{eventually, holds};
use crate::harness::track::{lead, somebody, with};

async fn shows(house: &Harness, line: &str, expected: impl Fn(f64) -> bool) {
    eventually(line, || async {
        let value = house.worker_metric(line).await;
        holds(value.is_some_and(&expected), value)
    })
    .await;
}

#[tokio::test]
async fn a_worker_says_since_when_the_oldest_lead_in_hand_is_under_way() {
    let house = Harness::start().await;
    let oldest = "leadline_oldest_lead_accepted_timestamp_seconds{lane=\"shards\"}";
    shows(&house, oldest, |since| since == 0.0).await;
    let mut lock = house.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE leads IN SHARE MODE").execute(&mut *lock).await.unwrap();
    let answer = house.track(&lead(&house.click().await, "Sign Up", &somebody())).await.ok();
    let now = Utc::now().timestamp() as f64;
    shows(&house, oldest, |since| since > now - 60.0 && since <= now).await;
    lock.rollback().await.unwrap();
    house.ended(answer.lead_id().unwrap()).await;
    shows(&house, oldest, |since| since == 0.0).await;
    shows(&house, "leadline_queue_wait_seconds_count{lane=\"shards\"}", |leads| leads == 1.0).await;
    shows(&house, "leadline_batch_bytes_count{lane=\"shards\"}", |batches| batches == 1.0).await;
    house.finish().await;
}

#[tokio::test]
async fn a_worker_says_what_lies_in_the_tables_and_who_consumes() {
    let mut house = Harness::start().await;
    let customer = somebody();
    let early = house.message(&json!({"clickId": "", "eventName": "Sign Up", "customerExternalId": customer}));
    house.publish(std::slice::from_ref(&early)).await;
    house.queues.publish_bytes("s00", b"nonsense", Some("nonsense"), None).await;
    eventually("one parked and one buried", || async {
        let rows = (house.count("parked_leads").await, house.count("buried_leads").await);
        holds(rows == (1, 1), rows)
    })
    .await;
    // Looks at once, and then every few seconds.
    house.add_worker().await;
    shows(&house, "leadline_parked_leads", |parked| parked == 1.0).await;
    let now = Utc::now().timestamp() as f64;
    shows(&house, "leadline_oldest_parked_timestamp_seconds", |since| since > now - 60.0 && since <= now + 1.0).await;
    shows(&house, "leadline_buried_leads{state=\"waiting\"}", |buried| buried == 1.0).await;
    shows(&house, "leadline_buried_leads{state=\"replayed\"}", |replayed| replayed == 0.0).await;
    shows(&house, "leadline_suspect_messages", |suspects| suspects == 0.0).await;
    shows(&house, "leadline_queue_consumers{queue=\"s00\"}", |consumers| consumers >= 1.0).await;
    shows(&house, "leadline_clock_skew_seconds", |seconds| seconds.abs() < 5.0).await;
    let version = env!("CARGO_PKG_VERSION");
    shows(&house, &format!("leadline_build_info{{role=\"worker\",version=\"{version}\"}}"), |one| one == 1.0).await;
    let most = (house.config.worker.lanes + house.config.worker.wait_lanes + 2) as f64;
    shows(&house, "leadline_pool_connections_max{pool=\"worker\"}", |connections| connections == most).await;
    let body = with(lead(&house.click().await, "Sign Up", &customer), json!({"mode": "deferred"}));
    house.track(&body).await.ok();
    assert_eq!(house.ended(early.id).await.ending, "recorded");
    house.announced.buried = 1;
    house.finish().await;
}
