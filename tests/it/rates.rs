//! Rate limits per key and per address.
//!
//! **Invariant:** a limit that is not set turns nobody away, and one that is turns away only whom it counts.

use std::time::Instant;

use axum::body::Body;
use axum::http::Request;
use leadline::store::KeyKind;

use crate::harness::eventually::{eventually, holds};
use crate::http_setup::{Answer, Front, made, send};

async fn call(front: &Front, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(&front.router, request.body(Body::empty()).unwrap()).await
}

fn turned_away(front: &Front, why: &str) -> u64 {
    front.metrics.turned_away.with_label_values(&[why]).get()
}

#[tokio::test]
async fn a_key_that_asks_too_often_waits_and_no_other_does() {
    let front = Front::with(|config| {
        config.http.rate_per_key = 1;
        config.http.burst_per_key = 3;
    })
    .await;
    let other = format!("Bearer {}", made(&front.store, &front.workspace, KeyKind::Secret).await);
    let (mut refused, before) = (None, chrono::Utc::now().timestamp());
    for _ in 0..8 {
        let answer = front.get("/links/count").await;
        if answer.status == 429 {
            refused = Some(answer);
        }
    }
    let refused = refused.expect("eight at once, three a burst");
    assert_eq!(refused.refused(429, "rate_limit_exceeded"), "Too many requests.");
    let number = |name: &str| refused.headers[name].to_str().unwrap().parse::<i64>().unwrap();
    assert_eq!((number("retry-after"), number("x-ratelimit-limit"), number("x-ratelimit-remaining")), (1, 3, 0));
    let (reset, now) = (number("x-ratelimit-reset"), chrono::Utc::now().timestamp());
    assert!((before..=now + 2).contains(&reset), "{reset} at {now}");
    call(&front, "GET", "/links/count", &[("authorization", &other)]).await.good();
    assert!(turned_away(&front, "key") >= 1);
    eventually("a second later one more passes", || async {
        let status = front.get("/links/count").await.status;
        holds(status == 200, status)
    })
    .await;
    front.finish().await;
}

#[tokio::test]
async fn a_batch_is_charged_as_its_leads() {
    let front = Front::with(|config| {
        config.http.rate_per_key = 1;
        config.http.burst_per_key = 10;
    })
    .await;
    let batch = async |leads: usize| {
        front.call("POST", "/track/lead/batch", &format!("[{}]", vec!["7"; leads].join(","))).await
    };
    let never = batch(11).await;
    assert_eq!(
        never.refused(429, "rate_limit_exceeded"),
        "Too many requests: a batch of 11 leads never fits the burst of 10 of this key."
    );
    assert_eq!(never.headers["x-ratelimit-limit"], "10");
    let since = Instant::now();
    assert_eq!(batch(7).await.good().as_array().unwrap().len(), 7);
    let refused = batch(10).await;
    assert_eq!(refused.refused(429, "rate_limit_exceeded"), "Too many requests.");
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((7u64.saturating_sub(since.elapsed().as_secs() + 1)..=10).contains(&wait), "{wait} s");
    assert_eq!(turned_away(&front, "key"), 2);
    front.finish().await;
}

#[tokio::test]
async fn an_address_that_asks_too_often_waits_and_no_other_does() {
    let front = Front::with(|config| {
        config.http.rate_per_address = 1;
        config.http.burst_per_address = 20;
        config.http.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let from = |address: &'static str| [("x-forwarded-for", address)];
    let mut limited = 0;
    for n in 0..40 {
        // One /64, one caller: each alone would not be turned away.
        let address = if n % 2 == 0 { "2001:db8::1" } else { "2001:db8::2" };
        let answer = call(&front, "POST", "/track/click", &from(address)).await;
        if answer.status == 429 {
            limited += 1;
            assert_eq!(answer.refused(429, "rate_limit_exceeded"), "Too many requests.");
            assert_eq!(answer.headers["access-control-allow-origin"], "*", "the script must be able to read it");
        }
    }
    assert!(limited > 0, "two addresses of one network");
    let other = call(&front, "POST", "/track/click", &from("2001:db8:0:1::1")).await;
    assert_eq!(other.status, 400);
    for _ in 0..5 {
        call(&front, "GET", "/livez", &from("2001:db8::1")).await.good();
    }
    assert_eq!(turned_away(&front, "address"), limited);
    front.finish().await;
}

#[tokio::test]
async fn without_a_limit_nobody_is_turned_away() {
    let front = Front::start().await;
    for _ in 0..300 {
        front.get("/links/count").await.good();
    }
    assert_eq!(turned_away(&front, "key") + turned_away(&front, "address"), 0);
    front.finish().await;
}
