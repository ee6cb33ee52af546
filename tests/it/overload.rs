//! More requests than may be under way: whoever has too many is turned away, and nobody else notices.
//!
//! **Invariant:** a request without a permit is told so after a while, and leaves nothing behind.

use std::time::Duration;

use futures_util::future::{join, join_all};
use serde_json::json;
use tokio::time::Instant;

use crate::harness::Harness;
use crate::harness::client::Call;
use crate::harness::eventually::{eventually, holds};
use crate::harness::given;
use crate::harness::track::{lead, somebody, with};

#[tokio::test]
async fn a_workspace_at_its_share_is_turned_away_and_the_others_are_served() {
    let mut house = Harness::without_worker_tuned(|config| {
        config.intake.max_in_flight = 6;
        config.intake.wait_timeout = Duration::from_secs(12);
    })
    .await;
    let other = given::workspace(&house.pool).await;
    let link = given::link(&house.pool, &other).await;
    let (click, customer) = (house.click().await, somebody());
    let bodies: Vec<_> = (0..2).map(|_| with(lead(&click, "Sign Up", &somebody()), json!({"mode": "wait"}))).collect();
    let meanwhile = async {
        eventually("two requests under way", || async {
            let under_way = house.metric("leadline_in_flight_requests").await;
            holds(under_way == 2.0, under_way)
        })
        .await;
        let asked = Instant::now();
        let refused = house.track(&lead(&click, "Sign Up", &customer)).await;
        assert_eq!((refused.status, refused.header("retry-after").is_some()), (503, true), "{}", refused.body);
        assert!(asked.elapsed() >= Duration::from_millis(500), "told after {:?}", asked.elapsed());
        let body = lead(&given::click(&house.pool, &link).await, "Sign Up", &somebody());
        let call = Call::post("/track/lead", &body).key(&other.secret);
        house.track_as(&other, 0, call, &body).await.ok();
    };
    let waits = join_all(bodies.iter().map(|body| house.track(body)));
    let (waited, ()) = join(waits, meanwhile).await;
    assert!(waited.iter().all(|answer| answer.status == 503), "nobody works yet");
    for (kind, expected) in [("no_permit", 1.0), ("no_verdict", 2.0)] {
        let count = house.metric(&format!("leadline_failures_total{{kind=\"{kind}\",room=\"intake\"}}")).await;
        assert!((count - expected).abs() < 0.5, "{kind}: {count}");
    }
    house.add_worker().await;
    for answer in waited {
        assert_eq!(house.ended(answer.lead_id().unwrap()).await.ending, "recorded");
    }
    assert!(house.rows(&customer).await.is_empty(), "what was turned away left a row");
    house.finish().await;
}
