//! Acknowledged after the commit, counted inside the transaction: shown by holding Postgres's own locks.
//!
//! **Invariant:** these tests fail for a build that acknowledges early or counts outside.

use std::time::Duration;

use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::harness::Harness;
use crate::harness::eventually::{eventually, holds, stays};
use crate::harness::track::{lead, somebody, with};

/// A connection of the test's own that holds a lock until it is closed.
async fn locked(house: &Harness, statement: &'static str) -> PgConnection {
    let mut connection = PgConnection::connect_with(&house.pool.connect_options()).await.unwrap();
    sqlx::query("BEGIN").execute(&mut connection).await.unwrap();
    sqlx::query(statement).execute(&mut connection).await.unwrap();
    connection
}

async fn somebody_waits_for_a_lock(house: &Harness) {
    eventually("a worker waiting for the lock", || async {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
        )
        .fetch_one(&house.pool)
        .await
        .unwrap();
        holds(waiting > 0, waiting)
    })
    .await;
}

#[tokio::test]
async fn a_worker_killed_before_its_commit_loses_nothing() {
    let mut house = Harness::start().await;
    let click = house.click().await;
    let lock = locked(&house, "LOCK TABLE leads IN SHARE MODE").await;
    let mut ids = Vec::new();
    for n in 0..10 {
        let body = lead(&click, "Sign Up", &somebody());
        let body = if n == 0 { with(body, json!({"mode": "deferred"})) } else { body };
        ids.push(house.track(&body).await.ok().lead_id().unwrap());
    }
    somebody_waits_for_a_lock(&house).await;
    house.kill_worker().await;
    sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'leadline-worker%' AND datname = current_database()")
        .execute(&house.pool)
        .await
        .unwrap();
    lock.close().await.unwrap();
    eventually("all ten back in their queues", || async {
        let queued = house.queues.total().await;
        holds(queued == 10, queued)
    })
    .await;
    assert_eq!(house.count("leads").await, 0);
    house.add_worker().await;
    for id in ids {
        house.ended(id).await;
    }
    assert_eq!(house.counted().await, 9);
    house.finish().await;
}

#[tokio::test]
async fn a_stopped_worker_finishes_what_it_was_handed() {
    // One lane: another one that is opening just then gives back what it was never told of.
    let mut house = Harness::without_worker_tuned(|config| (config.worker.batch, config.worker.lanes) = (64, 1)).await;
    let click = house.click().await;
    let messages: Vec<_> = (0..3000).map(|_| house.resolved(&lead(&click, "Sign Up", &somebody()))).collect();
    house.publish(&messages).await;
    house.add_worker().await;
    eventually("the first batch", || async {
        let rows = house.count("leads").await;
        holds(rows > 0, rows)
    })
    .await;
    house.stop_worker().await;
    house.add_worker().await;
    eventually("every lead", || async {
        let rows = house.count("leads").await;
        holds(rows == 3000, rows)
    })
    .await;
    let metrics = format!("http://{}/metrics", house.workers.last().unwrap().address);
    let text = house.client().get(metrics).send().await.unwrap().text().await.unwrap();
    let again = text.lines().filter(|line| line.starts_with("leadline_redeliveries_total"));
    let again: u64 = again.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum();
    // A few, where the queue handed on what was just acknowledged while the consumer was being cancelled; its prefetch is 1536.
    assert!(again < 256, "{again} handed out a second time");
    house.finish().await;
}

#[tokio::test]
async fn a_lead_becomes_visible_together_with_its_counter() {
    let house = Harness::start().await;
    let lock = locked(&house, "SELECT FROM links FOR UPDATE").await;
    let answer = house.track(&lead(&house.click().await, "Sign Up", &somebody())).await.ok();
    somebody_waits_for_a_lock(&house).await;
    stays(Duration::from_millis(300), "neither lead nor counter", || async {
        house.count("leads").await == 0 && house.count("customers").await == 0 && house.counted().await == 0
    })
    .await;
    lock.close().await.unwrap();
    assert_eq!(house.ended(answer.lead_id().unwrap()).await.ending, "recorded");
    assert_eq!(house.counted().await, 1);
    house.finish().await;
}

#[tokio::test]
async fn a_wait_is_not_answered_before_the_commit() {
    let house = Harness::start().await;
    let lock = locked(&house, "SELECT FROM links FOR UPDATE").await;
    let body = with(lead(&house.click().await, "Sign Up", &somebody()), json!({"mode": "wait"}));
    let unlock = async {
        somebody_waits_for_a_lock(&house).await;
        stays(Duration::from_millis(300), "no lead", || async { house.count("leads").await == 0 }).await;
        lock.close().await.unwrap();
    };
    let asked = async {
        let answer = house.track(&body).await.ended("recorded");
        assert!(house.row(answer.lead_id().unwrap()).await.is_some(), "answered before the commit");
    };
    let mut unlocked = false;
    tokio::select! {
        biased;
        () = async { unlock.await; unlocked = true; std::future::pending::<()>().await } => {}
        () = asked => {}
    }
    assert!(unlocked, "answered while the transaction was held");
    house.finish().await;
}
