//! Every metric, declared once: field, name, labels, help, buckets. The README's table comes from this list.
//!
//! Counters count deliveries and may exceed the number of leads after redeliveries; only `PostgreSQL` is
//! exact. Seconds and counts are base units.
//!
//! **Invariant:** a metric that stands not in this list does not exist; rooms get the struct, never the registry.

use prometheus::core::Collector;
use prometheus::{
    Encoder, Error, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// What kind of metric it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations in buckets.
    Histogram,
}

impl Kind {
    /// The word of the exposition format.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The declaration of one metric.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Full name, with unit.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// Label names; their values are closed sets.
    pub labels: &'static [&'static str],
    /// What it answers.
    pub help: &'static str,
    /// Upper bounds; empty unless a histogram.
    pub buckets: &'static [f64],
}

const FAST: &[f64] =
    &[0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
const SLOW: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0];
const SIZES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

macro_rules! metrics {
    ($($field:ident: $kind:ident $name:literal [$($label:literal),*] $buckets:expr, $help:literal;)*) => {
        /// Handles on every metric of one process.
        #[derive(Debug, Clone)]
        pub struct Metrics {
            registry: Registry,
            $(#[doc = $help] pub $field: metrics!(@type $kind),)*
        }

        /// The list: one declaration per metric, in flow order.
        pub const SPECS: &[Spec] = &[$(Spec {
            name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help, buckets: $buckets,
        },)*];

        impl Metrics {
            /// Registers every metric in a registry of its own.
            ///
            /// # Errors
            /// Only for a malformed declaration, which any test that starts an application finds.
            pub fn new() -> Result<Self, Error> {
                let registry = Registry::new();
                $(let $field = registered(&registry, metrics!(@build $kind $name, $help, &[$($label),*], $buckets))?;)*
                Ok(Self { registry, $($field),* })
            }
        }
    };
    (@type Counter) => { IntCounterVec };
    (@type Gauge) => { IntGaugeVec };
    (@type Histogram) => { HistogramVec };
    (@build Counter $name:literal, $help:literal, $labels:expr, $buckets:expr) => {
        IntCounterVec::new(Opts::new($name, $help), $labels)?
    };
    (@build Gauge $name:literal, $help:literal, $labels:expr, $buckets:expr) => {
        IntGaugeVec::new(Opts::new($name, $help), $labels)?
    };
    (@build Histogram $name:literal, $help:literal, $labels:expr, $buckets:expr) => {
        HistogramVec::new(HistogramOpts::new($name, $help).buckets($buckets.to_vec()), $labels)?
    };
}

metrics! {
    http_requests: Counter "leadline_http_requests_total" ["route", "status"] &[], "Requests answered, by route and status code.";
    connections: Gauge "leadline_connections" [] &[], "Connections open, on all listeners.";
    turned_away: Counter "leadline_turned_away_total" ["why"] &[], "Turned away at the door: connections (too many open), bytes (too many body bytes in flight), key and address (rate limits).";
    answers: Counter "leadline_answers_total" ["mode", "answer"] &[], "Lead requests answered, by mode and what was said: accepted, duplicate, refused, unavailable.";
    batch_requests: Histogram "leadline_batch_request_leads" [] SIZES, "Leads in one batch request.";
    answer_seconds: Histogram "leadline_answer_seconds" ["mode"] FAST, "From the arrival of a lead request to its answer.";
    in_flight: Gauge "leadline_in_flight_requests" [] &[], "Lead requests between arrival and answer.";
    resolve_seconds: Histogram "leadline_resolve_seconds" ["result"] FAST, "Look-up of click, link and customer at accept: resolved or skipped.";
    resolve_batch: Histogram "leadline_resolve_batch_requests" [] SIZES, "Requests served by one look-up statement.";
    publishes: Counter "leadline_publishes_total" ["result"] &[], "Leads and replies published: confirmed, nacked (queue full), crowded (no room in the window in time), unconfirmed (deadline passed), away.";
    message_letters: Histogram "leadline_message_letters" [] SIZES, "Leads, or replies, in one published message.";
    breaker_open: Gauge "leadline_breaker_open" [] &[], "Whether leads are recorded straight into PostgreSQL because RabbitMQ does not confirm (1) or go through the queue (0).";
    breaker_turns: Counter "leadline_breaker_turns_total" ["to"] &[], "Times the breaker turned: open, closed.";
    direct_leads: Counter "leadline_direct_leads_total" ["result"] &[], "Leads sent down the direct path: ended, parked, buried, failed (answered 503).";
    confirm_seconds: Histogram "leadline_confirm_seconds" [] FAST, "From publish to the broker's confirm.";
    waiters: Gauge "leadline_waiters" [] &[], "Requests blocked on the reply queue.";
    replies: Counter "leadline_replies_total" ["result"] &[], "Replies: sent by a worker, lost by a worker, delivered to a waiter, late for it, unreadable.";
    accept_to_reply: Histogram "leadline_accept_to_reply_seconds" ["mode"] FAST, "From accept to the reply that woke its waiter.";
    deliveries: Counter "leadline_deliveries_total" ["mode", "ending"] &[], "Deliveries settled, by mode and what became of them (an ending, or parked).";
    in_hand: Gauge "leadline_deliveries_in_hand" ["lane"] &[], "Deliveries that a worker has received and not settled yet, by kind of lane.";
    redeliveries: Counter "leadline_redeliveries_total" ["queue"] &[], "Deliveries that the broker had handed out before.";
    accept_to_commit: Histogram "leadline_accept_to_commit_seconds" ["mode"] SLOW, "From accept (API's clock) to the commit of the ending (worker's clock).";
    batch_leads: Histogram "leadline_batch_leads" ["lane"] SIZES, "Leads recorded in one transaction, by kind of lane; direct is the API's own while RabbitMQ is away.";
    batch_seconds: Histogram "leadline_batch_seconds" ["result"] FAST, "One recording transaction: committed, repeated (a lead was not new), refused (a row condemned) or failed.";
    holds: Counter "leadline_holds_total" [] &[], "Times a lane began to hold its batch because PostgreSQL was away.";
    buried: Counter "leadline_buried_total" ["cause"] &[], "Messages buried: undecodable, foreign, refused, crashing, dead.";
    parked: Gauge "leadline_parked_leads" [] &[], "Follow-ups parked, as the last sweep saw them.";
    sweeps: Counter "leadline_sweeps_total" ["result"] &[], "Sweeps of parked leads: ok or failed.";
    queue_messages: Gauge "leadline_queue_messages" ["queue"] &[], "Messages ready in a queue, as the broker last said.";
    broker_connects: Counter "leadline_broker_connects_total" ["purpose", "result"] &[], "Attempts to connect to RabbitMQ, by purpose (publish, consume) and result.";
    pool_connections: Gauge "leadline_pool_connections" ["pool", "state"] &[], "PostgreSQL connections, by pool and state (idle, used).";
    spans: Counter "leadline_spans_total" ["result"] &[], "Spans of traced leads: exported, dropped (no room in the queue, or the stop came first), failed (the collector did not take them).";
    engine_up: Gauge "leadline_engine_up" ["engine"] &[], "Whether an engine answered last time (1) or not (0).";
    build_info: Gauge "leadline_build_info" ["version"] &[], "Always 1; the label names the version.";
}

impl Metrics {
    /// The exposition text, version 0.0.4.
    ///
    /// # Errors
    /// Only if a collector is inconsistent, which the tests exclude.
    pub fn render(&self) -> Result<Vec<u8>, Error> {
        let mut text = Vec::with_capacity(16 * 1024);
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

/// The list as the Markdown table that stands in the README.
#[must_use]
pub fn markdown_table() -> String {
    let mut table = String::from("| metric | kind | labels | what it answers |\n| --- | --- | --- | --- |\n");
    for spec in SPECS {
        let labels = spec.labels.iter().map(|l| format!("`{l}`")).collect::<Vec<_>>().join(", ");
        table.push_str(&format!("| `{}` | {} | {labels} | {} |\n", spec.name, spec.kind.as_str(), spec.help));
    }
    table
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_declaration_is_well_formed() {
        let metrics = Metrics::new().unwrap();
        metrics.build_info.with_label_values(&["test"]).set(1);
        let text = String::from_utf8(metrics.render().unwrap()).unwrap();
        assert!(text.contains("leadline_build_info{version=\"test\"} 1"));
        for spec in SPECS {
            assert_eq!(spec.kind == Kind::Counter, spec.name.ends_with("_total"), "{}", spec.name);
            assert_eq!(spec.kind == Kind::Histogram, !spec.buckets.is_empty(), "{}", spec.name);
        }
    }
}
