//! What a batch may not be, and what becomes of it when the server is full or an engine away.
//!
//! **Invariant:** a lead that gets 503 in a batch can be repeated, and one that gets 200 ends, as in a single call.

use std::time::Duration;

use leadline::config::Config;
use serde_json::{Value, json};

use crate::harness::Harness;
use crate::harness::client::Call;
use crate::harness::eventually::{eventually, holds};
use crate::harness::track::{lead, somebody, with};

/// A deadline short enough to notice an outage of `RabbitMQ` while the test lasts.
fn alert(config: &mut Config) {
    config.broker.confirm_deadline = Duration::from_millis(750);
}

fn follow_up(customer: &str) -> Value {
    lead("", "Sign Up", customer)
}

fn deferred(click: &str, customer: &str) -> Value {
    with(lead(click, "Sign Up", customer), json!({"mode": "deferred"}))
}

async fn ready(house: &Harness, engine: &str, state: &str) {
    eventually(engine, || async {
        let (_, body) = house.readiness().await;
        holds(body[engine] == state, body)
    })
    .await;
}

#[tokio::test]
async fn a_body_that_is_no_array_of_its_size_is_refused_whole() {
    let house = Harness::without_worker_tuned(|config| {
        config.http.body_limit_bytes = 4096;
        config.http.batch_limit_bytes = 20_000;
    })
    .await;
    let send = |body: Vec<u8>| {
        let call = Call::new("POST", "/track/lead/batch").raw(&body).key(&house.workspace.secret);
        house.call(call)
    };
    let json = "Invalid JSON format in request body. Please ensure the request body is a valid JSON object.";
    for body in ["", "[", "[{}]]", "nonsense", "[{},]"] {
        send(body.into()).await.refused(400, "bad_request", json);
    }
    for (body, message) in [
        ("{}".to_owned(), "invalid_type: : Invalid input: expected array, received object"),
        ("null".to_owned(), "invalid_type: : Invalid input: expected array, received null"),
        ("[]".to_owned(), "too_small: : Too small: expected array to have >=1 items"),
        (format!("[{}]", vec!["1"; 1001].join(",")), "too_big: : Too big: expected array to have <=1000 items"),
    ] {
        send(body.into()).await.refused(422, "unprocessable_entity", message);
    }
    let large = format!("[\"{}\"]", "x".repeat(20_000));
    send(large.into()).await.refused(413, "bad_request", "The request body is too large.");
    let click = house.click().await;
    let long = |size: usize| with(lead(&click, "Sign Up", &somebody()), json!({"customerAvatar": "x".repeat(size)}));
    let mut each = house.batch(&[long(5000), long(3000), long(5000)]).await.into_iter();
    let mut next = || each.next().unwrap();
    next().refused(413, "bad_request", "The request body is too large.");
    next().ok();
    assert_eq!(next().lead_id(), None);
    let page = Call::post("/track/lead/batch", &json!([])).key(&house.workspace.publishable);
    house.call(page).await.refused(401, "unauthorized", "Unauthorized: Invalid API key.");
    house.finish().await;
}

#[tokio::test]
async fn more_leads_than_permits_go_in_slices() {
    let house = Harness::tuned(|config| {
        config.intake.max_in_flight = 30;
        config.intake.workspace_share = 3;
    })
    .await;
    let click = house.click().await;
    let mut bodies: Vec<Value> = (0..25).map(|_| lead(&click, "Sign Up", &somebody())).collect();
    bodies.insert(3, deferred(&click, "known by then"));
    bodies.push(follow_up("known by then"));
    let each = house.batch(&bodies).await;
    assert_eq!(each.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200; 27]);
    // Whether a worker has its customer by the time of its slice or not.
    let follow_up = each.into_iter().last().unwrap().ok();
    assert_eq!(follow_up.body["click"]["id"], click.as_str());
    assert_eq!(house.ended(follow_up.lead_id().unwrap()).await.ending, "recorded");
    house.finish().await;
}

#[tokio::test]
async fn what_finds_no_room_in_time_is_turned_away_and_leaves_nothing() {
    let mut house = Harness::without_worker_tuned(|config| {
        config.intake.resolve_timeout = Duration::from_secs(2);
        config.broker.confirm_deadline = Duration::from_millis(4500);
        config.intake.wait_timeout = Duration::from_secs(5);
        config.intake.max_in_flight = 30;
        config.intake.workspace_share = 3;
    })
    .await;
    let click = house.click().await;
    let bodies: Vec<Value> =
        (0..15).map(|_| with(lead(&click, "Sign Up", &somebody()), json!({"mode": "wait"}))).collect();
    let each = house.batch(&bodies).await;
    assert_eq!(each.iter().map(|answer| answer.status).collect::<Vec<_>>(), [503; 15], "nobody works yet");
    house.add_worker().await;
    for answer in &each[..10] {
        assert_eq!(house.ended(answer.lead_id().unwrap()).await.ending, "recorded");
    }
    for body in &bodies[10..] {
        assert!(house.rows(body["customerExternalId"].as_str().unwrap()).await.is_empty(), "sent without a permit");
    }
    house.finish().await;
}

#[tokio::test]
async fn a_follow_up_is_not_refused_when_what_it_follows_found_the_queue_full() {
    let mut house = Harness::without_worker_tuned(|config| {
        config.broker.queue_max_length = 5;
        config.intake.max_in_flight = 30;
        config.intake.workspace_share = 3;
    })
    .await;
    let click = house.click().await;
    let full = eventually("a full queue", || async {
        let batch = house.batch(&vec![lead(&click, "Sign Up", "one shard"); 40]).await;
        let refused = batch.iter().filter(|answer| answer.status == 503).count();
        holds(refused == 40, refused)
    });
    full.await;
    // In one slice, and with another between them.
    for between in [0, 15] {
        let mut bodies = vec![lead(&click, "Sign Up", "one shard"); between];
        bodies.insert(0, deferred(&click, "one shard"));
        bodies.push(follow_up("one shard"));
        let each = house.batch(&bodies).await;
        assert!(each.iter().all(|answer| answer.status == 503), "{between}: {:?}", each.last());
    }
    house.add_worker().await;
    house.finish().await;
}

#[tokio::test]
async fn without_a_broker_a_batch_is_recorded_directly() {
    let mut house = Harness::tuned(alert).await;
    house.announced.errors = vec![""];
    let click = house.click().await;
    house.track(&lead(&click, "before", &somebody())).await.ok();
    house.rabbitmq.cut();
    ready(&house, "rabbitmq", "away").await;
    let modes = ["async", "wait", "deferred"];
    let bodies: Vec<Value> =
        (0..300).map(|n| with(lead(&click, "Sign Up", &somebody()), json!({"mode": modes[n % 3]}))).collect();
    for (n, answer) in house.batch(&bodies).await.into_iter().enumerate() {
        answer.ended(if n % 3 == 2 { "deferred" } else { "recorded" });
    }
    assert!(house.metric("leadline_direct_leads_total{result=\"ended\"}").await > 299.0);
    assert!(house.metric("leadline_batch_leads_count{lane=\"direct\"}").await < 20.0, "recorded one by one");
    let each = house.batch(&[deferred(&click, "known now"), follow_up("known now")]).await;
    each.into_iter().zip(["deferred", "recorded"]).for_each(|(answer, ending)| drop(answer.ended(ending)));
    house.rabbitmq.restore();
    house.finish().await;
}

#[tokio::test]
async fn a_broker_that_falls_silent_delays_a_batch_once() {
    let mut house = Harness::tuned(alert).await;
    house.announced.errors = vec![""];
    let click = house.click().await;
    house.track(&lead(&click, "before", &somebody())).await.ok();
    house.rabbitmq.blackhole();
    let bodies: Vec<Value> = (0..700).map(|_| lead(&click, "Sign Up", &somebody())).collect();
    for answer in house.batch(&bodies).await {
        answer.ended("recorded");
    }
    let waited_for = house.metric("leadline_publishes_total{result=\"unconfirmed\"}").await;
    assert!(waited_for < 350.0, "{waited_for} leads waited for a confirm, so more than the first slice");
    house.rabbitmq.restore();
    house.finish().await;
}

#[tokio::test]
async fn a_batch_queues_up_while_postgres_is_away() {
    let mut house = Harness::tuned(|config| {
        config.intake.resolve_timeout = Duration::from_millis(300);
        config.store.acquire_timeout = Duration::from_millis(500);
    })
    .await;
    house.announced.errors = vec![""];
    let click = house.click().await;
    house.track(&lead(&click, "before", &somebody())).await.ok();
    house.postgres.cut();
    ready(&house, "postgres", "away").await;
    let mut bodies: Vec<Value> = (0..100).map(|_| lead(&click, "Sign Up", &somebody())).collect();
    bodies.extend([deferred(&click, "late"), follow_up("late")]);
    let each = house.batch(&bodies).await;
    for answer in &each {
        assert_eq!((answer.status, &answer.body["link"]), (200, &json!(null)), "{}", answer.body);
    }
    house.postgres.restore();
    for (n, answer) in each.iter().enumerate() {
        let ending = house.ended(answer.lead_id().unwrap()).await.ending;
        assert_eq!(ending, if n == 100 { "deferred" } else { "recorded" });
    }
    house.finish().await;
}
