//! Either engine goes away and comes back; clients hang up. What was accepted still ends, once.
//!
//! **Invariant:** whatever is answered meanwhile, the books balance afterwards.

use std::time::Duration;

use futures_util::future::{join, join_all};
use leadline::config::Config;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::Harness;
use crate::harness::client::Answer;
use crate::harness::eventually::{eventually, holds, stays};
use crate::harness::proxy::OUTAGE;
use crate::harness::track::{lead, somebody, with};

/// Deadlines short enough to notice an outage while the test lasts.
fn alert(config: &mut Config) {
    config.intake.resolve_timeout = Duration::from_millis(300);
    config.intake.wait_timeout = Duration::from_secs(4);
    config.broker.confirm_deadline = Duration::from_millis(750);
    config.store.acquire_timeout = Duration::from_millis(500);
}

async fn many(house: &Harness, click: &str, n: usize) -> Vec<Answer> {
    let bodies: Vec<Value> = (0..n).map(|_| lead(click, "Sign Up", &somebody())).collect();
    join_all(bodies.iter().map(|body| house.track(body))).await
}

/// Leads until one is taken: its key is believed from then on.
async fn known(house: &Harness, click: &str) {
    eventually("a lead is taken", || async {
        let answer = house.track(&lead(click, "before", &somebody())).await;
        holds(answer.status == 200, answer)
    })
    .await;
}

async fn serves_again(house: &Harness, click: &str) {
    eventually("a recorded wait after the outage", || async {
        let answer = house.track(&with(lead(click, "back", &somebody()), json!({"mode": "wait"}))).await;
        holds(answer.status == 200 && answer.ending() == Some("recorded"), answer)
    })
    .await;
}

#[tokio::test]
async fn leads_queue_up_while_postgres_is_away() {
    let mut house = Harness::tuned(alert).await;
    house.announced.errors = vec![""];
    let click = house.click().await;
    known(&house, &click).await;
    house.postgres.cut();
    let mut accepted = Vec::new();
    for _ in 0..3 {
        accepted.extend(many(&house, &click, 10).await);
        stays(OUTAGE / 3, "the outage", || async { true }).await;
    }
    let taken: Vec<&Answer> = accepted.iter().filter(|answer| answer.status == 200).collect();
    assert!(
        taken.len() >= 25,
        "only {} of 30 were taken: {:?}",
        taken.len(),
        accepted.iter().find(|a| a.status != 200)
    );
    for answer in &taken {
        assert_eq!(
            (&answer.body["click"]["id"], &answer.body["link"]),
            (&json!(click), &json!(null)),
            "{}",
            answer.body
        );
    }
    house.postgres.restore();
    for answer in &taken {
        assert_eq!(house.ended(answer.lead_id().unwrap()).await.ending, "recorded");
    }
    serves_again(&house, &click).await;
    house.finish().await;
}

#[tokio::test]
async fn a_wait_waits_for_postgres_and_is_published_only_when_that_serves() {
    let mut house = Harness::tuned(|config| {
        alert(config);
        config.intake.wait_timeout = Duration::from_secs(10);
        config.store.acquire_timeout = Duration::from_secs(2);
    })
    .await;
    house.announced.errors = vec![""];
    let click = house.click().await;
    known(&house, &click).await;
    house.postgres.cut();
    house.known_away("postgres").await;
    let published = "leadline_publishes_total{result=\"confirmed\"}";
    let before = house.metric(published).await;
    let wait = || with(lead(&click, "Sign Up", &somebody()), json!({"mode": "wait"}));
    let told = house.track(&wait()).await;
    assert_eq!((told.status, told.header("retry-after").is_some()), (503, true), "{}", told.body);
    assert!(house.metric(published).await <= before, "published for nobody");
    let (patient, meanwhile) = (wait(), async {
        stays(Duration::from_millis(500), "the outage", || async { true }).await;
        house.postgres.restore();
    });
    let (answer, ()) = join(house.track(&patient), meanwhile).await;
    answer.ended("recorded");
    house.finish().await;
}

#[tokio::test]
async fn a_postgres_that_falls_silent_is_an_outage_too() {
    let mut house = Harness::tuned(|config| {
        alert(config);
        config.store.statement_timeout = Duration::from_secs(2);
        config.store.lock_timeout = Duration::from_secs(2);
        config.store.commit_deadline = Duration::from_secs(1);
    })
    .await;
    house.announced.errors = vec![""];
    let click = house.click().await;
    known(&house, &click).await;
    house.postgres.blackhole();
    let answers = many(&house, &click, 10).await;
    assert!(answers.iter().all(|answer| [200, 503].contains(&answer.status)));
    stays(OUTAGE, "the silence", || async { true }).await;
    house.postgres.restore();
    serves_again(&house, &click).await;
    house.finish().await;
}

#[tokio::test]
async fn rabbitmq_away_and_back_loses_nothing() {
    let mut house = Harness::tuned(alert).await;
    house.announced.errors = vec![""];
    let click = house.click().await;
    let mut answers = many(&house, &click, 10).await;
    house.rabbitmq.cut();
    for _ in 0..3 {
        answers.extend(many(&house, &click, 10).await);
        stays(OUTAGE / 3, "the outage", || async { true }).await;
    }
    house.rabbitmq.restore();
    for answer in &answers {
        assert!([200, 503].contains(&answer.status), "{}", answer.body);
        assert_eq!(answer.status == 503, answer.header("retry-after").is_some());
    }
    serves_again(&house, &click).await;
    house.finish().await;
}

#[tokio::test]
async fn cuts_under_load_leave_the_books_balanced() {
    let mut house = Harness::tuned(alert).await;
    house.announced.errors = vec![""];
    house.add_worker().await;
    let click = house.click().await;
    let load = async {
        for round in 0..12 {
            let mode = ["async", "wait", "deferred"][round % 3];
            let bodies: Vec<Value> = (0..16)
                .map(|n| {
                    with(lead(&click, "Sign Up", &format!("c{}", n % 11)), json!({"mode": mode, "eventQuantity": 2}))
                })
                .collect();
            join_all(bodies.iter().map(|body| house.track(body))).await;
        }
    };
    let trouble = async {
        for engine in [&house.rabbitmq, &house.postgres, &house.rabbitmq] {
            stays(OUTAGE / 2, "calm", || async { true }).await;
            engine.cut();
            stays(OUTAGE / 2, "a cut", || async { true }).await;
            engine.restore();
        }
    };
    join(load, trouble).await;
    serves_again(&house, &click).await;
    house.finish().await;
}

#[tokio::test]
async fn a_client_that_hangs_up_mid_request_harms_nobody() {
    let house = Harness::start().await;
    let click = house.click().await;
    for n in 0..40_usize {
        let customer = somebody();
        house.diary.note_stranger(&customer);
        let mode = ["async", "wait", "deferred"][n % 3];
        let body = with(lead(&click, "Sign Up", &customer), json!({"mode": mode})).to_string();
        let request = format!(
            "POST /track/lead HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{body}",
            house.workspace.secret,
            body.len()
        );
        let mut socket = TcpStream::connect(house.apis[0].address).await.unwrap();
        let sent = if n % 4 == 3 { request.len() - n } else { request.len() };
        socket.write_all(&request.as_bytes()[..sent]).await.unwrap();
        for _ in 0..n * 3 {
            tokio::task::yield_now().await;
        }
        drop(socket);
    }
    let after = house.track(&with(lead(&click, "after", &somebody()), json!({"mode": "wait"}))).await.ended("recorded");
    assert!(after.lead_id().is_some());
    house.finish().await;
}
