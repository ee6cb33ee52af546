//! Every metric, declared once: field, name, labels with their values, buckets, help. The README's table comes from this list.
//!
//! Counters count deliveries and may exceed the number of leads after redeliveries; only `PostgreSQL` is
//! exact. Seconds and counts are base units. The one format is text, version 0.0.4: the `prometheus` crate writes neither
//! `OpenMetrics` nor exemplars.
//!
//! Prometheus does not see the first increment of a series that was not there before, so counters and histograms show
//! every series of declared label values from the start. Gauges show what was set: an engine nobody asked yet is not away.
//!
//! **Invariant:** a metric that stands not in this list does not exist; rooms get the struct, never the registry.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{
    CounterVec, Encoder, Error, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use super::hands::Hands;
use super::process;

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
    /// The values of each label, where they are few and known; the series of all of them are shown from the start.
    pub values: &'static [&'static [&'static str]],
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
/// 1 KiB to 16 MiB.
const BYTES: &[f64] = &[1024.0, 4096.0, 16384.0, 65536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0];

const MODES: &[&str] = &["async", "wait", "deferred"];
const LANES: &[&str] = &["shards", "wait", "dead"];
const QUEUES: &[&str] = &["s00", "s01", "s02", "s03", "wait", "dead"];

/// The values of `leadline_failures_total`: rooms, and the kinds of failure that each can meet.
pub const FAILURES: &[(&str, &[&str])] = &[
    (
        "intake",
        &[
            "no_permit",
            "no_waiter",
            "queue_full",
            "crowded",
            "no_verdict",
            "broker_away",
            "postgres_away",
            "engines_away",
            "follows",
            "buried",
        ],
    ),
    ("http", &["keys_away"]),
    ("broker", &["away", "silent", "gone", "blocked", "refused", "mismatch", "untrusted", "setting"]),
    ("worker", &["channel_lost", "gave_up"]),
    ("store", &["away", "pool_timed_out", "collision", "read_only", "silent", "untrusted", "setting"]),
];

macro_rules! metrics {
    ($($field:ident: $kind:ident $name:literal [$($label:literal $(of $values:expr)?),*] $buckets:expr, $help:literal;)*) => {
        /// Handles on every metric of one process.
        #[derive(Debug, Clone)]
        pub struct Metrics {
            registry: Registry,
            scrape: Arc<Mutex<()>>,
            /// What lanes have in hand, of which a scrape shows the oldest.
            pub hands: Hands,
            $(#[doc = $help] pub $field: metrics!(@type $kind),)*
        }

        /// The list: one declaration per metric, in flow order.
        pub const SPECS: &[Spec] = &[$(Spec {
            name: $name, kind: metrics!(@kind $kind), labels: &[$($label),*],
            values: &[$(metrics!(@values $($values)?)),*], help: $help, buckets: $buckets,
        },)*];

        impl Metrics {
            fn declared() -> Result<Self, Error> {
                let registry = Registry::new();
                $(
                    let $field = registered(&registry, metrics!(@build $kind $name, $help, &[$($label),*], $buckets))?;
                    metrics!(@show $kind $field, &[$(metrics!(@values $($values)?)),*]);
                )*
                Ok(Self { registry, scrape: Arc::default(), hands: Hands::default(), $($field),* })
            }
        }
    };
    (@kind FloatCounter) => { Kind::Counter };
    (@kind FloatGauge) => { Kind::Gauge };
    (@kind $kind:ident) => { Kind::$kind };
    (@type Counter) => { IntCounterVec };
    (@type FloatCounter) => { CounterVec };
    (@type Gauge) => { IntGaugeVec };
    (@type FloatGauge) => { GaugeVec };
    (@type Histogram) => { HistogramVec };
    (@values) => { &[] };
    (@values $values:expr) => { $values };
    (@build Histogram $name:literal, $help:literal, $labels:expr, $buckets:expr) => {
        HistogramVec::new(HistogramOpts::new($name, $help).buckets($buckets.to_vec()), $labels)?
    };
    (@build $kind:ident $name:literal, $help:literal, $labels:expr, $buckets:expr) => {
        <metrics!(@type $kind)>::new(Opts::new($name, $help), $labels)?
    };
    (@show Counter $family:ident, $values:expr) => { shown(&$family, $values)? };
    (@show Histogram $family:ident, $values:expr) => { shown(&$family, $values)? };
    (@show $kind:ident $family:ident, $values:expr) => {};
}

metrics! {
    http_requests: Counter "leadline_http_requests_total" ["route", "status"] &[], "Requests answered, by route and status code.";
    connections: Gauge "leadline_connections" [] &[], "Connections open, on all listeners.";
    turned_away: Counter "leadline_turned_away_total" ["why" of &["connections", "bytes", "key", "address"]] &[], "Turned away at the door: connections (too many open), bytes (too many body bytes in flight), key and address (rate limits).";
    answers: Counter "leadline_answers_total" ["mode" of MODES, "answer" of &["accepted", "duplicate", "refused", "unavailable"]] &[], "Lead requests answered, by mode and what was said: accepted, duplicate, refused, unavailable.";
    batch_requests: Histogram "leadline_batch_request_leads" [] SIZES, "Leads in one batch request.";
    batch_request_seconds: Histogram "leadline_batch_request_seconds" [] SLOW, "From the arrival of a batch request to its answer.";
    answer_seconds: Histogram "leadline_answer_seconds" ["mode" of MODES] FAST, "From the arrival of a request for one lead to its answer.";
    in_flight: Gauge "leadline_in_flight_requests" [] &[], "Lead requests between arrival and answer.";
    resolve_seconds: Histogram "leadline_resolve_seconds" ["result" of &["resolved", "skipped"]] FAST, "Look-up of click, link and customer at accept: resolved or skipped.";
    guesses: Counter "leadline_guesses_total" ["customer" of &["new", "known"]] &[], "Waited-for leads recorded without a look-up, since click and link were in memory, by what their customer turned out to be: new as guessed, or known (and looked up afterwards).";
    resolve_batch: Histogram "leadline_resolve_batch_requests" [] SIZES, "Requests served by one look-up statement.";
    publishes: Counter "leadline_publishes_total" ["result" of &["confirmed", "nacked", "crowded", "unconfirmed", "away"]] &[], "Leads and replies published: confirmed, nacked (queue full), crowded (no room in the window in time), unconfirmed (deadline passed), away.";
    message_letters: Histogram "leadline_message_letters" [] SIZES, "Leads, or replies, in one published message.";
    breaker_open: Gauge "leadline_breaker_open" [] &[], "Whether leads are recorded straight into PostgreSQL because RabbitMQ does not confirm (1) or go through the queue (0).";
    breaker_turns: Counter "leadline_breaker_turns_total" ["to" of &["open", "closed"]] &[], "Times the breaker turned: open, closed.";
    direct_leads: Counter "leadline_direct_leads_total" ["result" of &["ended", "parked", "buried", "failed"]] &[], "Leads sent down the direct path: ended, parked, buried, failed (the queue has the last word, else 503).";
    confirm_seconds: Histogram "leadline_confirm_seconds" [] FAST, "From publish to the broker's confirm.";
    waiters: Gauge "leadline_waiters" [] &[], "Requests blocked on the reply queue.";
    replies: Counter "leadline_replies_total" ["result" of &["sent", "lost", "delivered", "late", "unreadable"]] &[], "Replies: sent by a worker, lost by a worker, delivered to a waiter, late for it, unreadable.";
    accept_to_reply: Histogram "leadline_accept_to_reply_seconds" ["mode" of MODES] FAST, "From accept to the reply that woke its waiter.";
    deliveries: Counter "leadline_deliveries_total" ["mode" of MODES, "ending" of &["recorded", "deferred", "duplicate", "rejected", "buried", "parked"]] &[], "Deliveries settled, by mode and what became of them (an ending, or parked).";
    in_hand: Gauge "leadline_deliveries_in_hand" ["lane"] &[], "Deliveries that a worker has received and not settled yet, by kind of lane.";
    oldest_lead: Gauge "leadline_oldest_lead_accepted_timestamp_seconds" ["lane"] &[], "When the oldest lead in hand was accepted, by kind of lane; 0 if none is in hand.";
    redeliveries: Counter "leadline_redeliveries_total" ["queue" of QUEUES] &[], "Deliveries that the broker had handed out before.";
    queue_wait: Histogram "leadline_queue_wait_seconds" ["lane" of LANES] SLOW, "From accept (API's clock) to a worker's receiving it (worker's clock), by kind of lane.";
    accept_to_commit: Histogram "leadline_accept_to_commit_seconds" ["mode" of MODES] SLOW, "From accept (API's clock) to the commit of the ending (worker's clock).";
    batch_leads: Histogram "leadline_batch_leads" ["lane" of &["shards", "wait", "dead", "direct"]] SIZES, "Leads recorded in one transaction, by kind of lane; direct is the API's own while RabbitMQ is away.";
    batch_bytes: Histogram "leadline_batch_bytes" ["lane" of LANES] BYTES, "Bytes of the leads that a lane took at once, by kind of lane.";
    batch_seconds: Histogram "leadline_batch_seconds" ["result" of &["committed", "repeated", "refused", "failed"]] FAST, "One recording transaction: committed, repeated (a lead was not new), refused (a row condemned) or failed.";
    holds: Counter "leadline_holds_total" [] &[], "Times a lane began to hold its batch because PostgreSQL was away.";
    buried: Counter "leadline_buried_total" ["cause" of &["undecodable", "foreign", "refused", "crashing", "dead"]] &[], "Messages buried: undecodable, foreign, refused, crashing, dead.";
    buried_leads: Gauge "leadline_buried_leads" ["state"] &[], "Messages buried, waiting or replayed, as the last sweep saw them.";
    suspects: Gauge "leadline_suspect_messages" [] &[], "Messages that came back and are counted before they are begun, as the last sweep saw them.";
    parked: Gauge "leadline_parked_leads" [] &[], "Follow-ups parked, as the last sweep saw them.";
    oldest_parked: Gauge "leadline_oldest_parked_timestamp_seconds" [] &[], "Since when the oldest follow-up is parked, as the last sweep saw it; 0 if none is.";
    sweeps: Counter "leadline_sweeps_total" ["result" of &["ok", "failed"]] &[], "Sweeps of parked leads: ok or failed.";
    queue_messages: Gauge "leadline_queue_messages" ["queue"] &[], "Messages ready in a queue, as the broker last said.";
    queue_consumers: Gauge "leadline_queue_consumers" ["queue"] &[], "Consumers of a queue, of all workers, as the broker last said.";
    broker_connects: Counter "leadline_broker_connects_total" ["purpose" of &["publish", "consume"], "result" of &["ok", "failed"]] &[], "Attempts to connect to RabbitMQ, by purpose (publish, consume) and result.";
    pool_connections: Gauge "leadline_pool_connections" ["pool", "state"] &[], "PostgreSQL connections, by pool and state (idle, used).";
    pool_most: Gauge "leadline_pool_connections_max" ["pool"] &[], "Most PostgreSQL connections a pool may open.";
    spans: Counter "leadline_spans_total" ["result" of &["exported", "dropped", "failed"]] &[], "Spans of traced leads: exported, dropped (no room in the queue, or the stop came first), failed (the collector did not take them).";
    engine_up: Gauge "leadline_engine_up" ["engine"] &[], "Whether an engine answered last time (1) or not (0).";
    failures: Counter "leadline_failures_total" ["room", "kind"] &[], "Failures of the world, by the room that met them and what they were; of intake and http, why callers got 503.";
    clock_skew: FloatGauge "leadline_clock_skew_seconds" [] &[], "This machine's clock minus PostgreSQL's; positive when ours is ahead.";
    build_info: Gauge "leadline_build_info" ["version", "role"] &[], "Always 1; the labels name the version and what the process is: api, worker, all.";
    cpu_seconds: FloatCounter "process_cpu_seconds_total" [] &[], "User and system CPU time this process has used.";
    resident_bytes: Gauge "process_resident_memory_bytes" [] &[], "Resident memory of this process.";
    open_fds: Gauge "process_open_fds" [] &[], "File descriptors this process has open.";
    max_fds: Gauge "process_max_fds" [] &[], "File descriptors this process may have open.";
    started: FloatGauge "process_start_time_seconds" [] &[], "When this process was started, in seconds since 1970.";
}

impl Metrics {
    /// Registers every metric in a registry of its own.
    ///
    /// # Errors
    /// Only for a malformed declaration, which any test that starts an application finds.
    pub fn new() -> Result<Self, Error> {
        let metrics = Self::declared()?;
        for (room, kinds) in FAILURES {
            shown(&metrics.failures, &[&[*room], kinds])?;
        }
        // Once: what the kernel calls the time of its boot moves with the clock.
        if let Some(started) = process::started() {
            metrics.started.with_label_values(NONE).set(started);
        }
        Ok(metrics)
    }

    /// The exposition text, version 0.0.4.
    ///
    /// # Errors
    /// Only if a collector is inconsistent, which the tests exclude.
    pub fn render(&self) -> Result<Vec<u8>, Error> {
        // One at a time: two at once would both add what the CPU counter lacks.
        let _alone = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        for (lane, since) in self.hands.oldest() {
            self.oldest_lead.with_label_values(&[lane]).set(since);
        }
        if let Some(usage) = process::usage() {
            let cpu = self.cpu_seconds.with_label_values(NONE);
            cpu.inc_by((usage.cpu_seconds - cpu.get()).max(0.0));
            self.resident_bytes.with_label_values(NONE).set(usage.resident_bytes);
            self.open_fds.with_label_values(NONE).set(usage.open_fds);
            self.max_fds.with_label_values(NONE).set(usage.max_fds);
        }
        let mut text = Vec::with_capacity(64 * 1024);
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

const NONE: &[&str] = &[];

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

/// Touches the series of every combination of label values; without a label there is one, and none if a label has no values.
fn shown<B: MetricVecBuilder>(family: &MetricVec<B>, values: &[&[&str]]) -> Result<(), Error> {
    let mut series: Vec<Vec<&str>> = vec![Vec::new()];
    for of_label in values {
        let with = |begun: &Vec<_>, value| [begun.as_slice(), &[value]].concat();
        series = series.iter().flat_map(|begun| of_label.iter().map(move |value| with(begun, *value))).collect();
    }
    series.iter().try_for_each(|labels| family.get_metric_with_label_values(labels).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposed(metrics: &Metrics) -> String {
        String::from_utf8(metrics.render().unwrap()).unwrap()
    }

    #[test]
    fn every_declaration_is_well_formed() {
        let metrics = Metrics::new().unwrap();
        metrics.build_info.with_label_values(&["test", "all"]).set(1);
        assert!(exposed(&metrics).contains("leadline_build_info{role=\"all\",version=\"test\"} 1"));
        for spec in SPECS {
            assert_eq!(spec.kind == Kind::Counter, spec.name.ends_with("_total"), "{}", spec.name);
            assert_eq!(spec.kind == Kind::Histogram, !spec.buckets.is_empty(), "{}", spec.name);
        }
    }

    #[test]
    fn what_is_counted_is_there_before_it_is_counted_and_what_is_asked_is_not() {
        let text = exposed(&Metrics::new().unwrap());
        for line in [
            "leadline_holds_total 0",
            "leadline_answers_total{answer=\"unavailable\",mode=\"deferred\"} 0",
            "leadline_queue_wait_seconds_count{lane=\"dead\"} 0",
            "leadline_failures_total{kind=\"gave_up\",room=\"worker\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line}");
        }
        for absent in ["kind=\"gave_up\",room=\"store\"", "leadline_engine_up{", "leadline_http_requests_total{"] {
            assert!(!text.contains(absent), "{absent}");
        }
        let series = |spec: &Spec| spec.values.iter().map(|of_label| of_label.len()).product::<usize>();
        for spec in SPECS.iter().filter(|spec| spec.kind == Kind::Counter && spec.name.starts_with("leadline_")) {
            let found = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(spec.name)).count();
            let pairs = FAILURES.iter().map(|(_, kinds)| kinds.len()).sum();
            let expected = if spec.name == "leadline_failures_total" { pairs } else { series(spec) };
            assert_eq!(found, expected, "{}", spec.name);
        }
    }

    #[test]
    fn a_scrape_shows_the_oldest_lead_in_hand_and_the_process() {
        let metrics = Metrics::new().unwrap();
        let (one, _idle) = (metrics.hands.of("shards"), metrics.hands.of("wait"));
        let held = one.holds(Some(1_700_000_000));
        let text = exposed(&metrics);
        let name = "leadline_oldest_lead_accepted_timestamp_seconds";
        assert!(text.contains(&format!("{name}{{lane=\"shards\"}} 1700000000")));
        assert!(text.contains(&format!("{name}{{lane=\"wait\"}} 0")));
        drop(held);
        assert!(exposed(&metrics).contains(&format!("{name}{{lane=\"shards\"}} 0")));
        if cfg!(target_os = "linux") {
            for name in ["process_start_time_seconds", "process_resident_memory_bytes", "process_open_fds"] {
                let line = text.lines().find(|line| line.starts_with(name)).unwrap();
                assert!(line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() > 0.0, "{line}");
            }
        }
    }
}
