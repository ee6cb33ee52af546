//! Which spans are kept.
//!
//! A span with a parent is kept if that is, whoever decided it. What begins a trace is kept at a ratio, by its id; but a batch is
//! kept for the leads in it, which have been decided about: so whatever links to a trace begins one that is kept.
//!
//! **Invariant:** a trace is kept as a whole or not at all.

use opentelemetry::trace::{Link, SpanKind, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

/// The decision.
#[derive(Debug, Clone)]
pub(super) struct Sampling(Sampler);

impl Sampling {
    /// Keeps this share of what nobody decided about, 0 to 1.
    pub(super) fn new(ratio: f64) -> Self {
        Self(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
    }
}

impl ShouldSample for Sampling {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        if links.is_empty() {
            return self.0.should_sample(parent, trace_id, name, kind, attributes, links);
        }
        SamplingResult {
            decision: SamplingDecision::RecordAndSample,
            attributes: Vec::new(),
            trace_state: TraceState::default(),
        }
    }
}
