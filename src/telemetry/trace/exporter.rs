//! Sends spans to a collector: OTLP over HTTP, in protobuf, by a task of its own.
//!
//! The library's exporter is not used: it reads a dozen variables of the environment by itself, over our configuration. What it
//! would send is made by the same crate of messages, and sent by the HTTP client, and its TLS, that `leadline import` has.
//!
//! Enters: spans that ended. Leaves: requests to `telemetry.otlp_endpoint`, of up to 512 spans, half a second after the first.
//!
//! **Invariant:** nothing waits for the collector but this task, and at a stop it does so no longer than two seconds.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::Shared;
use opentelemetry::KeyValue;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::SpanData;
use percent_encoding::percent_decode_str;
use prost::Message;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use secrecy::ExposeSecret;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::sleep;
use uuid::Uuid;

use super::super::Metrics;
use crate::config;

/// Spans in one request at most.
const LOT: usize = 512;
/// How long the first of them waits for others.
const GATHERED_WITHIN: Duration = Duration::from_millis(500);
/// How long a collector may take to answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
/// Pauses before it is asked again, where that may help.
const PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];
/// How long a stop waits for what is left.
const FLUSHED_WITHIN: Duration = Duration::from_secs(2);

/// Why spans cannot be exported as configured.
#[derive(Debug, Error)]
pub enum TraceError {
    /// A header that is none.
    #[error("telemetry.otlp_headers: {0} cannot be sent as a header")]
    Header(String),
    /// The certificates of the system cannot be read, mostly.
    #[error("telemetry.otlp_endpoint: {0}")]
    Client(#[from] reqwest::Error),
}

/// What exports the spans of a process.
#[derive(Debug)]
pub struct Exporter {
    spans: mpsc::Receiver<SpanData>,
    resource: ResourceAttributesWithSchema,
    client: Client,
    url: String,
    metrics: Metrics,
    /// Spans that are being sent.
    under_way: usize,
    /// Whether the collector took what it was sent last.
    up: bool,
}

/// Why a lot was not taken.
#[derive(Debug)]
enum Refused {
    /// It may be the next time.
    Now(String),
    /// It never will.
    Forever(String),
}

impl Exporter {
    pub(super) fn new(
        config: &config::Telemetry,
        resource: &Resource,
        spans: mpsc::Receiver<SpanData>,
        metrics: &Metrics,
    ) -> Result<Self, TraceError> {
        let builder = Client::builder().timeout(ANSWERED_WITHIN).redirect(Policy::none()).no_proxy();
        let client = builder.default_headers(headers(config.otlp_headers.expose_secret())?).build()?;
        let url = format!("{}/v1/traces", config.otlp_endpoint.trim_end_matches('/'));
        let (resource, metrics) = (resource.into(), metrics.clone());
        Ok(Self { spans, resource, client, url, metrics, under_way: 0, up: true })
    }

    /// Exports until the stop, and then what is left, for two seconds at most; what is left after that is counted as dropped.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let stop = stop.shared();
        let mut lot = Vec::with_capacity(LOT);
        let late = async {
            stop.clone().await;
            sleep(FLUSHED_WITHIN).await;
        };
        tokio::select! {
            () = self.work(&mut lot, &stop) => {}
            () = late => {}
        }
        self.spans.close();
        let left = lot.len() + self.under_way + self.spans.len();
        if left > 0 {
            self.count("dropped", left);
            tracing::warn!(spans = left, "spans were left when the stop came");
        }
    }

    async fn work(&mut self, lot: &mut Vec<SpanData>, stop: &Shared<impl Future<Output = ()>>) {
        while self.gather(lot, stop).await {
            self.under_way = lot.len();
            self.send(std::mem::take(lot)).await;
            self.under_way = 0;
        }
    }

    /// Waits for a span, and a little for others; `false` when the stop was asked for and none are left.
    async fn gather(&mut self, lot: &mut Vec<SpanData>, stop: &Shared<impl Future<Output = ()>>) -> bool {
        tokio::select! {
            biased;
            taken = self.spans.recv_many(lot, LOT) => if taken == 0 {
                stop.clone().await;
                return false;
            },
            () = stop.clone() => return false,
        }
        let others = async { while lot.len() < LOT && self.spans.recv_many(lot, LOT - lot.len()).await > 0 {} };
        tokio::select! {
            biased;
            () = others => {}
            () = stop.clone() => {}
            () = sleep(GATHERED_WITHIN) => {}
        }
        true
    }

    async fn send(&mut self, lot: Vec<SpanData>) {
        let count = lot.len();
        let resource_spans = group_spans_by_resource_and_scope(lot, &self.resource);
        let body = Bytes::from(ExportTraceServiceRequest { resource_spans }.encode_to_vec());
        let mut pauses = PAUSES.into_iter();
        let refused = loop {
            match self.post(body.clone()).await {
                Ok(rejected) => {
                    self.count("failed", rejected);
                    self.count("exported", count.saturating_sub(rejected));
                    if !std::mem::replace(&mut self.up, true) {
                        tracing::info!("the collector takes spans again");
                    }
                    return;
                }
                Err(Refused::Forever(why)) => break why,
                Err(Refused::Now(why)) => match pauses.next() {
                    Some(pause) => sleep(pause).await,
                    None => break why,
                },
            }
        };
        self.count("failed", count);
        if std::mem::replace(&mut self.up, false) {
            tracing::warn!(why = refused, "the collector does not take spans");
        }
    }

    /// Sends a lot; returns how many spans of it the collector did not like.
    async fn post(&self, body: Bytes) -> Result<usize, Refused> {
        let request = self.client.post(&self.url).header(CONTENT_TYPE, "application/x-protobuf").body(body);
        let response = request.send().await.map_err(lost)?;
        match response.status() {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Err(Refused::Now(response.status().to_string())),
            status if !status.is_success() => Err(Refused::Forever(status.to_string())),
            _ => {
                // What cannot be read says that all were taken: the status does.
                let said = response.bytes().await.map_err(lost)?;
                let said = ExportTraceServiceResponse::decode(said).unwrap_or_default();
                let rejected = said.partial_success.map_or(0, |partial| partial.rejected_spans);
                Ok(usize::try_from(rejected).unwrap_or(0))
            }
        }
    }

    fn count(&self, result: &'static str, spans: usize) {
        let spans = u64::try_from(spans).unwrap_or(u64::MAX);
        self.metrics.spans.with_label_values(&[result]).inc_by(spans);
    }
}

/// The innermost cause: what the client says itself is only that it could not send.
fn lost(error: reqwest::Error) -> Refused {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Refused::Now(cause.to_string())
}

/// What is true of every span of this process.
pub(super) fn resource(config: &config::Telemetry, role: &'static str) -> Resource {
    let more = pairs(&config.resource).map(|(name, value)| KeyValue::new(name, value));
    let instance = match config.service_instance.as_str() {
        "" => Uuid::now_v7().to_string(),
        given => given.to_owned(),
    };
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", instance))
        .with_attribute(KeyValue::new("leadline.role", role))
        .with_attributes(more)
        .with_attribute(KeyValue::new("service.name", config.service_name.clone()))
        .build()
}

fn headers(text: &str) -> Result<HeaderMap, TraceError> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs(text) {
        let header = HeaderName::try_from(&name).ok().zip(HeaderValue::try_from(value).ok());
        let Some((header, mut value)) = header else { return Err(TraceError::Header(name)) };
        value.set_sensitive(true);
        headers.insert(header, value);
    }
    Ok(headers)
}

/// `name=value` pairs separated by commas, percent-encoded where a value holds one.
fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    let decoded = |text: &str| percent_decode_str(text.trim()).decode_utf8_lossy().into_owned();
    text.split(',').filter_map(move |pair| {
        let (name, value) = pair.split_once('=')?;
        Some((name.trim().to_owned(), decoded(value)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_as_the_conventions_write_them() {
        let read: Vec<_> = pairs("a=1, b = x%2Cy ,,c=d=e").collect();
        let expected = [("a", "1"), ("b", "x,y"), ("c", "d=e")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(read, expected);
        assert_eq!(headers("Api-Key=s,x=y").unwrap().len(), 2);
        let error = headers("no header=s3cret").unwrap_err().to_string();
        assert!(error.contains("no header") && !error.contains("s3cret"), "{error}");
    }
}
