//! Look-ups: who is asked about together, and who waits for company.
//!
//! **Invariant:** whoever is alone is looked up at once, however short ago the last one was.

use std::time::Duration;

use futures_util::future::{join, join3};
use serde_json::json;

use crate::harness::Harness;
use crate::harness::eventually::{eventually, holds, stays};
use crate::harness::track::{lead, somebody, with};

const STATEMENTS: &str = "leadline_resolve_batch_requests_count";
const LOOKED_UP: &str = "leadline_resolve_batch_requests_sum";
const UNDER_WAY: &str = "leadline_in_flight_requests";

#[tokio::test]
async fn leads_under_way_together_are_looked_up_together_and_one_alone_at_once() {
    let house = Harness::tuned(|config| {
        config.intake.gather = Duration::from_secs(50);
        config.intake.resolve_timeout = Duration::from_secs(60);
        config.intake.wait_timeout = Duration::from_secs(70);
        config.lifecycle.stop_budget = Duration::from_secs(90);
        config.store.lock_timeout = Duration::from_secs(10);
    })
    .await;
    let click = house.click().await;
    let new = || lead(&click, "Sign Up", &somebody());
    for n in 1..=3 {
        house.track(&new()).await.ok();
        assert_eq!(house.metric(STATEMENTS).await, f64::from(n));
    }
    // Their customers' rows are locked, so these two stay under way.
    let slow = [somebody(), somebody()];
    let mut blocker = house.pool.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO customers (workspace_id, external_id, id) SELECT $1, name, gen_random_uuid() FROM unnest($2::text[]) AS name",
    )
    .bind(house.workspace.id)
    .bind(slow.as_slice())
    .execute(&mut *blocker)
    .await
    .unwrap();
    // Of clicks in memory they would not be looked up.
    let clicks = [house.click().await, house.click().await];
    let waiting = [0, 1].map(|n| with(lead(&clicks[n], "Sign Up", &slow[n]), json!({"mode": "wait"})));
    let among_others = async {
        eventually("two under way and looked up", || async {
            let seen = (house.metric(UNDER_WAY).await, house.metric(LOOKED_UP).await);
            holds(seen == (2.0, 5.0), seen)
        })
        .await;
        let statements = house.metric(STATEMENTS).await;
        let (one, [two, three]) = (new(), [new(), new()]);
        let company = async {
            eventually("three under way", || async {
                let under_way = house.metric(UNDER_WAY).await;
                holds(under_way == 3.0, under_way)
            })
            .await;
            stays(Duration::from_millis(500), "not looked up", || async { house.metric(LOOKED_UP).await == 5.0 }).await;
            let (two, three) = join(house.track(&two), house.track(&three)).await;
            (two.ok(), three.ok())
        };
        let (one, _) = join(house.track(&one), company).await;
        one.ok();
        assert_eq!(house.metric(STATEMENTS).await, statements + 1.0);
        blocker.rollback().await.unwrap();
    };
    let (first, second, ()) = join3(house.track(&waiting[0]), house.track(&waiting[1]), among_others).await;
    first.ended("recorded");
    second.ended("recorded");
    house.finish().await;
}
