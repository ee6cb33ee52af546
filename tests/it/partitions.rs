//! The tables that grow may be partitioned: what deploy/scaling.md tells to type, done while leads keep coming.
//!
//! **Invariant:** what was recorded before is there after it, and is still recorded only once.

use serde_json::json;

use crate::harness::Harness;
use crate::harness::page::{Page, said};
use crate::harness::track::{lead, with};

#[tokio::test]
async fn leads_and_customers_are_spread_over_partitions_and_nothing_else_changes() {
    let house = Harness::start().await;
    let click = house.click().await;
    let waited = |event: &str, customer: &str| with(lead(&click, event, customer), json!({"mode": "wait"}));
    let follow_up = json!({"clickId": "", "eventName": "Sign Up", "customerExternalId": "dora", "mode": "wait"});
    house.track(&waited("Sign Up", "ann")).await.ended("recorded");
    house.track(&with(lead(&click, "Sign Up", "dora"), json!({"mode": "deferred"}))).await.ok();

    let page = Page::open("deploy/scaling.md");
    let typed = page.typed("partition", &[("DATABASE_URL", house.database.url.clone())]);
    tokio::task::spawn_blocking(|| said(typed)).await.unwrap().unwrap();
    for table in ["leads", "customers"] {
        let parts = "SELECT count(*) FROM pg_inherits WHERE inhparent = $1::regclass";
        let parts: i64 = sqlx::query_scalar(parts).bind(table).fetch_one(&house.pool).await.unwrap();
        assert_eq!(parts, 16, "{table}");
    }

    assert_eq!(house.rows("ann").await.len(), 1);
    house.track(&waited("Sign Up", "ann")).await.ended("duplicate");
    house.track(&waited("Trial", "ann")).await.ended("recorded");
    house.track(&waited("Sign Up", "bob")).await.ended("recorded");
    let answer = house.track(&follow_up).await.ended("recorded");
    assert_eq!(house.ended(answer.lead_id().unwrap()).await.click_id.as_deref(), Some(click.as_str()));
    assert_eq!(house.counted().await, 4);
    house.finish().await;
}
