//! Waiting for the commit: what happens when nobody commits, and behind a long queue.
//!
//! **Invariant:** a 503 says when to come back, and the lead behind it ends once.

use std::time::Duration;

use futures_util::future::join3;
use leadline::app::Role;
use serde_json::json;
use tokio::time::Instant;

use crate::harness::Harness;
use crate::harness::eventually::{eventually, holds, stays, within};
use crate::harness::track::{lead, somebody, with};

#[tokio::test]
async fn a_wait_nobody_answers_is_a_503_and_the_lead_is_recorded_later() {
    let mut house = Harness::without_worker_tuned(|config| config.intake.wait_timeout = Duration::from_secs(9)).await;
    let customer = somebody();
    let body = with(lead(&house.click().await, "Sign Up", &customer), json!({"mode": "wait"}));
    let asked = Instant::now();
    let answer = house.track(&body).await;
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(asked.elapsed() >= Duration::from_millis(8900), "gave up after {:?}", asked.elapsed());
    assert_eq!(answer.body["error"]["code"], "service_unavailable");
    let retry: u64 = answer.header("retry-after").expect("Retry-After").parse().expect("seconds");
    assert!((1..60).contains(&retry));
    assert!(house.rows(&customer).await.is_empty());
    house.add_worker().await;
    assert_eq!(house.ended(answer.lead_id().unwrap()).await.ending, "recorded");
    let repeat = house.track(&body).await.ended("duplicate");
    assert_eq!(repeat.lead_id(), answer.lead_id());
    assert_eq!(house.counted().await, 1);
    house.finish().await;
}

#[tokio::test]
async fn a_worker_just_started_records_nothing_before_it_can_say_so() {
    let mut house = Harness::without_worker().await;
    let customer = somebody();
    let body = with(lead(&house.click().await, "Sign Up", &customer), json!({"mode": "wait"}));
    // `confirm.select`, the last that the connection for replies waits for; and the lane, which waits for it only for a second,
    // waits for the worker's first report before.
    house.rabbitmq.withhold("\0U\0\n");
    let mut unheard = house.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE horizons IN EXCLUSIVE MODE").execute(&mut *unheard).await.unwrap();
    let slow = async {
        eventually("the worker could consume", || async {
            let serves =
                house.log.all().into_iter().filter(|line| line.text.contains("rabbitmq serves purpose=\"consume\""));
            holds(serves.count() == 2, ())
        })
        .await;
        unheard.rollback().await.unwrap();
        eventually("the worker is heard of", || async {
            let heard = house.count("horizons").await;
            holds(heard == 1, heard)
        })
        .await;
        let nothing = async || house.rows(&customer).await.is_empty();
        stays(Duration::from_millis(200), "nothing recorded", nothing).await;
        house.rabbitmq.restore();
    };
    let (answer, worker, ()) = join3(house.track(&body), house.run(Role::Worker), slow).await;
    answer.ended("recorded");
    house.workers.push(worker);
    house.finish().await;
}

#[tokio::test]
async fn a_wait_overtakes_a_backlog_of_fifty_thousand() {
    let mut house = Harness::without_worker().await;
    let click = house.click().await;
    let messages: Vec<_> = (0..50_000).map(|_| house.resolved(&lead(&click, "Sign Up", &somebody()))).collect();
    house.queues.publish_all(&messages).await;
    house.diary.note_message(&messages[49_999]);
    house.add_worker().await;
    let mut overtaking = 0;
    for _ in 0..10 {
        let body = with(lead(&click, "Sign Up", &somebody()), json!({"mode": "wait"}));
        house.track(&body).await.ended("recorded");
        if house.queues.total().await > 0 {
            overtaking += 1;
        }
    }
    assert!(overtaking > 0, "the backlog was gone before any of the ten waits was answered");
    within(Duration::from_secs(180), "the backlog drained", || async {
        let queued = house.queues.total().await;
        holds(queued == 0, queued)
    })
    .await;
    within(Duration::from_secs(20), "everything counted", || async {
        let counted = house.counted().await;
        holds(counted == 50_010, counted)
    })
    .await;
    for message in &messages[..49_999] {
        house.diary.note_message(message);
    }
    house.finish().await;
}

#[tokio::test]
async fn a_duplicate_decided_by_the_worker_is_answered_as_one() {
    let mut house = Harness::without_worker().await;
    let customer = somebody();
    let body = with(lead(&house.click().await, "Sign Up", &customer), json!({"mode": "wait"}));
    let recorded = house.resolved(&body);
    house.publish(std::slice::from_ref(&recorded)).await;
    house.publish_again(&recorded).await;
    house.add_worker().await;
    house.ended(recorded.id).await;
    let answer = house.track(&body).await.ended("duplicate");
    assert_eq!(answer.body["link"], json!(null));
    house.finish().await;
}
