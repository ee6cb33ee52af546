//! Workspaces through the API, probes, and what every route does alike.
//!
//! **Invariant:** a key never sees another workspace.

use axum::body::Body;
use axum::http::Request;
use leadline::lead::id;
use serde_json::{Value, json};

use crate::harness::eventually::eventually;
use crate::http_setup::{Front, send};

#[tokio::test]
async fn a_workspace_is_shown_and_changed() {
    let front = Front::start().await;
    front.store.add_domain(front.workspace.id, "a.co").await.unwrap();
    let id = id::show(id::WORKSPACE, front.workspace.id);
    let shown = front.get("/workspaces/acme").await.good();
    assert_eq!(shown, front.get(&format!("/api/workspaces/{id}")).await.good());
    assert_eq!((&shown["id"], &shown["conversionEnabled"]), (&json!(id), &json!(false)));
    assert_eq!(shown["domains"], json!([{"slug": "a.co", "primary": true, "verified": true}]));
    let change =
        r#"{"name":"Acme Ltd","slug":"acme-2","conversionEnabled":true,"allowedHostnames":["a.com"],"logo":"x"}"#;
    let changed = front.call("PATCH", "/workspaces/acme", change).await.good();
    assert_eq!((&changed["name"], &changed["slug"]), (&json!("Acme Ltd"), &json!("acme-2")));
    assert_eq!((&changed["conversionEnabled"], &changed["allowedHostnames"]), (&json!(true), &json!(["a.com"])));
    assert_eq!(changed.get("publishableKey"), None::<&Value>);
    front.get("/workspaces/acme").await.refused(404, "not_found");
    front.finish().await;
}

#[tokio::test]
async fn each_refusal_of_a_workspace_has_its_words() {
    let front = Front::start().await;
    front.stranger().await;
    let eleven = json!({"allowedHostnames": vec!["a.com"; 11]}).to_string();
    let rows = [
        ("other", "{}", 404, "not_found", "Workspace not found."),
        ("acme", r#"{"slug":"other"}"#, 409, "conflict", "The slug \"other\" is already in use."),
        (
            "acme",
            r#"{"conversionEnabled":"true"}"#,
            422,
            "unprocessable_entity",
            "invalid_type: conversionEnabled: Invalid input: expected boolean, received string",
        ),
        ("acme", r#"{"allowedHostnames":["no host"]}"#, 422, "unprocessable_entity", "Invalid hostnames."),
        ("acme", &eleven, 422, "unprocessable_entity", "too_big: allowedHostnames: Maximum of 10 hostnames allowed."),
        (
            "acme",
            r#"{"name":""}"#,
            422,
            "unprocessable_entity",
            "too_small: name: Too small: expected string to have >=1 characters",
        ),
        (
            "acme",
            r#"{"slug":"ab"}"#,
            422,
            "unprocessable_entity",
            "too_small: slug: Too small: expected string to have >=3 characters",
        ),
    ];
    for (name, body, status, code, expected) in rows {
        let answer = front.call("PATCH", &format!("/workspaces/{name}"), body).await;
        assert_eq!(answer.refused(status, code), expected, "{name} {body}");
    }
    front.finish().await;
}

#[tokio::test]
async fn unknown_routes_and_methods_get_the_envelope_and_a_request_id() {
    let front = Front::start().await;
    for (method, path, status, code) in [
        ("GET", "/", 404, "not_found"),
        ("GET", "/api", 404, "not_found"),
        ("GET", "/api/api/links", 404, "not_found"),
        ("GET", "/track/lead", 405, "bad_request"),
        ("DELETE", "/customers", 405, "bad_request"),
        ("GET", "/workspaces/a/b", 404, "not_found"),
    ] {
        let request = Request::builder().method(method).uri(path).header("x-request-id", "r-1");
        let answer = send(&front.router, request.body(Body::empty()).unwrap()).await;
        answer.refused(status, code);
        assert_eq!(answer.headers["x-request-id"], "r-1", "{method} {path}");
    }
    let live = front.get("/livez").await;
    assert_eq!(live.headers["x-request-id"].len(), 32);
    live.good();
    // The first attempt at a broker that is not there ends soon.
    let ready = eventually("the word on rabbitmq", || async {
        let ready = front.get("/readyz").await;
        if ready.body["rabbitmq"] == "away" { Ok(ready) } else { Err(ready.body) }
    })
    .await;
    let body = json!({"status": "ready", "postgres": "up", "rabbitmq": "away"});
    assert_eq!((ready.status.as_u16(), ready.body), (200, body));
    front.health.drain();
    let stopping = front.get("/readyz").await;
    assert_eq!((stopping.status.as_u16(), &stopping.body["status"]), (503, &json!("stopping")));
    assert_eq!(stopping.headers["connection"], "close");
    front.finish().await;
}
