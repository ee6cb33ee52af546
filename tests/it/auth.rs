//! Keys through the API: the contract's texts, revocation, outage, and the limit on guessing.
//!
//! **Invariant:** a revoked key is refused within two seconds while `PostgreSQL` answers.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use leadline::lifecycle::Engine;
use leadline::store::KeyKind;

use crate::harness::eventually::{eventually, holds};
use crate::http_setup::{Answer, Front, made, send};

async fn call(front: &Front, method: &str, path: &str, authorization: Option<&str>) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    send(&front.router, request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn each_refusal_of_a_key_has_its_words() {
    let front = Front::start().await;
    let public = made(&front.store, &front.workspace, KeyKind::Publishable).await;
    let misconfigured =
        "Misconfigured authorization header. Did you forget to add 'Bearer '? Learn more: https://d.to/auth";
    let personal = "Workspace ID not found. Did you forget to include a `workspaceId` query parameter? It looks like you might be using personal API keys, we also recommend refactoring to workspace API keys: https://d.to/keys";
    let unknown = "Unauthorized: Invalid API key.";
    let bearer = |key: &str| Some(format!("Bearer {key}"));
    let rows = [
        (None, 401, "unauthorized", "Missing Authorization header."),
        (Some("Basic x".to_owned()), 400, "bad_request", misconfigured),
        (Some(format!("bearer {}", front.key)), 400, "bad_request", misconfigured),
        (bearer("foo"), 404, "not_found", personal),
        (bearer("dub_foo"), 401, "unauthorized", unknown),
        (bearer("ll_short"), 401, "unauthorized", unknown),
        (bearer(&format!("ll_{}", "x".repeat(24))), 401, "unauthorized", unknown),
        (bearer(&public), 401, "unauthorized", unknown),
    ];
    for (header, status, code, expected) in rows {
        for (method, path) in [("POST", "/track/lead"), ("GET", "/links"), ("GET", "/api/customers")] {
            let answer = call(&front, method, path, header.as_deref()).await;
            assert_eq!(answer.refused(status, code), expected, "{path} {header:?}");
        }
    }
    front.finish().await;
}

#[tokio::test]
async fn each_refusal_of_a_publishable_key_has_its_words() {
    let front = Front::start().await;
    let public = made(&front.store, &front.workspace, KeyKind::Publishable).await;
    let bearer = |key: &str| Some(format!("Bearer {key}"));
    let invalid = "Invalid or missing publishable key.";
    let rows = [
        (None, 401, "unauthorized", "Missing publishable key."),
        (Some("x".to_owned()), 400, "bad_request", invalid),
        (bearer(&front.key), 400, "bad_request", invalid),
        (bearer("dub_pk_0123456789abcdef"), 401, "unauthorized", "Invalid publishable key."),
        (bearer(&format!("ll_pk_{}", "x".repeat(24))), 401, "unauthorized", "Invalid publishable key."),
        (
            bearer(&public),
            400,
            "bad_request",
            "Invalid JSON format in request body. Please ensure the request body is a valid JSON object.",
        ),
    ];
    for (header, status, code, expected) in rows {
        let answer = call(&front, "POST", "/track/lead/client", header.as_deref()).await;
        assert_eq!(answer.refused(status, code), expected, "{header:?}");
        assert_eq!(answer.headers["access-control-allow-origin"], "*");
    }
    front.finish().await;
}

#[tokio::test]
async fn a_revoked_key_is_refused_within_two_seconds() {
    let front = Front::start().await;
    front.get("/links").await.good();
    let key = front.store.keys(None).await.unwrap().remove(0);
    assert_eq!(key.hint, format!("ll_...{}", &front.key[front.key.len() - 4..]));
    front.store.revoke_key(key.id).await.unwrap().unwrap();
    let revoked = Instant::now();
    eventually("the refusal", || async {
        let asked = revoked.elapsed();
        let status = front.get("/links").await.status;
        // Two seconds, and what a busy machine adds.
        assert!(status == 401 || asked < Duration::from_secs(5), "{status} when asked {asked:?} later");
        holds(status == 401, status)
    })
    .await;
    front.finish().await;
}

#[tokio::test]
async fn a_known_key_is_believed_while_postgres_is_away_and_an_unknown_one_is_not() {
    let front = Front::with(|config| config.store.key_ttl = Duration::from_millis(1)).await;
    front.get("/links").await.good();
    front.store.close().await;
    let known = front.call("POST", "/track/lead", "{}").await;
    known.refused(422, "unprocessable_entity");
    assert!(!front.health.is_up(Engine::Postgres));
    let stranger = format!("Bearer ll_{}", "x".repeat(24));
    let unknown = call(&front, "POST", "/track/lead", Some(&stranger)).await;
    unknown.refused(503, "service_unavailable");
    assert_eq!(unknown.headers["retry-after"], "1");
    front.finish().await;
}

#[tokio::test]
async fn guessing_is_limited_and_disturbs_nobody() {
    let front = Front::with(|config| config.store.unknown_key_lookups = 5).await;
    front.get("/links").await.good();
    let mut limited = 0;
    for n in 0..50 {
        let guess = format!("Bearer ll_{n:0>24}");
        let answer = call(&front, "GET", "/links", Some(&guess)).await;
        if answer.status == 429 {
            assert_eq!(answer.refused(429, "rate_limit_exceeded"), "Too many requests.");
            limited += 1;
        }
    }
    assert!(limited > 20, "{limited}");
    front.get("/links").await.good();
    front.finish().await;
}

#[tokio::test]
async fn many_first_requests_of_one_key_are_one_look_up() {
    let front = Front::with(|config| config.store.unknown_key_lookups = 1).await;
    let calls = (0..64).map(|_| front.get("/links/count"));
    for answer in futures_util::future::join_all(calls).await {
        answer.good();
    }
    front.finish().await;
}

#[tokio::test]
async fn a_new_key_works_soon_after_it_was_unknown() {
    let front = Front::start().await;
    let key = made(&front.store, &front.workspace, KeyKind::Secret).await;
    let header = format!("Bearer {key}");
    call(&front, "GET", "/links", Some(&header)).await.good();
    front.finish().await;
}
