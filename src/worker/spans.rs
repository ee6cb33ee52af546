//! The spans of a batch: its own, and one for every traced lead in it.
//!
//! A batch brings leads of many traces and belongs to none: it is the root of a trace of its own, with a link to the publishing
//! of each. What a lead lived through is told in its own trace: it was received, linked back to the batch, and recorded.
//!
//! Enters: what was received. Leaves: a span for each traced lead, until it is told what became of it.
//!
//! **Invariant:** a batch in which nothing is traced makes no span and allocates nothing.

use std::collections::HashMap;

use uuid::Uuid;

use super::inbox::Readable;
use crate::lead::Trace;
use crate::telemetry::{Span, Step, Tracer};

/// The spans of one batch; dropping them ends them.
#[derive(Debug, Default)]
pub(super) struct Spans {
    batch: Span,
    leads: HashMap<Uuid, Span>,
}

/// The spans of its transaction.
#[derive(Debug)]
pub(super) struct Recording {
    batch: Span,
    leads: Vec<Span>,
}

impl Spans {
    /// Begins them.
    pub(super) fn begin(tracer: &Tracer, lane: &'static str, received: &[Readable]) -> Self {
        if !tracer.is_on() {
            return Self::default();
        }
        let places = || received.iter().filter_map(place);
        let mut batch = tracer.gather(Step::Batch(lane), places().map(|(_, place)| place));
        if !batch.is_live() {
            return Self::default();
        }
        batch.count("messaging.batch.message_count", received.len());
        let leads = places().map(|(readable, place)| {
            let mut span = tracer.step(Step::Receive(readable.queue.as_str()), Some(place));
            span.link(&batch);
            span.note("lead.id", readable.received.message.id);
            span.note("lead.mode", readable.received.message.mode.as_str());
            (readable.received.message.id, span)
        });
        Self { leads: leads.collect(), batch }
    }

    /// Begins the spans of the transaction.
    pub(super) fn record(&self, tracer: &Tracer) -> Recording {
        let leads = self.leads.values().map(|lead| tracer.under(lead, Step::Record));
        Recording { batch: tracer.under(&self.batch, Step::Record), leads: leads.collect() }
    }

    /// The span of a lead of this batch; nothing if it is not traced, or was taken before.
    pub(super) fn take(&mut self, id: Uuid) -> Span {
        self.leads.remove(&id).unwrap_or_default()
    }
}

impl Recording {
    /// Ends them, in which so many leads were recorded, if they were.
    pub(super) fn end(mut self, recorded: Option<usize>) {
        match recorded {
            Some(leads) => self.batch.count("batch.len", leads),
            None => self.leads.iter_mut().chain([&mut self.batch]).for_each(|span| span.fail("given back")),
        }
    }
}

fn place(readable: &Readable) -> Option<(&Readable, &Trace)> {
    Some((readable, readable.received.message.trace.as_deref()?))
}
