//! `/livez`, `/readyz` and `/metrics`.
//!
//! *Live*: the process answers. *Ready*: it takes leads, so it is not stopping and `RabbitMQ` is up;
//! while only `PostgreSQL` is away, leads are accepted and queue up.
//!
//! **Invariant:** a probe reads what is known and asks no engine: probing never adds load to an outage.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::problem;
use super::{Http, Problem};
use crate::lifecycle::{Engine, Health, Stop};
use crate::telemetry::Metrics;

/// What the second listener needs.
#[derive(Debug, Clone)]
pub(super) struct Probed {
    pub(super) health: Health,
    pub(super) metrics: Metrics,
    pub(super) stop: Stop,
}

pub(super) async fn live() -> Response {
    problem::ok(&json!({"status": "alive"}))
}

/// On the API's listener.
pub(super) async fn ready(State(http): State<Http>) -> Response {
    readiness(&http.health, &http.stop)
}

/// On the second listener.
pub(super) async fn admin_ready(State(probed): State<Probed>) -> Response {
    readiness(&probed.health, &probed.stop)
}

pub(super) async fn metrics(State(probed): State<Probed>) -> Response {
    match probed.metrics.render() {
        Ok(text) => {
            let mut response = Response::new(Body::from(text));
            let kind = HeaderValue::from_static("text/plain; version=0.0.4");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        Err(error) => {
            tracing::error!(error = %error, "metrics cannot be rendered");
            Problem::internal().into_response()
        }
    }
}

fn readiness(health: &Health, stop: &Stop) -> Response {
    let word = |engine| if health.is_up(engine) { "up" } else { "away" };
    let status = match (stop.is_asked(), health.is_up(Engine::Rabbitmq)) {
        (true, _) => "stopping",
        (false, true) => "ready",
        (false, false) => "unavailable",
    };
    let code = if status == "ready" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "status": status,
        "postgres": word(Engine::Postgres),
        "rabbitmq": word(Engine::Rabbitmq),
    });
    problem::json(code, &body, 128)
}
