//! Two API and two worker processes of the compiled binary, and kills that are kills.
//!
//! **Invariant:** no process is asked politely in the middle of a load.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use leadline::lead::Schema;
use serde_json::{Value, json};

use crate::harness::Harness;
use crate::harness::client::Call;
use crate::harness::eventually::{eventually, holds};
use crate::harness::process::Process;
use crate::harness::track::{lead, with};

async fn declared(house: &Harness) {
    eventually("the queues", || async { holds(house.queues.depth("wait").await.is_some(), ()) }).await;
}

#[tokio::test]
async fn killed_workers_and_apis_lose_nothing_and_double_nothing() {
    let house = Harness::empty(|_| {}).await;
    let api = Process::start("api", &house.config, house.client()).await;
    let doomed_api = Process::start("api", &house.config, house.client()).await;
    let worker = Process::start("worker", &house.config, house.client()).await;
    let doomed_worker = Process::start("worker", &house.config, house.client()).await;
    declared(&house).await;
    let click = house.click().await;
    let addresses = [api.address, doomed_api.address];
    let answered = AtomicUsize::new(0);
    let load = join_all((0..8).map(|lane| {
        let (house, click, answered) = (&house, &click, &answered);
        async move {
            for n in 0..40_usize {
                let mode = ["async", "async", "wait", "deferred"][(n + lane) % 4];
                let customer = format!("c{}", (n * 7 + lane) % 90);
                let body: Value = with(lead(click, "Sign Up", &customer), json!({"mode": mode}));
                let call = Call::post("/track/lead", &body).key(&house.workspace.secret);
                match call.try_send(house.client(), addresses[(n + lane) % 2]).await {
                    Some(answer) => house.diary.note(house.workspace.id, &body, Schema::Server, &answer),
                    None => house.diary.note_stranger(&customer),
                }
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    }));
    let kills = async {
        eventually("a third of the load", || async { holds(answered.load(Ordering::Relaxed) > 100, ()) }).await;
        doomed_worker.kill();
        eventually("two thirds of the load", || async { holds(answered.load(Ordering::Relaxed) > 200, ()) }).await;
        doomed_api.kill();
    };
    futures_util::future::join(load, kills).await;
    eventually("empty queues", || async {
        let queued = house.queues.total().await;
        holds(queued == 0, queued)
    })
    .await;
    assert_eq!(api.errors(), Vec::<String>::new());
    assert_eq!(worker.errors(), Vec::<String>::new());
    assert_eq!(api.stop().await, Some(0), "SIGTERM ends an API cleanly");
    assert_eq!(worker.stop().await, Some(0), "SIGTERM ends a worker cleanly");
    house.finish().await;
}

#[tokio::test]
async fn one_process_can_be_everything() {
    let house = Harness::empty(|_| {}).await;
    let all = Process::start("all", &house.config, house.client()).await;
    let body = with(lead(&house.click().await, "Sign Up", "c"), json!({"mode": "wait"}));
    let call = Call::post("/track/lead", &body).key(&house.workspace.secret);
    let answer = call.send(house.client(), all.address).await;
    house.diary.note(house.workspace.id, &body, Schema::Server, &answer);
    answer.ended("recorded");
    assert_eq!(all.stop().await, Some(0));
    house.finish().await;
}
