//! What travels of a trace with a lead, from process to process: the two texts of W3C Trace Context.
//!
//! Enters: what a caller sent, or what the exporter's library wrote. Leaves: the same, in messages, replies and headers. Only
//! what is exported travels: of a lead that nobody traces, or whose caller decided against it, nothing is kept.
//!
//! **Invariant:** nobody decides about a lead by its trace.

use serde::{Deserialize, Serialize};

/// Most bytes of a `tracestate` that are passed on; a longer one is dropped as a whole, as the recommendation has it.
const STATE_MOST: usize = 512;

/// A place in a trace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// `traceparent`: version, trace id, span id, flags.
    #[serde(rename = "traceparent")]
    pub parent: String,
    /// `tracestate`: what other tracers wish to find again; empty if there is none.
    #[serde(rename = "tracestate", default, skip_serializing_if = "String::is_empty")]
    pub state: String,
}

impl Trace {
    /// A place as it was read; a `tracestate` of more than 512 bytes is left out.
    #[must_use]
    pub fn new(parent: String, state: String) -> Self {
        Self { parent, state: if state.len() > STATE_MOST { String::new() } else { state } }
    }

    /// The trace's id, for log lines; empty if what travelled is no `traceparent`.
    #[must_use]
    pub fn id(&self) -> &str {
        self.parent.split('-').nth(1).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_names_its_trace_and_keeps_a_state_that_is_short_enough() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = Trace::new(parent.to_owned(), "a=1".to_owned());
        assert_eq!(trace.id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(trace.state, "a=1");
        assert_eq!(Trace::new(parent.to_owned(), "x".repeat(512)).state.len(), 512);
        assert_eq!(Trace::new(parent.to_owned(), "x".repeat(513)).state, "");
        assert_eq!(Trace::default().id(), "");
    }
}
