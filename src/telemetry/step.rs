//! The steps of the walk that have a span of their own: the list of all spans but a request's.
//!
//! A span bears the verb of its hop and where it leads, as the messaging conventions of `OpenTelemetry` have it: `publish s02`,
//! `receive s02`. What two leads have in common in a worker, their batch, belongs to no lead's trace: it is the root of a trace
//! of its own, with a link to every traced lead in it, and each lead's `receive` links back.
//!
//! **Invariant:** names and destinations are closed sets: no id and no caller's word is part of one.

use std::borrow::Cow;

/// The destination of replies in span names; a reply queue's own name is made anew with every connection.
pub const REPLIES: &str = "reply";

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// API: the look-up of click, link and customer.
    Resolve,
    /// API: from handing a lead over to the broker's word on it; the queue. Worker: a reply handed over.
    Publish(&'static str),
    /// Worker: one batch, from its receipt until it is settled; the kind of lane.
    Batch(&'static str),
    /// Worker: one lead of a batch, as long as that; the queue. API: a reply that woke its waiter.
    Receive(&'static str),
    /// Worker, and the API's direct path: the recording transaction, under the batch and under each lead of it.
    Record,
}

impl Step {
    /// The span's name.
    #[must_use]
    pub fn name(self) -> Cow<'static, str> {
        match self {
            Self::Resolve => "resolve".into(),
            Self::Publish(to) => format!("publish {to}").into(),
            Self::Batch(lane) => format!("batch {lane}").into(),
            Self::Receive(from) => format!("receive {from}").into(),
            Self::Record => "record".into(),
        }
    }
}
