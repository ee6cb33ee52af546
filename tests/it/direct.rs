//! Without a broker the API records straight into `PostgreSQL`, and goes back to the queue by itself.
//!
//! **Invariant:** the answers are those of the queue, and a message that arrives late changes nothing.

use std::time::Duration;

use futures_util::future::{join, join_all};
use leadline::config::Config;
use leadline::lead::id;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::Harness;
use crate::harness::client::Answer;
use crate::harness::eventually::{eventually, holds};
use crate::harness::track::{lead, somebody, with};

const OPEN: &str = "leadline_breaker_open";
const ENDED: &str = "leadline_direct_leads_total{result=\"ended\"}";

/// The deadline of the default configuration, where an outage of `RabbitMQ` has to be noticed.
fn alert(config: &mut Config) {
    config.broker.confirm_deadline = Duration::from_millis(750);
}

/// The same of both engines, where the answers are to come in time all the same.
fn alert_to_both(config: &mut Config) {
    alert(config);
    config.intake.resolve_timeout = Duration::from_secs(2);
    config.intake.wait_timeout = Duration::from_millis(2500);
    config.store.acquire_timeout = Duration::from_millis(500);
}

/// Sends leads until the breaker has closed, and until a `wait` is answered through the queue: the reply queue may open later.
async fn queue_again(house: &Harness, click: &str) {
    eventually("the breaker closes", || async {
        house.track(&lead(click, "back", &somebody())).await;
        let open = house.metric(OPEN).await;
        holds(open < 0.5, open)
    })
    .await;
    eventually("a wait goes through the queue", || async {
        let direct = house.metric(ENDED).await;
        let answer = house.track(&with(lead(click, "back", &somebody()), json!({"mode": "wait"}))).await;
        let now = house.metric(ENDED).await;
        // A worker that is not back yet answers nobody.
        holds(answer.ending() == Some("recorded") && (now - direct).abs() < 0.5, (answer, now))
    })
    .await;
}

#[tokio::test]
async fn every_mode_is_answered_and_recorded_without_a_broker() {
    let mut house = Harness::tuned(alert).await;
    house.announced.errors = vec![""];
    let click = house.click().await;
    house.track(&lead(&click, "before", "ann")).await.ok();
    house.rabbitmq.cut();
    house.known_away("rabbitmq").await;
    assert_eq!(house.readiness().await.0, 200, "either engine is enough to accept");
    for mode in ["async", "wait"] {
        let body = with(lead(&click, "Sign Up", &somebody()), json!({"mode": mode, "eventQuantity": 3}));
        let answer = house.track(&body).await.ended("recorded");
        assert_eq!(answer.body["click"]["id"], json!(click));
        assert_eq!(answer.body["link"]["id"], json!(id::show(id::LINK, house.link.id)));
        let row = house.ended(answer.lead_id().unwrap()).await;
        assert_eq!((row.ending.as_str(), row.quantity), ("recorded", 3));
        let repeat = house.track(&body).await.ended("duplicate");
        assert_eq!(repeat.lead_id(), answer.lead_id());
    }
    let customer = somebody();
    house
        .track(&with(lead(&click, "", &customer), json!({"mode": "deferred", "eventName": "x"})))
        .await
        .ended("deferred");
    for mode in ["async", "wait"] {
        let body = with(lead("", &format!("qualified {mode}"), &customer), json!({"mode": mode}));
        let answer = house.track(&body).await.ended("recorded");
        assert_eq!(answer.body["click"]["id"], json!(click), "the stored customer's click");
    }
    let batch: Vec<Value> = (0..60).map(|n| lead(&click, "Sign Up", &format!("c{}", n % 40))).collect();
    let answers: Vec<Answer> = join_all(batch.iter().map(|body| house.track(body))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert!(house.metric(OPEN).await > 0.5);
    // A repeat is answered without being recorded when what it repeats is there already: five leads before, and forty customers.
    let ended = house.metric(ENDED).await;
    assert!(ended >= 45.0, "{ended} recorded directly");
    house.rabbitmq.restore();
    queue_again(&house, &click).await;
    house.finish().await;
}

#[tokio::test]
async fn a_follow_up_that_only_the_queue_can_answer_is_a_503_without_a_broker() {
    let mut house = Harness::tuned(alert).await;
    house.announced.errors = vec![""];
    let click = house.click().await;
    house.rabbitmq.cut();
    house.known_away("rabbitmq").await;
    for mode in ["async", "wait"] {
        let body = with(lead("", "Sign Up", "nobody yet"), json!({"mode": mode}));
        let answer = house.track(&body).await;
        assert_eq!(answer.status, 503, "{}", answer.body);
        assert!(answer.header("retry-after").is_some());
    }
    assert!(house.rows("nobody yet").await.is_empty());
    assert_eq!(house.count("parked_leads").await, 0);
    house.rabbitmq.restore();
    queue_again(&house, &click).await;
    house.finish().await;
}

#[tokio::test]
async fn a_publish_that_was_never_confirmed_and_arrives_late_changes_nothing() {
    let mut house = Harness::tuned(alert).await;
    house.announced.errors = vec![""];
    let click = house.click().await;
    // Without an open reply queue a `wait` would not be published at all.
    queue_again(&house, &click).await;
    house.stop_worker().await;
    house.rabbitmq.blackhole();
    let bodies: Vec<Value> = ["async", "wait", "deferred"]
        .iter()
        .map(|mode| with(lead(&click, "Sign Up", &somebody()), json!({"mode": mode})))
        .collect();
    let answers = join_all(bodies.iter().map(|body| house.track(body))).await;
    for (answer, ending) in answers.iter().zip(["recorded", "recorded", "deferred"]) {
        assert_eq!((answer.status, answer.ending()), (200, Some(ending)), "{}", answer.body);
    }
    house.rabbitmq.restore();
    eventually("the late messages", || async {
        let queued = house.queues.total().await;
        // Two at least: one shard's leads travel in one message, or the second waits for the word on the first until it is given up.
        holds(queued > 1, queued)
    })
    .await;
    house.add_worker().await;
    queue_again(&house, &click).await;
    for answer in answers {
        assert_eq!(house.ended(answer.lead_id().unwrap()).await.ending, answer.ending().unwrap());
    }
    house.finish().await;
}

#[tokio::test]
async fn a_full_queue_is_a_503_and_never_the_direct_path() {
    let mut house = Harness::without_worker_tuned(|config| config.broker.queue_max_length = 5).await;
    let click = house.click().await;
    let mut refused = Vec::new();
    for _ in 0..60 {
        let answer = house.track(&lead(&click, "Sign Up", "one shard")).await;
        assert!([200, 503].contains(&answer.status));
        refused.extend((answer.status == 503).then_some(answer));
    }
    assert!(refused.len() > 20, "only {} of 60 refused", refused.len());
    assert!(refused.iter().all(|answer| answer.header("retry-after").is_some()));
    let (opened, direct) = (house.metric(OPEN).await, house.metric(ENDED).await);
    assert!(opened < 0.5 && direct < 0.5, "{opened} {direct}");
    assert!(house.metric("leadline_publishes_total{result=\"nacked\"}").await > 20.0);
    house.add_worker().await;
    house.finish().await;
}

#[tokio::test]
async fn without_either_engine_the_answer_is_a_503_in_time_and_both_come_back() {
    let mut house = Harness::tuned(alert_to_both).await;
    house.announced.errors = vec![""];
    let click = house.click().await;
    house.track(&lead(&click, "before", &somebody())).await.ok();
    house.postgres.cut();
    house.rabbitmq.cut();
    house.known_away("rabbitmq").await;
    eventually("not ready", || async {
        let (status, body) = house.readiness().await;
        holds(status == 503, body)
    })
    .await;
    for mode in ["async", "wait", "deferred"] {
        let asked = Instant::now();
        let answer = house.track(&with(lead(&click, "Sign Up", &somebody()), json!({"mode": mode}))).await;
        assert_eq!(answer.status, 503, "{}", answer.body);
        assert!(answer.header("retry-after").is_some());
        assert!(asked.elapsed() < Duration::from_secs(5), "took {:?}", asked.elapsed());
    }
    house.postgres.restore();
    eventually("recorded directly, with one engine back", || async {
        let answer = house.track(&lead(&click, "Sign Up", &somebody())).await;
        holds(answer.ending() == Some("recorded"), answer)
    })
    .await;
    house.rabbitmq.restore();
    queue_again(&house, &click).await;
    house.finish().await;
}

#[tokio::test]
async fn with_postgres_away_a_broker_that_is_slow_still_gets_its_leads() {
    let mut house = Harness::tuned(|config| {
        alert_to_both(config);
        config.intake.wait_timeout = Duration::from_secs(8);
        config.lifecycle.stop_budget = Duration::from_secs(20);
    })
    .await;
    house.announced.errors = vec![""];
    let click = house.click().await;
    house.track(&lead(&click, "before", &somebody())).await.ok();
    house.postgres.cut();
    house.known_away("postgres").await;
    house.rabbitmq.blackhole();
    let four = || {
        let bodies: [Value; 4] = std::array::from_fn(|n| {
            with(lead(&click, "Sign Up", &somebody()), json!({"mode": if n == 0 { "deferred" } else { "async" }}))
        });
        let house = &house;
        async move { join_all(bodies.iter().map(|body| house.track(body))).await }
    };
    let behind_the_breaker = async {
        eventually("the breaker opens", || async {
            let open = house.metric(OPEN).await;
            holds(open > 0.5, open)
        })
        .await;
        let confirms = async {
            eventually("nothing can be recorded directly", || async {
                let failed = house.metric("leadline_direct_leads_total{result=\"failed\"}").await;
                holds(failed > 7.5, failed)
            })
            .await;
            house.rabbitmq.restore();
        };
        join(four(), confirms).await.0
    };
    let (before, behind) = join(four(), behind_the_breaker).await;
    let answers: Vec<Answer> = before.into_iter().chain(behind).collect();
    for answer in &answers {
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    house.postgres.restore();
    for answer in &answers {
        house.ended(answer.lead_id().unwrap()).await;
    }
    queue_again(&house, &click).await;
    house.finish().await;
}

#[tokio::test]
async fn a_row_that_postgres_refuses_is_buried_by_the_direct_path_too() {
    let mut house = Harness::tuned(alert).await;
    house.announced.errors = vec![""];
    let click = house.click().await;
    sqlx::query("ALTER TABLE leads ADD CONSTRAINT planted CHECK (event_name <> 'poison')")
        .execute(&house.pool)
        .await
        .unwrap();
    house.rabbitmq.cut();
    house.known_away("rabbitmq").await;
    let bodies: Vec<Value> =
        (0..20).map(|n| lead(&click, if n % 10 == 3 { "poison" } else { "Sign Up" }, &somebody())).collect();
    let answers = join_all(bodies.iter().map(|body| house.track(body))).await;
    for (n, answer) in answers.iter().enumerate() {
        let ending = if n % 10 == 3 { "buried" } else { "recorded" };
        assert_eq!((answer.status, answer.ending()), (200, Some(ending)), "{n}: {}", answer.body);
    }
    house.announced.buried = 2;
    house.rabbitmq.restore();
    queue_again(&house, &click).await;
    house.finish().await;
}
