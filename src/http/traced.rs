//! The span of a request, and its place in a trace for whoever handles it.
//!
//! Enters: `traceparent` and `tracestate` as the caller sent them. Leaves: a span that goes on with that trace, or begins one
//! where the sampler says so. A caller that does not trace its request decides for us too. On the pages' routes nobody's trace is
//! gone on with: no page may send the headers, so whoever does is a stranger with time on his hands. Probes have no span.
//!
//! **Invariant:** of a request its method, its route and its status are told; never its path, its query or its body.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};

use super::Http;
use crate::lead::Trace;
use crate::telemetry::{Span, Tracer};

const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";

/// Where a request stands in a trace; `None` unless that is exported.
#[derive(Debug, Clone)]
pub(super) struct Traced(pub(super) Option<Box<Trace>>);

impl FromRequestParts<Http> for Traced {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, http: &Http) -> Result<Self, Infallible> {
        let found = if http.tracer.is_on() { parts.extensions.remove::<Self>() } else { None };
        Ok(found.unwrap_or(Self(None)))
    }
}

/// Begins the span of a request, and leaves its place in the request.
pub(super) fn begin(tracer: &Tracer, route: &'static str, request: &mut Request) -> Span {
    if !tracer.is_on() || matches!(route, "/livez" | "/readyz") {
        return Span::default();
    }
    let is_pages = matches!(route, "/track/click" | "/track/lead/client");
    let from = if is_pages { None } else { sent(request.headers()) };
    let known = Some(route).filter(|route| *route != "other");
    let span = tracer.request(method(request.method().as_str()), known, from.as_ref());
    if let Some(place) = span.place() {
        request.extensions_mut().insert(Traced(Some(place)));
    }
    span
}

/// Ends it with what was answered.
pub(super) fn end(mut span: Span, status: StatusCode) {
    span.count("http.response.status_code", status.as_u16().into());
    if status.is_server_error() {
        span.fail(status.as_str());
    }
}

/// What a caller sent, unread; nothing if it sent two of what there is one of.
fn sent(headers: &HeaderMap) -> Option<Trace> {
    let mut parents = headers.get_all(PARENT).iter();
    let parent = parents.next().filter(|_| parents.next().is_none())?.to_str().ok()?;
    let states: Option<Vec<&str>> = headers.get_all(STATE).iter().map(|state| state.to_str().ok()).collect();
    Some(Trace::new(parent.to_owned(), states.unwrap_or_default().join(",")))
}

/// The method as the conventions have it: a word of a stranger's own is none.
fn method(given: &str) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "POST", "PATCH", "PUT", "DELETE", "OPTIONS", "HEAD", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == given).unwrap_or("_OTHER")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn of(headers: &[(&'static str, &'static str)]) -> Option<Trace> {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let mut map = HeaderMap::new();
        for (name, value) in headers.iter().map(pair) {
            map.append(name, value);
        }
        sent(&map)
    }

    #[test]
    fn states_are_joined_and_two_parents_are_none() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("tracestate", "a=1")]), None);
        let one = of(&[("traceparent", "p"), ("tracestate", "a=1"), ("tracestate", "b=2")]).unwrap();
        assert_eq!((one.parent.as_str(), one.state.as_str()), ("p", "a=1,b=2"));
        assert_eq!(of(&[("traceparent", "p"), ("traceparent", "q")]), None);
    }

    #[test]
    fn a_strangers_method_is_no_name() {
        assert_eq!(["POST", "post", "BREW"].map(method), ["POST", "_OTHER", "_OTHER"]);
    }
}
