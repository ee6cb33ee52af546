//! A collector of traces as small as one can be: it takes OTLP over HTTP and keeps every span.
//!
//! Enters: protobuf, at `/v1/traces`. Leaves: the spans, each with what its sender said of itself.
//!
//! **Invariant:** what does not decode, comes without its headers or to another path fails the test that sent it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1 as wire;
use prost::Message;
use tokio::net::TcpListener;

use super::eventually::eventually;

/// What a test's processes must send along.
pub(crate) const HEADER: (&str, &str) = ("x-collector-key", "let-me-in");

/// A span as it arrived; ids are lower-case hexadecimal.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) name: String,
    pub(crate) kind: wire::span::SpanKind,
    pub(crate) trace_id: String,
    pub(crate) id: String,
    /// Empty for a root.
    pub(crate) parent: String,
    pub(crate) state: String,
    /// Trace and span id of each link.
    pub(crate) links: Vec<(String, String)>,
    pub(crate) attributes: BTreeMap<String, String>,
    /// Of the process that sent it.
    pub(crate) resource: BTreeMap<String, String>,
    pub(crate) is_error: bool,
    /// Nanoseconds since 1970.
    pub(crate) time: (u64, u64),
}

impl Span {
    /// An attribute, or nothing.
    pub(crate) fn said(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    /// Something of its process, or nothing.
    pub(crate) fn of(&self, name: &str) -> Option<&str> {
        self.resource.get(name).map(String::as_str)
    }

    fn read(span: wire::Span, resource: &BTreeMap<String, String>) -> Self {
        let failed = |status: wire::Status| status.code() == wire::status::StatusCode::Error;
        Self {
            kind: span.kind(),
            name: span.name,
            trace_id: hex::encode(span.trace_id),
            id: hex::encode(span.span_id),
            parent: hex::encode(span.parent_span_id),
            state: span.trace_state,
            links: span.links.iter().map(|link| (hex::encode(&link.trace_id), hex::encode(&link.span_id))).collect(),
            attributes: pairs(&span.attributes),
            resource: resource.clone(),
            is_error: span.status.is_some_and(failed),
            time: (span.start_time_unix_nano, span.end_time_unix_nano),
        }
    }
}

/// A running collector; it ends with its test's runtime.
#[derive(Debug, Clone)]
pub(crate) struct Collector {
    /// What `telemetry.otlp_endpoint` has to be.
    pub(crate) endpoint: String,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    /// Starts without spans.
    #[expect(clippy::disallowed_methods, reason = "the collector's task ends with the test's runtime")]
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let collector = Self { endpoint, spans: Arc::default() };
        let router = Router::new().route("/v1/traces", post(take)).with_state(collector.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        collector
    }

    /// What a process needs to send its spans here.
    pub(crate) fn settings(&self) -> [(&str, &str); 2] {
        [
            ("LEADLINE__TELEMETRY__OTLP_ENDPOINT", &self.endpoint),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-collector-key=let-me-in"),
        ]
    }

    /// Every span so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    /// The spans of one trace, once there are so many.
    pub(crate) async fn trace(&self, trace_id: &str, count: usize) -> Vec<Span> {
        eventually("the spans of a trace", || async {
            let mut spans = self.spans();
            spans.retain(|span| span.trace_id == trace_id);
            let names: Vec<String> = spans.iter().map(|span| span.name.clone()).collect();
            if spans.len() >= count { Ok(spans) } else { Err(names) }
        })
        .await
    }
}

async fn take(State(collector): State<Collector>, headers: HeaderMap, body: Bytes) -> (StatusCode, Vec<u8>) {
    assert_eq!(headers.get("content-type").unwrap(), "application/x-protobuf");
    if headers.get(HEADER.0).is_none_or(|key| key != HEADER.1) {
        return (StatusCode::UNAUTHORIZED, Vec::new());
    }
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let mut spans = Vec::new();
    for group in request.resource_spans {
        let resource = pairs(&group.resource.unwrap_or_default().attributes);
        let sent = group.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.extend(sent.map(|span| Span::read(span, &resource)));
    }
    collector.spans.lock().unwrap().extend(spans);
    (StatusCode::OK, ExportTraceServiceResponse::default().encode_to_vec())
}

fn pairs(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    attributes.iter().map(|pair| (pair.key.clone(), text(pair.value.as_ref()))).collect()
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        other => format!("{other:?}"),
    }
}
