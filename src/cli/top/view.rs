//! What `top` shows, as plain values.
//!
//! **Invariant:** rates are per second, ages in seconds; what nobody told is `None`.

use chrono::{DateTime, Utc};

/// Everything on the screen.
#[derive(Debug, Clone)]
pub struct View {
    /// The time of the look.
    pub moment: DateTime<Utc>,
    /// Lead requests answered, by mode; as [`super::watch::ANSWERS`].
    pub answers: Vec<Row>,
    /// Deliveries settled, by mode; as [`super::watch::ENDINGS`].
    pub endings: Vec<Row>,
    /// Leads recorded past the queue.
    pub direct: f64,
    /// Median and 99th percentile of the answers.
    pub answer: Option<(f64, f64)>,
    /// The same from accept to commit.
    pub commit: Option<(f64, f64)>,
    /// How long ago the oldest lead in a worker's hands was accepted.
    pub oldest: Option<f64>,
    /// Requests between arrival and answer.
    pub in_flight: f64,
    /// Requests that wait for a reply.
    pub waiters: f64,
    /// Deliveries that workers hold.
    pub in_hand: f64,
    /// Follow-ups without a click.
    pub parked: Option<f64>,
    /// Buried messages that wait for a person.
    pub buried: Option<f64>,
    /// Both engines.
    pub engines: Vec<Engine>,
    /// Breakers that are open, and how many there are.
    pub breakers: (usize, usize),
    /// The queues.
    pub shards: Vec<Shard>,
    /// The processes.
    pub members: Vec<Member>,
}

/// One mode.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its name.
    pub mode: String,
    /// One rate per column.
    pub rates: Vec<f64>,
}

/// An engine, as the processes see it.
#[derive(Debug, Clone)]
pub struct Engine {
    /// Its name.
    pub name: String,
    /// Processes that say it is up.
    pub up: usize,
    /// Processes that say anything.
    pub told: usize,
}

/// A queue.
#[derive(Debug, Clone)]
pub struct Shard {
    /// Its name.
    pub queue: String,
    /// Messages ready.
    pub depth: Option<f64>,
    /// Who consumes it.
    pub consumers: Option<f64>,
    /// Its depth at each look so far, the last one last.
    pub history: Vec<u64>,
}

/// A process.
#[derive(Debug, Clone)]
pub struct Member {
    /// Where it was asked.
    pub url: String,
    /// `api`, `worker` or `all`.
    pub role: String,
    /// Its version.
    pub version: String,
    /// Lead requests answered per second.
    pub answered: f64,
    /// Leads ended per second.
    pub ended: f64,
    /// Connections to PostgreSQL in use.
    pub connections: Option<f64>,
    /// Why it cannot be asked.
    pub away: Option<String>,
}

impl View {
    /// Both engines in words.
    pub(super) fn engines_said(&self) -> Vec<(String, bool)> {
        let said = |engine: &Engine| match (engine.up, engine.told) {
            (_, 0) => (format!("{} unknown", engine.name), false),
            (up, told) if up == told => (format!("{} up", engine.name), true),
            (0, _) => (format!("{} away", engine.name), false),
            (up, told) => (format!("{} up for {up} of {told}", engine.name), false),
        };
        self.engines.iter().map(said).collect()
    }

    /// The breakers in words.
    pub(super) fn breaker_said(&self) -> (String, bool) {
        match self.breakers {
            (_, 0) => ("no breaker".to_owned(), true),
            (0, _) => ("breaker closed".to_owned(), true),
            (open, all) if open == all => ("breaker open".to_owned(), false),
            (open, all) => (format!("breaker open in {open} of {all}"), false),
        }
    }

    /// Messages ready in all queues.
    pub(super) fn depth(&self) -> f64 {
        self.shards.iter().filter_map(|shard| shard.depth).sum()
    }
}
