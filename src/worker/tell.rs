//! Tells whoever waits, and counts what became of each delivery.
//!
//! **Invariant:** a reply is sent after the commit it speaks of, and losing it is harmless: the
//! caller gets 503, and its repeat is a duplicate.

use chrono::{DateTime, Utc};

use super::Bench;
use super::spans::Spans;
use crate::lead::{LeadMessage, Mode, Trace};
use crate::record::{Batch, Recorded, Told, Verdict};
use crate::reply::{self, Reply};
use crate::store::Ended;
use crate::telemetry::{REPLIES, Span, Step};

/// Tells about a batch and what it woke.
pub(super) fn verdicts(bench: &Bench, batch: &Batch, recorded: &Recorded, committed: DateTime<Utc>, spans: &mut Spans) {
    for (message, reply_to) in batch.leads() {
        let span = spans.take(message.id);
        match recorded.verdicts.get(&message.id) {
            Some(Verdict::Ended(ended)) => {
                let asked = reply_to.map(|queue| (queue, recorded.brought.contains(&message.id)));
                one(bench, message, asked, ended, committed, span);
            }
            Some(Verdict::Parked) => count(bench, message.mode, "parked", span),
            Some(Verdict::Bury(_)) | None => count(bench, message.mode, "buried", span),
        }
    }
    parked(bench, &recorded.woken, committed);
}

/// Tells about leads that had been parked.
pub(super) fn parked(bench: &Bench, told: &[Told], committed: DateTime<Utc>) {
    for Told { message, reply_to, ended } in told {
        let mut span = bench.tracer.step(Step::Record, message.trace.as_deref());
        span.note("lead.id", message.id);
        one(bench, message, reply_to.as_deref().map(|queue| (queue, false)), ended, committed, span);
    }
}

/// `asked`: the reply queue of whoever waits, and whether the lead brought its customer.
fn one(
    bench: &Bench,
    message: &LeadMessage,
    asked: Option<(&str, bool)>,
    ended: &Ended,
    committed: DateTime<Utc>,
    span: Span,
) {
    let replying = if asked.is_some() { bench.tracer.under(&span, Step::Publish(REPLIES)) } else { Span::default() };
    count(bench, message.mode, ended.ending.as_str(), span);
    let seconds = seconds(message.accepted_at, committed);
    bench.metrics.accept_to_commit.with_label_values(&[message.mode.as_str()]).observe(seconds);
    let (mode, ending) = (message.mode.as_str(), ended.ending.as_str());
    let trace_id = message.trace.as_deref().map(Trace::id);
    tracing::debug!(lead.id = %message.id, lead.mode = mode, lead.ending = ending, trace_id, "lead ended");
    if let Some((queue, brought)) = asked {
        let reply = Reply {
            v: Reply::VERSION,
            id: message.id,
            ending: ended.ending,
            reason: ended.reason,
            click_id: ended.click_id.clone(),
            link_id: ended.link_id,
            brought,
            trace: replying.place(),
        };
        reply::send(&bench.publisher, &bench.metrics, queue.to_owned(), &reply);
    }
}

/// From one clock's time to another's, not below 0.
pub(super) fn seconds(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    (to - from).num_milliseconds().max(0) as f64 / 1000.0
}

/// Counts what became of a lead, and ends its span with it.
fn count(bench: &Bench, mode: Mode, ending: &'static str, mut span: Span) {
    span.note("lead.ending", ending);
    bench.metrics.deliveries.with_label_values(&[mode.as_str(), ending]).inc();
}
