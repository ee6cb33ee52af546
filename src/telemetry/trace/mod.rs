//! Spans, in a build that exports them.
//!
//! Enters: steps of the walk, and what their lead brought of a trace. Leaves: spans, to the [`Exporter`]. They are made with
//! `OpenTelemetry`'s own library and not with `tracing`'s layer for it: whether a lead is traced stands in its message, so one
//! that is not costs a comparison, where a span of `tracing` would be made first and left out afterwards; and a batch ends
//! hundreds of spans at once, of hundreds of traces, none of which is the current one.
//!
//! **Invariant:** making and ending a span never waits and never fails; a tracer that is off makes nothing.

mod exporter;
mod outbox;
mod sampling;

use std::fmt::Display;
use std::sync::Arc;

use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, Tracer as _, TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, SpanLimits};

pub use exporter::{Exporter, TraceError};

use super::{Metrics, REPLIES, Step};
use crate::config;
use crate::lead::Trace;
use sampling::Sampling;

/// Most leads that a batch's span names; as many as a lane takes at once, and a message more.
const LINKS: u32 = 1024;

/// Makes spans; clones share the exporter.
#[derive(Debug, Clone, Default)]
pub struct Tracer(Option<Arc<SdkTracer>>);

/// A span, or nothing; dropping it ends it.
#[derive(Debug, Default)]
pub struct Span(Option<Box<opentelemetry_sdk::trace::Span>>);

impl Tracer {
    /// A tracer, and what exports its spans; a tracer of nothing without `telemetry.otlp_endpoint`. `role` is what the process
    /// does.
    ///
    /// # Errors
    /// [`TraceError`] when nothing can be exported as configured.
    pub fn start(
        config: &config::Telemetry,
        role: &'static str,
        metrics: &Metrics,
    ) -> Result<(Self, Option<Exporter>), TraceError> {
        if config.otlp_endpoint.is_empty() {
            return Ok((Self::default(), None));
        }
        let resource = exporter::resource(config, role);
        let (outbox, spans) = outbox::open(metrics);
        let exporter = Exporter::new(config, &resource, spans, metrics)?;
        let provider = SdkTracerProvider::builder()
            .with_span_processor(outbox)
            .with_sampler(Sampling::new(config.sample_ratio))
            .with_span_limits(SpanLimits { max_links_per_span: LINKS, ..SpanLimits::default() })
            .with_resource(resource)
            .build();
        Ok((Self(Some(Arc::new(provider.tracer(env!("CARGO_PKG_NAME"))))), Some(exporter)))
    }

    /// Whether spans are exported at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Begins the span of a request: `from` what its caller sent. Nothing if neither the caller traces it nor the sampler.
    #[must_use]
    pub fn request(&self, method: &'static str, route: Option<&'static str>, from: Option<&Trace>) -> Span {
        let Some(tracer) = &self.0 else { return Span::default() };
        let callers = from.map(read).filter(SpanContext::is_valid);
        let is_known = callers.is_some();
        let name = route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
        let mut attributes = vec![KeyValue::new("http.request.method", method)];
        attributes.extend(route.map(|route| KeyValue::new("http.route", route)));
        let builder = SpanBuilder::from_name(name).with_kind(SpanKind::Server).with_attributes(attributes);
        let span = tracer.build_with_context(builder, &callers.map_or_else(Context::new, above));
        if is_known || span.span_context().is_sampled() { Span(Some(Box::new(span))) } else { Span::default() }
    }

    /// Begins a step of a lead; nothing if the lead is not traced.
    #[must_use]
    pub fn step(&self, step: Step, place: Option<&Trace>) -> Span {
        match (&self.0, place) {
            (Some(_), Some(place)) => self.below(&read(place), step),
            _ => Span::default(),
        }
    }

    /// Begins a step under another span; nothing if that is nothing.
    #[must_use]
    pub fn under(&self, span: &Span, step: Step) -> Span {
        span.0.as_ref().map_or_else(Span::default, |span| self.below(span.span_context(), step))
    }

    /// Begins a step that many leads have in common, as a trace of its own; nothing if none of them is traced.
    #[must_use]
    pub fn gather<'a>(&self, step: Step, places: impl Iterator<Item = &'a Trace>) -> Span {
        let Some(tracer) = &self.0 else { return Span::default() };
        let traced = places.map(read).filter(SpanContext::is_sampled);
        let links: Vec<Link> = traced.map(Link::with_context).collect();
        if links.is_empty() {
            return Span::default();
        }
        Span(Some(Box::new(tracer.build_with_context(builder(step).with_links(links), &Context::new()))))
    }

    fn below(&self, context: &SpanContext, step: Step) -> Span {
        match &self.0 {
            Some(tracer) if context.is_sampled() => {
                Span(Some(Box::new(tracer.build_with_context(builder(step), &above(context.clone())))))
            }
            _ => Span::default(),
        }
    }
}

impl Span {
    /// Whether it is exported.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.0.as_ref().is_some_and(|span| span.is_recording())
    }

    /// What a lead has to take along to go on from here; nothing if it is not exported.
    #[must_use]
    pub fn place(&self) -> Option<Box<Trace>> {
        let span = self.0.as_ref().filter(|span| span.is_recording())?;
        Some(Box::new(written(span.span_context())))
    }

    /// The id of its trace, which somebody may export even if we do not.
    #[must_use]
    pub fn trace_id(&self) -> Option<String> {
        self.0.as_ref().map(|span| span.span_context().trace_id().to_string())
    }

    /// Notes something about it.
    pub fn note(&mut self, name: &'static str, value: impl Display) {
        if let Some(span) = self.0.as_mut().filter(|span| span.is_recording()) {
            span.set_attribute(KeyValue::new(name, value.to_string()));
        }
    }

    /// Notes a number.
    pub fn count(&mut self, name: &'static str, value: usize) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(name, i64::try_from(value).unwrap_or(i64::MAX)));
        }
    }

    /// Notes that it did not work, and why in a word.
    pub fn fail(&mut self, why: impl Display) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new("error.type", why.to_string()));
            span.set_status(Status::error(""));
        }
    }

    /// Links it to another.
    pub fn link(&mut self, other: &Self) {
        if let (Some(span), Some(other)) = (&mut self.0, &other.0) {
            span.add_link(other.span_context().clone(), Vec::new());
        }
    }

    /// Ends it now.
    pub fn end(self) {
        drop(self);
    }
}

/// What the conventions for messaging ask for, of each step.
fn builder(step: Step) -> SpanBuilder {
    let (kind, messaging) = match step {
        Step::Resolve | Step::Record => (SpanKind::Internal, None),
        Step::Publish(to) => (SpanKind::Producer, Some(("publish", "send", to))),
        Step::Batch(lane) => (SpanKind::Consumer, Some(("receive", "receive", lane))),
        Step::Receive(from) => (SpanKind::Consumer, Some(("receive", "process", from))),
    };
    let mut attributes = Vec::new();
    if let Some((name, operation, destination)) = messaging {
        attributes.extend([
            KeyValue::new("messaging.system", "rabbitmq"),
            KeyValue::new("messaging.operation.name", name),
            KeyValue::new("messaging.operation.type", operation),
            KeyValue::new("messaging.destination.name", destination),
        ]);
        if destination == REPLIES {
            attributes.push(KeyValue::new("messaging.destination.temporary", true));
        }
    }
    SpanBuilder::from_name(step.name()).with_kind(kind).with_attributes(attributes)
}

fn above(context: SpanContext) -> Context {
    Context::new().with_remote_span_context(context)
}

/// Reads what travelled; what is no trace context is an invalid one, which is not sampled.
fn read(place: &Trace) -> SpanContext {
    if !has_form(&place.parent) {
        return SpanContext::empty_context();
    }
    let found = TraceContextPropagator::new().extract_with_context(&Context::new(), &Texts(place.clone()));
    found.span().span_context().clone()
}

/// Whether a text has the form of a `traceparent`: the library takes shorter ids as well.
fn has_form(text: &str) -> bool {
    let is_hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let mut parts = text.split('-');
    [2, 32, 16, 2].into_iter().all(|len| parts.next().is_some_and(|part| part.len() == len && is_hex(part)))
}

fn written(context: &SpanContext) -> Trace {
    let mut texts = Texts(Trace::default());
    TraceContextPropagator::new().inject_context(&above(context.clone()), &mut texts);
    Trace::new(texts.0.parent, texts.0.state)
}

/// The two texts, as the propagator wishes to see them.
struct Texts(Trace);

impl Extractor for Texts {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => Some(&self.0.parent),
            "tracestate" => Some(&self.0.state),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

impl Injector for Texts {
    fn set(&mut self, key: &str, value: String) {
        match key {
            "traceparent" => self.0.parent = value,
            "tracestate" => self.0.state = value,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn tracer(ratio: f64) -> Tracer {
        let mut config = config::load(None).unwrap().telemetry;
        "http://127.0.0.1:1".clone_into(&mut config.otlp_endpoint);
        config.sample_ratio = ratio;
        Tracer::start(&config, "api", &Metrics::new().unwrap()).unwrap().0
    }

    fn place(parent: &str) -> Trace {
        Trace::new(parent.to_owned(), "vendor=opaque".to_owned())
    }

    #[test]
    fn without_an_endpoint_nothing_is_made() {
        let config = config::load(None).unwrap().telemetry;
        let (tracer, exporter) = Tracer::start(&config, "api", &Metrics::new().unwrap()).unwrap();
        assert!(exporter.is_none() && !tracer.is_on());
        let span = tracer.request("POST", Some("/track/lead"), Some(&place(PARENT)));
        assert!(!span.is_live() && span.place().is_none() && span.trace_id().is_none());
        assert!(!tracer.step(Step::Resolve, Some(&place(PARENT))).is_live());
    }

    #[test]
    fn a_callers_word_decides_and_the_ratio_where_there_is_none() {
        for (ratio, begins) in [(0.0, false), (1.0, true)] {
            let tracer = tracer(ratio);
            assert_eq!(tracer.request("GET", None, None).is_live(), begins);
            let traced = tracer.request("GET", None, Some(&place(PARENT)));
            assert!(traced.is_live());
            let unwished = place(&PARENT.replace("-01", "-00"));
            let silent = tracer.request("GET", None, Some(&unwished));
            assert!(!silent.is_live() && silent.place().is_none());
            assert_eq!(silent.trace_id().as_deref(), Some(unwished.id()), "for log lines");
            assert!(!tracer.step(Step::Record, Some(&unwished)).is_live());
        }
    }

    #[test]
    fn a_trace_goes_on_through_whatever_it_takes_along() {
        let tracer = tracer(0.0);
        let request = tracer.request("POST", Some("/track/lead"), Some(&place(PARENT))).place().unwrap();
        let publish = tracer.step(Step::Publish("s00"), Some(&request)).place().unwrap();
        for trace in [&request, &publish] {
            assert_eq!((trace.id(), trace.state.as_str()), (place(PARENT).id(), "vendor=opaque"));
        }
        assert_ne!(request.parent, publish.parent);
        let batch = tracer.gather(Step::Batch("shards"), [&*publish, &place("nonsense")].into_iter());
        assert!(batch.is_live(), "kept for what is in it, whatever the ratio");
        assert_ne!(batch.trace_id().as_deref(), Some(publish.id()));
        assert!(tracer.under(&batch, Step::Record).is_live());
        assert!(!tracer.gather(Step::Batch("shards"), std::iter::empty()).is_live());
        assert!(!tracer.gather(Step::Batch("shards"), [&place("nonsense")].into_iter()).is_live());
    }

    #[test]
    fn spans_beyond_the_queue_are_dropped_and_counted() {
        let mut config = config::load(None).unwrap().telemetry;
        "http://127.0.0.1:1".clone_into(&mut config.otlp_endpoint);
        let metrics = Metrics::new().unwrap();
        let (tracer, exporter) = Tracer::start(&config, "api", &metrics).unwrap();
        (0..outbox::ROOM + 7).for_each(|_| drop(tracer.request("GET", None, None)));
        assert_eq!(metrics.spans.with_label_values(&["dropped"]).get(), 7);
        drop(exporter);
    }

    #[test]
    fn what_has_another_form_is_no_trace() {
        assert!(read(&place(PARENT)).is_valid());
        assert!(read(&place(&format!("cc{}-what-comes-later", &PARENT[2..]))).is_valid(), "of a later version");
        for malformed in [
            "",
            "00-4bf9-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            &PARENT.to_uppercase(),
            &format!("{PARENT}-more"),
        ] {
            assert!(!read(&place(malformed)).is_valid(), "{malformed}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_ignored(
            parent in "([0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}.?|.{0,60})",
            state in ".{0,80}|([a-z]{1,4}=[a-z]{1,4},?){0,40}",
        ) {
            let given = Trace::new(parent, state);
            let context = read(&given);
            if context.is_valid() {
                let written = written(&context);
                prop_assert_eq!(written.id(), given.id());
                prop_assert!(written.state.len() <= 512);
                prop_assert_eq!(read(&written).trace_flags(), context.trace_flags());
            } else {
                prop_assert!(!context.is_sampled());
            }
        }
    }
}
