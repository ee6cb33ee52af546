//! Many leads in one request: the same answers as to single calls, in their order, and the same rows.
//!
//! **Invariant:** what is wrong with one lead shows in its own place and nowhere else.

use serde_json::{Value, json};

use crate::harness::Harness;
use crate::harness::batch::single;
use crate::harness::client::{Answer, Call};
use crate::harness::eventually::{eventually, holds};
use crate::harness::track::{lead, somebody, with};

const NOBODY: &str = "The `clickId` property was not provided in the request, and no existing customer with the provided `customerExternalId` was found.";
const JSON: &str = "Invalid JSON format in request body. Please ensure the request body is a valid JSON object.";

fn follow_up(customer: &str, mode: &str) -> Value {
    with(lead("", "Sign Up", customer), json!({"mode": mode}))
}

fn deferred(click: &str, customer: &str) -> Value {
    with(lead(click, "Sign Up", customer), json!({"mode": "deferred"}))
}

async fn raw(house: &Harness, path: &str, body: &[u8]) -> Answer {
    house.call(Call::new("POST", path).raw(body).key(&house.workspace.secret)).await
}

#[tokio::test]
async fn results_are_those_of_single_calls_in_the_same_order() {
    let house = Harness::start().await;
    let click = house.click().await;
    let modes = ["async", "wait", "deferred"];
    let mut bodies: Vec<Value> = modes
        .map(|mode| {
            with(lead(&click, "Sign Up", &somebody()), json!({"mode": mode, "metadata": {"b": 1, "a": [null]}}))
        })
        .into();
    let bad = [
        json!({}),
        json!(7),
        json!([]),
        json!({"eventName": "e"}),
        lead("0123456789abcdef", "e", "x"),
        with(lead(&click, "e", "x"), json!({"mode": "later"})),
        with(lead(&click, "e", "x"), json!({"customerName": "a\u{0}"})),
    ];
    for (n, body) in bad.iter().enumerate() {
        bodies.insert(n.min(2) * 2, body.clone());
    }
    let each = house.batch(&bodies).await;
    for (body, answer) in bodies.iter().zip(each) {
        if bad.contains(body) {
            let alone = house.track(body).await;
            assert_eq!((answer.status, &answer.body), (alone.status, &alone.body), "{body}");
            assert_eq!(answer.lead_id().is_some(), alone.lead_id().is_some(), "{body}");
            continue;
        }
        let answer = answer.ok();
        assert_eq!(answer.ending(), (body["mode"] == "wait").then_some("recorded"));
        assert_eq!(answer.body["click"]["id"], click.as_str());
        assert_eq!(answer.body["link"]["id"], house.link.shown());
        assert_eq!(answer.body["customer"]["externalId"], body["customerExternalId"]);
        let row = house.ended(answer.lead_id().unwrap()).await;
        assert_eq!(row.customer, body["customerExternalId"].as_str().unwrap());
        assert_eq!(
            (row.mode.as_str(), row.metadata.as_deref()),
            (body["mode"].as_str().unwrap(), Some(r#"{"b":1,"a":[null]}"#))
        );
    }
    assert_eq!((house.count("leads").await, house.counted().await), (3, 2));
    house.finish().await;
}

#[tokio::test]
async fn a_lead_that_is_no_clean_json_spoils_no_other() {
    let house = Harness::without_worker().await;
    let good = lead(&house.click().await, "Sign Up", &somebody());
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    let body =
        format!(r#"[{{"eventName":"\ud800"}},{{"a":1,"a":2}}, {deep} ,{good},{{"eventName":"e","metadata":1e999}}]"#);
    for path in ["/track/lead/batch", "/api/track/lead/batch"] {
        let answer = raw(&house, path, body.as_bytes()).await.ok();
        let each: Vec<Answer> = answer.body.as_array().unwrap().iter().map(single).collect();
        house.diary.note(house.workspace.id, &good, leadline::lead::Schema::Server, &each[3]);
        for (n, answer) in each.into_iter().enumerate() {
            if n == 3 {
                answer.ok();
            } else {
                answer.refused(400, "bad_request", JSON);
            }
        }
    }
    house.finish().await;
}

#[tokio::test]
async fn of_repeats_in_one_batch_one_is_recorded() {
    let house = Harness::start().await;
    let (click, customer) = (house.click().await, somebody());
    let body = |n: usize| {
        let event = ["Sign Up", "sign-up", "SIGN UP"][n % 3];
        with(lead(&click, event, &customer), json!({"mode": if n.is_multiple_of(2) { "async" } else { "wait" }}))
    };
    let each = house.batch(&(0..20).map(body).collect::<Vec<_>>()).await;
    for answer in each {
        house.ended(answer.ok().lead_id().unwrap()).await;
    }
    let rows = house.rows(&customer).await;
    let recorded: Vec<_> = rows.iter().filter(|row| row.ending == "recorded").collect();
    assert_eq!((rows.len(), recorded.len(), house.counted().await), (20, 1, 1));
    for answer in house.batch(&(0..20).map(body).collect::<Vec<_>>()).await {
        let answer = answer.ended("duplicate");
        assert_eq!((answer.lead_id(), &answer.body["link"]), (Some(recorded[0].id), &json!(null)));
    }
    house.finish().await;
}

#[tokio::test]
async fn a_follow_up_behind_its_lead_in_the_same_batch_takes_its_click() {
    let house = Harness::start().await;
    let click = house.click().await;
    let mut bodies = vec![follow_up("nobody", "wait")];
    for n in 0..30 {
        let customer = somebody();
        let first = match n % 3 {
            0 => deferred(&click, &customer),
            1 => with(lead(&click, "before", &customer), json!({"mode": "wait"})),
            _ => lead(&click, "before", &customer),
        };
        bodies.extend([first, follow_up(&customer, if n % 2 == 0 { "async" } else { "wait" })]);
    }
    let mut each = house.batch(&bodies).await.into_iter();
    each.next().unwrap().refused(400, "bad_request", NOBODY);
    for (body, answer) in bodies[1..].iter().zip(each) {
        let answer = answer.ok();
        assert_eq!(
            (&answer.body["click"]["id"], &answer.body["link"]["id"]),
            (&json!(click), &json!(house.link.shown()))
        );
        let ending = house.ended(answer.lead_id().unwrap()).await.ending;
        assert_eq!(ending, if body["mode"] == "deferred" { "deferred" } else { "recorded" });
    }
    assert_eq!(house.counted().await, 50);
    house.finish().await;
}

#[tokio::test]
async fn a_thousand_are_recorded_and_counted_like_single_ones() {
    let house = Harness::start().await;
    let clicks = [house.click().await, house.click().await];
    let bodies: Vec<Value> = (0..1000).map(|n| lead(&clicks[n % 2], "Sign Up", &somebody())).collect();
    for answer in house.batch(&bodies).await {
        answer.ok();
    }
    eventually("all of them", || async {
        let counted = house.counted().await;
        holds(counted == 1000, counted)
    })
    .await;
    let statements = house.metric("leadline_resolve_batch_requests_count").await;
    assert!(statements < 6.0, "{statements} statements for a thousand");
    for (line, expected) in [
        ("leadline_answers_total{answer=\"accepted\",mode=\"async\"}", 1000.0),
        ("leadline_batch_request_leads_sum", 1000.0),
        ("leadline_batch_request_seconds_count", 1.0),
        ("leadline_answer_seconds_count{mode=\"async\"}", 0.0),
        ("leadline_publishes_total{result=\"confirmed\"}", 1000.0),
        ("leadline_in_flight_requests", 0.0),
    ] {
        let value = house.metric(line).await;
        assert!((value - expected).abs() < 0.5, "{line}: {value}");
    }
    house.finish().await;
}
