//! Messages that the broker counts as handed out and never sent.
//!
//! **Invariant:** they end without anybody restarting anything.

use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::json;

use crate::harness::Harness;
use crate::harness::eventually::{eventually, holds};
use crate::harness::track::{lead, somebody, with};
use crate::harness::withhold::Withhold;

#[tokio::test]
async fn what_the_broker_handed_to_nobody_is_recorded_after_a_while() {
    let mut house = Harness::without_worker_tuned(|config| config.worker.renew_after = Duration::from_secs(1)).await;
    let url = house.config.broker.url.expose_secret().to_owned();
    let broker = Withhold::before(&url).await;
    house.config.broker.url = broker.through(&url).into();
    house.add_worker().await;
    let click = house.click().await;
    for mode in ["async", "deferred"] {
        let before = broker.withheld();
        broker.set(true);
        let answer = house.track(&with(lead(&click, "Sign Up", &somebody()), json!({"mode": mode}))).await;
        assert_eq!(answer.status, 200);
        eventually("a delivery that nobody gets", || async { holds(broker.withheld() > before, ()) }).await;
        broker.set(false);
        let ending = if mode == "async" { "recorded" } else { "deferred" };
        assert_eq!(house.ended(answer.lead_id().unwrap()).await.ending, ending);
    }
    house.finish().await;
}
