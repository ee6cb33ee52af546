//! Deferred leads and what follows them, in every order.
//!
//! **Invariant:** a follow-up is refused only by a worker that has parked it, and then for ever.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::Harness;
use crate::harness::eventually::{eventually, holds, stays};
use crate::harness::track::{lead, somebody, with};

const NOBODY: &str = "The `clickId` property was not provided in the request, and no existing customer with the provided `customerExternalId` was found.";

fn deferred(click: &str, customer: &str) -> Value {
    with(lead(click, "Sign Up", customer), json!({"mode": "deferred"}))
}

fn follow_up(customer: &str, mode: &str) -> Value {
    json!({"clickId": "", "eventName": "Sign Up", "customerExternalId": customer, "mode": mode})
}

#[tokio::test]
async fn a_follow_up_takes_the_click_of_its_deferred_lead() {
    let house = Harness::start().await;
    for mode in ["async", "wait"] {
        let (click, customer) = (house.click().await, somebody());
        let first = house.track(&deferred(&click, &customer)).await.ok();
        assert_eq!(house.ended(first.lead_id().unwrap()).await.ending, "deferred");
        let answer = house.track(&follow_up(&customer, mode)).await.ok();
        assert_eq!(answer.body["click"]["id"], click.as_str());
        assert_eq!(answer.body["link"]["id"], house.link.shown());
        let row = house.ended(answer.lead_id().unwrap()).await;
        assert_eq!((row.ending.as_str(), row.follow_up, row.click_id), ("recorded", true, Some(click)));
    }
    assert_eq!(house.counted().await, 2);
    house.finish().await;
}

#[tokio::test]
async fn a_follow_up_sent_at_once_is_not_refused() {
    let house = Harness::start().await;
    for n in 0..20 {
        let (click, customer) = (house.click().await, somebody());
        house.track(&deferred(&click, &customer)).await.ok();
        let answer = house.track(&follow_up(&customer, if n % 2 == 0 { "async" } else { "wait" })).await.ok();
        assert_eq!(answer.body["click"]["id"], click.as_str());
        assert_eq!(house.ended(answer.lead_id().unwrap()).await.ending, "recorded");
    }
    house.finish().await;
}

#[tokio::test]
async fn a_follow_up_overtaking_its_deferred_lead_is_not_refused() {
    let mut house = Harness::without_worker_tuned(|config| {
        config.intake.resolve_timeout = Duration::from_secs(5);
        config.broker.confirm_deadline = Duration::from_secs(5);
        config.intake.wait_timeout = Duration::from_secs(6);
    })
    .await;
    let (click, customer) = (house.click().await, somebody());
    let first = house.track(&deferred(&click, &customer)).await.ok();
    let answer = house.track(&follow_up(&customer, "async")).await;
    assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true), "{}", answer.body);
    house.add_worker().await;
    assert_eq!(house.ended(first.lead_id().unwrap()).await.ending, "deferred");
    let row = house.ended(answer.lead_id().unwrap()).await;
    assert_eq!((row.ending.as_str(), row.click_id), ("recorded", Some(click)));
    let repeat = house.track(&follow_up(&customer, "async")).await.ended("duplicate");
    assert_eq!(repeat.lead_id(), answer.lead_id());
    house.finish().await;
}

#[tokio::test]
async fn a_lead_left_to_pile_up_is_taken_along_with_the_follow_up_that_somebody_waits_for() {
    let house = Harness::tuned(|config| {
        config.worker.gather = Duration::from_secs(60);
        config.worker.follow_up_wait = Duration::from_secs(310);
        config.intake.wait_timeout = Duration::from_secs(320);
        config.lifecycle.stop_budget = Duration::from_secs(340);
        config.worker.lost_after = Duration::from_secs(400);
    })
    .await;
    let after_a_pause = house.track(&lead(&house.click().await, "Sign Up", &somebody())).await.ok();
    assert_eq!(house.ended(after_a_pause.lead_id().unwrap()).await.ending, "recorded");
    let (click, customer) = (house.click().await, somebody());
    let left = house.track(&deferred(&click, &customer)).await.ok();
    stays(Duration::from_millis(500), "left to pile up", || async { house.count("leads").await == 1 }).await;
    let waiting = with(lead(&house.click().await, "Sign Up", &somebody()), json!({"mode": "wait"}));
    house.track(&waiting).await.ended("recorded");
    assert_eq!(house.count("leads").await, 2, "the wait queue is never left");
    let answer = house.track(&follow_up(&customer, "wait")).await.ended("recorded");
    assert_eq!(answer.body["click"]["id"], click.as_str());
    assert_eq!(house.ended(left.lead_id().unwrap()).await.ending, "deferred");
    house.finish().await;
}

/// Starts a worker that takes one message at a time; the customer's row is locked, so it keeps his deferred lead.
async fn keep_deferred(house: &mut Harness, click: &str, customer: &str) -> sqlx::Transaction<'static, sqlx::Postgres> {
    (house.config.worker.batch, house.config.worker.prefetch) = (1, 1);
    house.add_worker().await;
    let mut blocker = house.pool.begin().await.unwrap();
    sqlx::query("INSERT INTO customers (workspace_id, external_id, id, name) VALUES ($1, $2, $3, 'nobody yet')")
        .bind(house.workspace.id)
        .bind(customer)
        .bind(uuid::Uuid::now_v7())
        .execute(&mut *blocker)
        .await
        .unwrap();
    house.track(&deferred(click, customer)).await.ok();
    eventually("a worker with the deferred lead in its hands", || async {
        let in_hand = house.in_hand().await;
        holds(in_hand == 1, in_hand)
    })
    .await;
    blocker
}

#[tokio::test]
async fn a_follow_up_is_not_refused_while_another_worker_has_its_deferred_lead() {
    let mut house = Harness::without_worker_tuned(|config| {
        config.worker.follow_up_wait = Duration::from_millis(500);
        config.store.lock_timeout = Duration::from_secs(10);
    })
    .await;
    let (click, customer) = (house.click().await, somebody());
    let blocker = keep_deferred(&mut house, &click, &customer).await;
    house.add_worker().await;
    let free = async {
        let parked = || async { holds(house.count("parked_leads").await == 1, ()) };
        eventually("a parked follow-up", parked).await;
        stays(Duration::from_secs(3), "parked", || async { parked().await.is_ok() }).await;
        blocker.rollback().await.unwrap();
    };
    let body = follow_up(&customer, "wait");
    let (answer, ()) = futures_util::future::join(house.track(&body), free).await;
    assert_eq!(answer.ended("recorded").body["click"]["id"], click.as_str());
    house.finish().await;
}

#[tokio::test]
async fn a_follow_up_is_not_refused_before_a_worker_that_vanished_counts_as_dead() {
    let mut house = Harness::without_worker_tuned(|config| {
        config.worker.follow_up_wait = Duration::from_millis(500);
        config.broker.heartbeat = Duration::from_secs(3);
        config.worker.lost_after = Duration::from_secs(10);
    })
    .await;
    house.add_worker().await;
    house.kill_worker().await;
    let killed = Instant::now();
    house.add_worker().await;
    house.track(&follow_up(&somebody(), "wait")).await.refused(400, "bad_request", NOBODY);
    assert!(killed.elapsed() > Duration::from_secs(5), "refused after {:?}", killed.elapsed());
    house.stop_worker().await;
    let counting = "SELECT count(*) FROM horizons WHERE counts_until > now()";
    let counting: i64 = sqlx::query_scalar(counting).fetch_one(&house.pool).await.unwrap();
    assert_eq!(counting, 0, "a worker that stopped in good order holds up nobody");
    house.finish().await;
}

#[tokio::test]
async fn a_follow_up_that_came_first_is_parked_and_recorded_with_its_customers_click() {
    let house = Harness::start().await;
    let (click, customer) = (house.click().await, somebody());
    let early = house.message(&follow_up(&customer, "async"));
    house.publish(std::slice::from_ref(&early)).await;
    eventually("a parked follow-up", || async { holds(house.count("parked_leads").await == 1, ()) }).await;
    assert!(house.row(early.id).await.is_none());
    house.track(&deferred(&click, &customer)).await.ok();
    let row = house.ended(early.id).await;
    assert_eq!((row.ending.as_str(), row.click_id), ("recorded", Some(click)));
    assert_eq!(house.count("parked_leads").await, 0);
    house.finish().await;
}

#[tokio::test]
async fn a_follow_up_of_nobody_is_refused_after_the_wait_and_never_recorded() {
    let house = Harness::start().await;
    let customer = somebody();
    for mode in ["async", "wait"] {
        let asked = Instant::now();
        let answer = house.track(&follow_up(&customer, mode)).await.refused(400, "bad_request", NOBODY);
        assert!(asked.elapsed() >= house.config.worker.follow_up_wait, "refused after {:?}", asked.elapsed());
        let row = house.row(answer.lead_id().unwrap()).await.expect("refused by its ending");
        assert_eq!((row.ending.as_str(), row.reason.as_deref()), ("rejected", Some("customer_not_found")));
    }
    let click = house.click().await;
    let late = house.track(&deferred(&click, &customer)).await.ok();
    assert_eq!(house.ended(late.lead_id().unwrap()).await.ending, "deferred");
    stays(Duration::from_millis(500), "what was refused", || async {
        house.rows(&customer).await.iter().filter(|row| row.ending == "recorded").count() == 0
    })
    .await;
    let again = house.track(&follow_up(&customer, "wait")).await.ended("recorded");
    assert_eq!(again.body["click"]["id"], click.as_str());
    house.finish().await;
}

#[tokio::test]
async fn a_follow_up_nobody_waits_for_is_rejected_when_its_time_is_up() {
    let house = Harness::tuned(|config| config.worker.park_max = Duration::from_secs(3)).await;
    let message = house.message(&follow_up(&somebody(), "async"));
    house.publish(std::slice::from_ref(&message)).await;
    let row = house.ended(message.id).await;
    assert_eq!((row.ending.as_str(), row.reason.as_deref()), ("rejected", Some("customer_not_found")));
    house.publish_again(&message).await;
    eventually("an empty queue", || async { holds(house.queues.total().await == 0, ()) }).await;
    assert_eq!(house.count("parked_leads").await, 0, "an ended lead is never parked again");
    house.finish().await;
}

#[tokio::test]
async fn deferring_twice_keeps_the_first_click_and_one_customer() {
    let house = Harness::start().await;
    let (first, second, customer) = (house.click().await, house.click().await, somebody());
    for click in [&first, &second, &first] {
        let answer = house.track(&deferred(click, &customer)).await.ok();
        assert_eq!(house.ended(answer.lead_id().unwrap()).await.ending, "deferred");
    }
    assert_eq!(house.customer_click(&customer).await, Some(Some(first.clone())));
    let answer = house.track(&follow_up(&customer, "wait")).await.ended("recorded");
    assert_eq!(answer.body["click"]["id"], first.as_str());
    assert_eq!(house.track(&deferred(&second, &customer)).await.ok().body["link"]["id"], house.link.shown());
    assert_eq!(house.counted().await, 1);
    house.finish().await;
}

#[tokio::test]
async fn a_second_click_records_another_event_and_leaves_the_customer_alone() {
    let house = Harness::start().await;
    let (first, second, customer) = (house.click().await, house.click().await, somebody());
    let body = with(lead(&first, "a", &customer), json!({"mode": "wait", "customerName": "Ada"}));
    house.track(&body).await.ended("recorded");
    let other = with(body, json!({"clickId": second, "eventName": "b", "customerName": "Bob"}));
    let answer = house.track(&other).await.ended("recorded");
    assert_eq!(answer.body["click"]["id"], second.as_str());
    assert_eq!(answer.body["customer"]["name"], "Ada", "a stored customer is never overwritten");
    assert_eq!(house.customer_click(&customer).await, Some(Some(first)));
    house.finish().await;
}

#[tokio::test]
async fn a_customer_without_a_click_takes_the_first_that_comes() {
    let house = Harness::start().await;
    let (click, customer) = (house.click().await, somebody());
    sqlx::query("INSERT INTO customers (workspace_id, external_id, id, name) VALUES ($1, $2, $3, 'Ada')")
        .bind(house.workspace.id)
        .bind(&customer)
        .bind(uuid::Uuid::now_v7())
        .execute(&house.pool)
        .await
        .unwrap();
    house.track(&with(lead(&click, "a", &customer), json!({"mode": "wait"}))).await.ended("recorded");
    assert_eq!(house.customer_click(&customer).await, Some(Some(click)));
    house.finish().await;
}
