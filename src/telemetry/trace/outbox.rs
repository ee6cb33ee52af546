//! Where spans wait to be exported.
//!
//! The library's own batch processor has a thread, and keeps to itself what it drops; this one has a queue, a metric and no thread.
//!
//! Enters: spans that ended. Leaves: the same, to the exporter's task.
//!
//! **Invariant:** whoever ends a span waits for nobody; what finds no room is dropped, and counted.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use prometheus::IntCounter;
use tokio::sync::mpsc;

use super::super::Metrics;

/// Spans that wait at most, of about a kilobyte each.
pub(super) const ROOM: usize = 4096;

/// The near end of the queue.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: mpsc::Sender<SpanData>,
    dropped: IntCounter,
}

/// A queue: where spans go in, and where they come out.
pub(super) fn open(metrics: &Metrics) -> (Outbox, mpsc::Receiver<SpanData>) {
    let (queue, spans) = mpsc::channel(ROOM);
    (Outbox { queue, dropped: metrics.spans.with_label_values(&["dropped"]) }, spans)
}

impl SpanProcessor for Outbox {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.queue.try_send(span).is_err() {
            self.dropped.inc();
        }
    }

    /// The exporter is told by its own stop.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    /// The same; the queue ends with the last tracer.
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}
