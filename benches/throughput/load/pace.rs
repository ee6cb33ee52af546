//! When the next request goes out.
//!
//! Closed loop: at once, on every connection whose last answer is there. Open loop: requests fall due
//! evenly, whatever was answered; one that finds no free connection waits, and its wait counts.
//!
//! **Invariant:** in an open loop every request is timed from when it was due, never from when it was sent.

use std::cell::Cell;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::{Job, Ticker};
use crate::Outcome;

/// Shared by all connections of one generator.
#[derive(Debug)]
pub(super) struct Pace {
    began: Instant,
    until: Instant,
    /// Between two requests of an open loop.
    interval: Option<Duration>,
    /// Requests that may go out at all, and those that did.
    most: u64,
    taken: Cell<u64>,
    due: Semaphore,
}

impl Pace {
    /// The clock starts now.
    pub(super) fn start(job: &Job) -> Self {
        let began = Instant::now();
        let interval = (job.rate > 0.0).then(|| Duration::from_secs_f64(1.0 / job.rate));
        let bound = if job.count == 0 { u64::MAX } else { job.count };
        let in_time = if interval.is_some() { (job.rate * job.seconds).round() as u64 } else { u64::MAX };
        Self {
            began,
            until: began + Duration::from_secs_f64(job.seconds),
            interval,
            most: bound.min(in_time),
            taken: Cell::new(0),
            due: Semaphore::new(0),
        }
    }

    /// From when the next request is timed, as soon as it may go out; `None` when there are no more.
    pub(super) async fn next(&self) -> Option<Instant> {
        let Some(interval) = self.interval else {
            let now = Instant::now();
            return (now < self.until && self.take().is_some()).then_some(now);
        };
        self.due.acquire().await.ok()?.forget();
        let n = self.take()?;
        Some(self.began + interval * u32::try_from(n + 1).ok()?)
    }

    fn take(&self) -> Option<u64> {
        let n = self.taken.get();
        (n < self.most).then(|| {
            self.taken.set(n + 1);
            n
        })
    }

    /// Lets requests fall due until there are no more; then lets so many waiting connections go.
    pub(super) async fn keep(&self, connections: usize) -> Outcome<()> {
        let Some(interval) = self.interval else { return Ok(()) };
        let mut ticker = Ticker::every(interval)?;
        let mut ticked = 0;
        while ticked < self.most {
            let ticks = ticker.ticks().await?.min(self.most - ticked);
            ticked += ticks;
            self.due.add_permits(usize::try_from(ticks)?);
        }
        self.due.add_permits(connections);
        Ok(())
    }
}
