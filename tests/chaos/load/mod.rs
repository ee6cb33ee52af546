//! The load: an open loop that starts journeys at a set rate, whatever became of those before.
//!
//! Enters: a rate and a seed. Leaves: a diary of everything that was sent and answered.
//!
//! **Invariant:** what is sent depends on the seed alone; only when and how often it is repeated
//! depends on the answers.

mod client;
mod journey;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(crate) use client::{Client, Wish, blank};

use crate::clock::beat;
use crate::given::Tenant;

/// Journeys under way at once; beyond it the loop waits, and says so in the table.
const MOST: usize = 3000;
/// Requests that the average journey sends, when nothing fails.
const REQUESTS_PER_JOURNEY: f64 = 1.5;

/// How much is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Requests per second.
    pub(crate) rate: f64,
    /// Journeys under way at once.
    pub(crate) most: usize,
}

impl Pace {
    /// A rate that is kept up whatever is answered, up to a bound.
    pub(crate) fn of(rate: f64) -> Self {
        Self { rate, most: MOST }
    }
}

/// The load while it is on.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    loop_: tokio::task::JoinHandle<u64>,
}

impl Load {
    /// Starts sending at a pace.
    #[expect(clippy::disallowed_methods, reason = "ended by `finish`")]
    pub(crate) fn start(client: &Client, tenants: &Arc<Vec<Tenant>>, seed: u64, pace: Pace) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (client, tenants) = (client.clone(), Arc::clone(tenants));
        let stopped = Arc::clone(&stop);
        let loop_ = tokio::spawn(async move { run(client, tenants, seed, pace, stopped).await });
        Self { stop, loop_ }
    }

    /// Sends nothing new and waits for what is under way; returns how many beats came late because
    /// too much was under way.
    pub(crate) async fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.loop_.await.unwrap()
    }
}

async fn run(client: Client, tenants: Arc<Vec<Tenant>>, seed: u64, pace: Pace, stop: Arc<AtomicBool>) -> u64 {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut journeys = JoinSet::new();
    let mut next = Instant::now();
    let mut held_up = 0;
    while !stop.load(Ordering::Relaxed) {
        next += Duration::from_secs_f64(REQUESTS_PER_JOURNEY / pace.rate.max(1.0));
        beat(next).await;
        journeys.spawn(journey::journey(client.clone(), Arc::clone(&tenants), dice.random()));
        while journeys.try_join_next().is_some() {}
        if journeys.len() >= pace.most {
            held_up += 1;
            journeys.join_next().await;
        }
    }
    journeys.join_all().await;
    held_up
}
