//! Stopping: a rolling restart that nobody notices, and a stop that says what it had to leave.
//!
//! **Invariant:** behind a balancer no request sees a 5xx or a reset because a process was replaced.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use futures_util::future::join_all;
use leadline::lead::Schema;
use serde_json::{Value, json};

use crate::harness::Harness;
use crate::harness::balancer::Balancer;
use crate::harness::client::Call;
use crate::harness::eventually::{eventually, holds};
use crate::harness::process::{PATIENT, Process};
use crate::harness::track::{lead, with};

/// Longer than the balancer takes for a look on a busy machine.
const DRAIN: (&str, &str) = ("LEADLINE__LIFECYCLE__DRAIN", "3s");

#[tokio::test]
async fn a_rolling_restart_loses_no_request_and_answers_every_one() {
    let house = Harness::empty(|_| {}).await;
    let balancer = Balancer::start().await;
    let settings = [&PATIENT[..], &[DRAIN]].concat();
    let mut worker = Process::start_with("worker", &house.config, house.client(), &settings).await;
    let mut apis = Vec::new();
    for _ in 0..2 {
        let api = Process::start_with("api", &house.config, house.client(), &settings).await;
        balancer.add(api.address).await;
        apis.push(api);
    }
    let click = house.click().await;
    let (done, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let load = join_all((0..6).map(|lane| {
        let (house, click, done, answered, to) = (&house, &click, &done, &answered, balancer.address);
        async move {
            let mut n = 0;
            while !done.load(Ordering::Relaxed) {
                let mode = ["async", "async", "wait", "deferred"][(n + lane) % 4];
                let body: Value = with(lead(click, "Sign Up", &format!("c{lane}-{n}")), json!({"mode": mode}));
                let call = Call::post("/track/lead", &body).key(&house.workspace.secret);
                let sent = Instant::now();
                let answer = call.send(house.client(), to).await;
                assert_eq!(answer.status, 200, "{mode}, after {:?}: {}", sent.elapsed(), answer.body);
                house.diary.note(house.workspace.id, &body, Schema::Server, &answer);
                answered.fetch_add(1, Ordering::Relaxed);
                n += 1;
            }
        }
    }));
    let replaced = async {
        for _ in 0..4 {
            let before = answered.load(Ordering::Relaxed);
            eventually("some load", || async { holds(answered.load(Ordering::Relaxed) > before + 50, ()) }).await;
            let fresh = Process::start_with("api", &house.config, house.client(), &settings).await;
            balancer.add(fresh.address).await;
            let old = apis.remove(0);
            let address = old.address;
            assert_eq!(old.stop().await, Some(0), "SIGTERM ends an API cleanly");
            balancer.remove(address);
            apis.push(fresh);
            let next = Process::start_with("worker", &house.config, house.client(), &settings).await;
            assert_eq!(std::mem::replace(&mut worker, next).stop().await, Some(0), "SIGTERM ends a worker cleanly");
        }
        done.store(true, Ordering::Relaxed);
    };
    futures_util::future::join(load, replaced).await;
    for process in apis {
        assert_eq!(process.errors(), Vec::<String>::new());
        assert_eq!(process.stop().await, Some(0));
    }
    assert_eq!(worker.stop().await, Some(0));
    house.finish().await;
}

#[tokio::test]
async fn a_stop_beyond_its_budget_exits_with_2_and_names_what_is_left() {
    let mut house = Harness::empty(|_| {}).await;
    let impatient = [
        ("LEADLINE__LIFECYCLE__STOP_BUDGET", "5100ms"),
        ("LEADLINE__STORE__LOCK_TIMEOUT", "30s"),
        ("LEADLINE__STORE__STATEMENT_TIMEOUT", "30s"),
    ];
    let worker = Process::start_with("worker", &house.config, house.client(), &impatient).await;
    let click = house.click().await;
    let message = house.resolved(&lead(&click, "Sign Up", "held"));
    let mut blocker = house.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE leads IN ACCESS EXCLUSIVE MODE").execute(&mut *blocker).await.unwrap();
    house.publish(std::slice::from_ref(&message)).await;
    // A writer of this database: `pg_locks` tells of all, and the other tests' are copies, in which `leads` has the same number.
    eventually("the worker waits for the lock", || async {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'leads'::regclass AND mode = 'RowExclusiveLock' \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        .fetch_one(&house.pool)
        .await
        .unwrap();
        holds(waiting > 0, waiting)
    })
    .await;
    let (code, said) = worker.stop_and_hear().await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("had to be dropped before the end: lane"), "{said}");
    blocker.rollback().await.unwrap();
    house.add_worker().await;
    assert_eq!(house.ended(message.id).await.ending, "recorded");
    house.finish().await;
}
