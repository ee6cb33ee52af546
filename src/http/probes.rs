//! `/livez`, `/readyz` and `/metrics`.
//!
//! *Live*: the process answers. *Ready*: it can do its duty and is not about to stop. An API accepts
//! leads with either engine: they queue up, or are recorded directly. A process that has just started
//! waits for the word on `RabbitMQ` first, because `wait` and follow-ups want it. A worker needs both.
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
use crate::lifecycle::{Condition, Engine, Health};
use crate::telemetry::Metrics;

/// What the second listener needs.
#[derive(Debug, Clone)]
pub(super) struct Probed {
    pub(super) health: Health,
    pub(super) metrics: Metrics,
    pub(super) duty: Duty,
}

/// What a process is there for, as far as readiness is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// It accepts leads.
    Accepts,
    /// It only records them.
    Records,
}

pub(super) async fn live() -> Response {
    problem::ok(&json!({"status": "alive"}))
}

/// On the API's listener.
pub(super) async fn ready(State(http): State<Http>) -> Response {
    readiness(&http.health, Duty::Accepts)
}

/// On the second listener.
pub(super) async fn admin_ready(State(probed): State<Probed>) -> Response {
    readiness(&probed.health, probed.duty)
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

fn readiness(health: &Health, duty: Duty) -> Response {
    let (postgres, rabbitmq) = (health.of(Engine::Postgres), health.of(Engine::Rabbitmq));
    let able = matches!(
        (duty, postgres, rabbitmq),
        (_, Condition::Up, Condition::Up)
            | (Duty::Accepts, _, Condition::Up)
            | (Duty::Accepts, Condition::Up, Condition::Away)
    );
    let status = match (health.is_draining(), able) {
        (true, _) => "stopping",
        (false, true) => "ready",
        (false, false) => "unavailable",
    };
    let code = if status == "ready" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({"status": status, "postgres": postgres.as_str(), "rabbitmq": rabbitmq.as_str()});
    problem::json(code, &body, 128)
}
