//! Decides whether a request goes to the queue or is recorded directly.
//!
//! Enters: what became of each publish. Leaves: a [`Pass`] to the queue, or none. Three failures in a
//! row open the breaker; while open, one trial at a time may pass, one per second as long as they fail,
//! and twenty successes in a row close it. Trials that succeed follow each other at once: waiting a
//! second between them would keep a healthy broker out of work for twenty.
//!
//! **Invariant:** a request without a pass costs the broker nothing, and a pass that is dropped gives
//! its trial back.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::telemetry::Metrics;

/// Failures in a row that open it.
const FAILURES: u32 = 3;
/// Successes in a row that close it.
const SUCCESSES: u32 = 20;
/// Between two trials while they fail.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// The breaker of one process; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Breaker(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    failures: AtomicU32,
    open: AtomicBool,
    trials: Mutex<Trials>,
    metrics: Metrics,
}

#[derive(Debug)]
struct Trials {
    under_way: bool,
    successes: u32,
    next: Instant,
}

/// Leave to use the queue once.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    shared: &'a Shared,
    trial: bool,
}

impl Breaker {
    /// A closed breaker.
    pub(super) fn new(metrics: &Metrics) -> Self {
        let trials = Mutex::new(Trials { under_way: false, successes: 0, next: Instant::now() });
        metrics.breaker_open.with_label_values(&[] as &[&str]).set(0);
        Self(Arc::new(Shared {
            failures: AtomicU32::new(0),
            open: AtomicBool::new(false),
            trials,
            metrics: metrics.clone(),
        }))
    }

    /// Whether requests are recorded directly.
    pub(super) fn is_open(&self) -> bool {
        self.0.open.load(Ordering::Acquire)
    }

    /// Leave to publish; `None`: record directly.
    pub(super) fn pass(&self, now: Instant) -> Option<Pass<'_>> {
        let shared = &*self.0;
        if !self.is_open() {
            return Some(Pass { shared, trial: false });
        }
        let mut trials = shared.trials();
        if trials.under_way || now < trials.next {
            return None;
        }
        trials.under_way = true;
        Some(Pass { shared, trial: true })
    }
}

impl Pass<'_> {
    /// The broker confirmed.
    pub(super) fn succeeded(self) {
        self.shared.failures.store(0, Ordering::Relaxed);
        if !self.trial {
            return;
        }
        let mut trials = self.shared.trials();
        trials.successes += 1;
        if trials.successes >= SUCCESSES && self.shared.open.swap(false, Ordering::AcqRel) {
            self.shared.turned("closed", 0);
            tracing::info!("rabbitmq confirms again: leads go through the queue");
        }
    }

    /// The broker was away, or did not confirm in time.
    pub(super) fn failed(self, now: Instant) {
        let failures = self.shared.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let mut trials = self.shared.trials();
        trials.successes = 0;
        trials.next = now + TRY_EVERY;
        if failures >= FAILURES && !self.shared.open.swap(true, Ordering::AcqRel) {
            self.shared.turned("open", 1);
            tracing::warn!(failures, "rabbitmq does not confirm: leads are recorded straight into postgres");
        }
    }

    /// Whether this is a trial of an open breaker.
    pub(super) fn is_trial(&self) -> bool {
        self.trial
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.trial {
            self.shared.trials().under_way = false;
        }
    }
}

impl Shared {
    fn trials(&self) -> MutexGuard<'_, Trials> {
        self.trials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turned(&self, to: &str, open: i64) {
        self.metrics.breaker_open.with_label_values(&[] as &[&str]).set(open);
        self.metrics.breaker_turns.with_label_values(&[to]).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        Breaker::new(&Metrics::new().unwrap())
    }

    fn opened(now: Instant) -> Breaker {
        let breaker = breaker();
        (0..FAILURES).for_each(|_| breaker.pass(now).unwrap().failed(now));
        breaker
    }

    #[test]
    fn three_failures_in_a_row_open_it() {
        let (breaker, now) = (breaker(), Instant::now());
        for _ in 0..10 {
            breaker.pass(now).unwrap().failed(now);
            breaker.pass(now).unwrap().failed(now);
            breaker.pass(now).unwrap().succeeded();
        }
        assert!(!breaker.is_open());
        (0..FAILURES).for_each(|_| breaker.pass(now).unwrap().failed(now));
        assert!(breaker.is_open());
        assert!(breaker.pass(now).is_none());
    }

    #[test]
    fn one_trial_a_second_while_they_fail() {
        let start = Instant::now();
        let breaker = opened(start);
        let mut trials = 0;
        for step in 1..=100 {
            let now = start + Duration::from_millis(100) * step;
            if let Some(pass) = breaker.pass(now) {
                assert!(pass.is_trial());
                assert!(breaker.pass(now).is_none(), "two trials at once");
                pass.failed(now);
                trials += 1;
            }
        }
        assert_eq!(trials, 10);
    }

    #[test]
    fn twenty_successes_in_a_row_close_it() {
        let start = Instant::now();
        let breaker = opened(start);
        let now = start + TRY_EVERY;
        for _ in 0..SUCCESSES - 1 {
            breaker.pass(now).unwrap().succeeded();
        }
        breaker.pass(now).unwrap().failed(now);
        let now = now + TRY_EVERY;
        for _ in 0..SUCCESSES {
            assert!(breaker.is_open());
            breaker.pass(now).unwrap().succeeded();
        }
        assert!(!breaker.is_open());
    }

    #[test]
    fn a_dropped_trial_is_given_back() {
        let start = Instant::now();
        let breaker = opened(start);
        drop(breaker.pass(start + TRY_EVERY).unwrap());
        assert!(breaker.pass(start + TRY_EVERY).is_some());
    }
}
