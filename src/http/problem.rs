//! The only failure that becomes a response: the contract's error envelope.
//!
//! Clients tie the code to the status, so each constructor sets both. Statuses the contract does not
//! name carry the code a client would least misread: 405, 408 and 413 are `bad_request` (the request
//! must change), 503 is `service_unavailable` (the same request may be repeated).
//!
//! **Invariant:** a problem never shows an engine's own words.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::lead::{Fault, FieldFault};
use crate::store::StoreError;

/// Why a request is not answered 200.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
    doc_url: &'static str,
    headers: Option<Box<HeaderMap>>,
}

macro_rules! doc {
    ($fragment:literal) => {
        concat!("https://dub.co/docs/api-reference/errors#", $fragment)
    };
}

const INTERNAL: &str = "An internal server error occurred. Please contact our support if the problem persists.";
const AWAY: &str = "The service is temporarily unavailable. Repeating the request is safe.";

impl Problem {
    fn new(
        status: StatusCode,
        code: &'static str,
        doc_url: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, code, message: message.into(), doc_url, headers: None }
    }

    pub(super) fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", doc!("bad-request"), message)
    }

    pub(super) fn unauthorized(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", doc!("unauthorized"), message)
    }

    pub(super) fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", doc!("forbidden"), message)
    }

    pub(super) fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", doc!("not-found"), message)
    }

    pub(super) fn conflict(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", doc!("conflict"), message)
    }

    pub(super) fn unprocessable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unprocessable_entity", doc!("unprocessable-entity"), message)
    }

    pub(super) fn too_many(retry_after: Duration) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limit_exceeded",
            doc!("rate-limit_exceeded"),
            "Too many requests.",
        )
        .retry_after(retry_after)
    }

    pub(super) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_server_error", doc!("internal-server-error"), INTERNAL)
    }

    pub(super) fn unavailable(retry_after: Duration) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", doc!("service-unavailable"), AWAY)
            .retry_after(retry_after)
    }

    /// A status of HTTP itself that the contract does not name.
    pub(super) fn transport(status: StatusCode, message: &'static str) -> Self {
        Self::new(status, "bad_request", doc!("bad-request"), message)
    }

    /// Says it in other words.
    pub(super) fn said(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.message = message.into();
        self
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// What stands under `error`.
    pub(super) fn detail(&self) -> Detail<'_> {
        Detail { code: self.code, message: &self.message, doc_url: self.doc_url }
    }

    /// Points to another page of the documentation.
    pub(super) fn documented_at(mut self, doc_url: &'static str) -> Self {
        self.doc_url = doc_url;
        self
    }

    /// Adds `Retry-After`.
    fn retry_after(self, after: Duration) -> Self {
        self.header(&RETRY_AFTER, HeaderValue::from(whole_seconds(after)))
    }

    pub(super) fn header(mut self, name: &HeaderName, value: HeaderValue) -> Self {
        self.headers.get_or_insert_default().insert(name, value);
        self
    }
}

/// Whole seconds, rounded up, at least one: who waits so long has waited enough.
pub(super) fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Json | Fault::CustomerMissing => Self::bad_request(fault.to_string()),
            Fault::Field(field) => field.into(),
        }
    }
}

impl From<FieldFault> for Problem {
    fn from(fault: FieldFault) -> Self {
        Self::unprocessable(fault.to_string())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.is_away() {
            // The store itself logs when PostgreSQL goes and comes; once per request would drown that.
            tracing::debug!(error = %error, "not answered: postgres does not serve");
            Self::unavailable(Duration::from_secs(1))
        } else {
            tracing::error!(error = %error, "postgres refused what the checks had let through");
            Self::internal()
        }
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Detail<'a>,
}

/// An error as the contract words it.
#[derive(Debug, Serialize)]
pub(super) struct Detail<'a> {
    code: &'static str,
    message: &'a str,
    doc_url: &'static str,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = json(self.status, &Envelope { error: self.detail() }, 256);
        if let Some(headers) = self.headers {
            response.headers_mut().extend(*headers);
        }
        response
    }
}

/// A JSON answer written into one buffer of about `size` bytes.
pub(super) fn json(status: StatusCode, value: &impl Serialize, size: usize) -> Response {
    let mut body = Vec::with_capacity(size);
    let written = serde_json::to_writer(&mut body, value);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = match written {
        Ok(()) => status,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A 200.
pub(super) fn ok(value: &impl Serialize) -> Response {
    json(StatusCode::OK, value, 512)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_envelope_ties_code_and_page_to_the_status() {
        let rows = [
            (Problem::bad_request("m"), 400, "bad_request", "bad-request"),
            (Problem::too_many(Duration::ZERO), 429, "rate_limit_exceeded", "rate-limit_exceeded"),
            (Problem::internal(), 500, "internal_server_error", "internal-server-error"),
            (Problem::unavailable(Duration::from_millis(1500)), 503, "service_unavailable", "service-unavailable"),
        ];
        for (problem, status, code, fragment) in rows {
            let response = problem.into_response();
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
            if status == 503 {
                assert_eq!(response.headers()[RETRY_AFTER], "2");
            }
            let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["error"]["code"], code);
            assert_eq!(body["error"]["doc_url"], format!("https://dub.co/docs/api-reference/errors#{fragment}"));
        }
    }
}
