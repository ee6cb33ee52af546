//! What every request gets, whoever answers it: a request id, its spans, a count, the seal, and CORS on pages' routes.
//!
//! The id is the caller's `x-request-id` if it is short and plain, else made here; it is echoed and stands in the log lines, and
//! so does the id of the trace that the request belongs to. Routes are counted by template, so that no label value comes from a
//! caller. While the process drains, every answer ends its connection, so that none is open when the doors close.
//!
//! **Invariant:** the set of route labels is closed.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::http::header::CONNECTION;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures_util::future::Either;
use tower::{Layer, Service};
use tracing::Instrument;
use uuid::Uuid;

use super::state::Shared;
use super::{Http, Problem, origin, seal, traced, visitor};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_MAX: usize = 128;

/// The layer.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    http: Http,
}

impl Watch {
    pub(super) fn new(http: &Http) -> Self {
        Self { http: http.clone() }
    }

    /// Whether the address that asks has asked too often. Probes are never turned away.
    fn throttled(&self, route: &str, request: &Request) -> Option<Problem> {
        let Shared { throttle, config, metrics, .. } = &*self.http;
        if !throttle.minds_addresses() || matches!(route, "/livez" | "/readyz") {
            return None;
        }
        let address = visitor::address_of(request.headers(), visitor::peer(request.extensions()), config);
        let problem = throttle.address(address).err()?;
        metrics.turned_away.with_label_values(&["address"]).inc();
        Some(problem)
    }
}

impl<S> Layer<S> for Watch {
    type Service = Watched<S>;

    fn layer(&self, inner: S) -> Watched<S> {
        Watched { inner, watch: self.clone() }
    }
}

/// A watched service.
#[derive(Debug, Clone)]
pub(super) struct Watched<S> {
    inner: S,
    watch: Watch,
}

impl<S> Service<Request> for Watched<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let route = route(request.uri().path());
        let id = request_id(request.headers());
        let http = self.watch.http.clone();
        let traced = traced::begin(&http.tracer, route, &mut request);
        let span = match traced.trace_id() {
            Some(trace_id) => tracing::info_span!("request", request.id = ?id, route, trace_id),
            None => tracing::debug_span!("request", request.id = ?id, route),
        };
        let answer = match self.watch.throttled(route, &request) {
            Some(problem) => Either::Left(ready(Ok(problem.into_response()))),
            None => Either::Right(self.inner.call(request)),
        };
        let watched = async move {
            let mut response = answer.await?;
            if matches!(route, "/track/click" | "/track/lead/client") {
                origin::share(response.headers_mut());
            }
            response.headers_mut().insert(REQUEST_ID, id);
            seal::put(response.headers_mut());
            if http.health.is_draining() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            let status = response.status();
            let labels = [route, status.as_str()];
            http.metrics.http_requests.with_label_values(&labels).inc();
            traced::end(traced, status);
            tracing::debug!(status = status.as_u16(), "answered");
            Ok(response)
        };
        Box::pin(watched.instrument(span))
    }
}

/// The template of a path.
fn route(path: &str) -> &'static str {
    let bare = path.strip_prefix("/api").unwrap_or(path);
    match bare {
        "/track/lead" => "/track/lead",
        "/track/lead/batch" => "/track/lead/batch",
        "/track/lead/client" => "/track/lead/client",
        "/track/click" => "/track/click",
        "/links" => "/links",
        "/links/info" => "/links/info",
        "/links/count" => "/links/count",
        "/customers" => "/customers",
        "/livez" => "/livez",
        "/readyz" => "/readyz",
        "/openapi.json" => "/openapi.json",
        _ if bare.starts_with("/links/") => "/links/{id}",
        _ if bare.starts_with("/customers/") => "/customers/{id}",
        _ if bare.starts_with("/workspaces/") => "/workspaces/{id}",
        _ => "other",
    }
}

pub(super) fn request_id(headers: &HeaderMap) -> HeaderValue {
    let plain = |id: &&HeaderValue| {
        let id = id.as_bytes();
        (1..=REQUEST_ID_MAX).contains(&id.len())
            && id.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(b))
    };
    headers.get(REQUEST_ID).filter(plain).cloned().unwrap_or_else(made)
}

fn made() -> HeaderValue {
    let mut text = Uuid::encode_buffer();
    let text = Uuid::now_v7().simple().encode_lower(&mut text);
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_has_a_label_of_its_own() {
        for (path, _) in crate::http::routes() {
            assert_eq!(route(&path.replace("{id}", "x")), path);
        }
    }

    #[test]
    fn routes_are_counted_by_template() {
        for (path, expected) in [
            ("/api/track/lead", "/track/lead"),
            ("/links/link_1", "/links/{id}"),
            ("/api/customers/ext_a/b", "/customers/{id}"),
            ("/.env", "other"),
        ] {
            assert_eq!(route(path), expected);
        }
    }

    #[test]
    fn only_plain_request_ids_are_taken() {
        let id = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, text.parse().unwrap());
            request_id(&headers)
        };
        assert_eq!(id("abc-1"), "abc-1");
        assert_eq!(id("a b").len(), 32);
        assert_eq!(id(&"x".repeat(129)).len(), 32);
    }
}
