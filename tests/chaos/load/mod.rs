//! The load: an open loop that starts journeys at a set rate, whatever became of those before.
//!
//! Enters: a rate and a seed. Leaves: a diary of everything that was sent and answered.
//!
//! **Invariant:** what is sent depends on the seed alone; only when and how often it is repeated
//! depends on the answers.

mod client;
mod journey;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(crate) use client::{Client, Wish};

use crate::clock::beat;
use crate::given::Tenant;

/// Journeys under way at once; beyond it the loop waits, and says so in the table.
const MOST: usize = 3000;
/// Requests that the average journey sends, when nothing fails.
const REQUESTS_PER_JOURNEY: f64 = 1.5;

/// The load while it is on.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    rate: Arc<AtomicU64>,
    loop_: tokio::task::JoinHandle<u64>,
}

impl Load {
    /// Starts `rate` requests per second.
    #[expect(clippy::disallowed_methods, reason = "ended by `finish`")]
    pub(crate) fn start(client: &Client, tenants: &Arc<Vec<Tenant>>, seed: u64, rate: f64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let shared_rate = Arc::new(AtomicU64::new(rate.to_bits()));
        let (client, tenants) = (client.clone(), Arc::clone(tenants));
        let (stopped, wished) = (Arc::clone(&stop), Arc::clone(&shared_rate));
        let loop_ = tokio::spawn(async move { run(client, tenants, seed, wished, stopped).await });
        Self { stop, rate: shared_rate, loop_ }
    }

    /// Changes the rate, in requests per second.
    pub(crate) fn set_rate(&self, rate: f64) {
        self.rate.store(rate.to_bits(), Ordering::Relaxed);
    }

    /// Sends nothing new and waits for what is under way; returns how many beats came late because
    /// too much was under way.
    pub(crate) async fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.loop_.await.unwrap()
    }
}

async fn run(client: Client, tenants: Arc<Vec<Tenant>>, seed: u64, rate: Arc<AtomicU64>, stop: Arc<AtomicBool>) -> u64 {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut journeys = JoinSet::new();
    let mut next = Instant::now();
    let mut held_up = 0;
    while !stop.load(Ordering::Relaxed) {
        let per_second = f64::from_bits(rate.load(Ordering::Relaxed)) / REQUESTS_PER_JOURNEY;
        next += Duration::from_secs_f64(1.0 / per_second.max(1.0));
        beat(next).await;
        journeys.spawn(journey::journey(client.clone(), Arc::clone(&tenants), dice.random()));
        while journeys.try_join_next().is_some() {}
        if journeys.len() >= MOST {
            held_up += 1;
            journeys.join_next().await;
        }
    }
    journeys.join_all().await;
    held_up
}
