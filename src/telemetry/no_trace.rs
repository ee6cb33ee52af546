//! Tracing in a build without the feature `otlp`: there are no spans, and nothing here costs anything.
//!
//! Enters and leaves: what enters and leaves `trace/mod.rs`, whose words these are.
//!
//! **Invariant:** no value made here has a size.

use std::convert::Infallible;
use std::fmt::Display;
use std::future::Future;

use super::{Metrics, Step};
use crate::config;
use crate::lead::Trace;

/// Why spans cannot be exported: never, since a configuration that asks for it is refused before.
pub type TraceError = Infallible;

/// Makes no spans.
#[derive(Debug, Clone, Default)]
pub struct Tracer {}

/// No span.
#[derive(Debug, Default)]
pub struct Span {}

/// There is none.
#[derive(Debug)]
pub enum Exporter {}

impl Tracer {
    /// A tracer of nothing.
    ///
    /// # Errors
    /// None.
    pub fn start(_: &config::Telemetry, _: &'static str, _: &Metrics) -> Result<(Self, Option<Exporter>), TraceError> {
        Ok((Self {}, None))
    }

    /// Never.
    #[must_use]
    pub fn is_on(&self) -> bool {
        false
    }

    /// No span.
    #[must_use]
    pub fn request(&self, _: &'static str, _: Option<&'static str>, _: Option<&Trace>) -> Span {
        Span {}
    }

    /// No span.
    #[must_use]
    pub fn step(&self, _: Step, _: Option<&Trace>) -> Span {
        Span {}
    }

    /// No span.
    #[must_use]
    pub fn under(&self, _: &Span, _: Step) -> Span {
        Span {}
    }

    /// No span.
    #[must_use]
    pub fn gather<'a>(&self, _: Step, _: impl Iterator<Item = &'a Trace>) -> Span {
        Span {}
    }
}

impl Span {
    /// Never.
    #[must_use]
    pub fn is_live(&self) -> bool {
        false
    }

    /// Nowhere.
    #[must_use]
    pub fn place(&self) -> Option<Box<Trace>> {
        None
    }

    /// None.
    #[must_use]
    pub fn trace_id(&self) -> Option<String> {
        None
    }

    /// Notes nothing.
    pub fn note(&mut self, _: &'static str, _: impl Display) {}

    /// Notes nothing.
    pub fn count(&mut self, _: &'static str, _: usize) {}

    /// Notes nothing.
    pub fn fail(&mut self, _: impl Display) {}

    /// Links nothing.
    pub fn link(&mut self, _: &Self) {}

    /// Ends nothing.
    pub fn end(self) {}
}

impl Exporter {
    /// Nobody has an exporter to call this on.
    pub async fn run(self, _: impl Future<Output = ()>) {
        match self {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_it_takes_room() {
        assert_eq!((size_of::<Tracer>(), size_of::<Span>(), size_of::<Option<Exporter>>()), (0, 0, 0));
    }
}
