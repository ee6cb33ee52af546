//! Holding: the world fails, so the lane stops and keeps what it has.
//!
//! Nothing is received while a batch is held, so the prefetch bounds what waits here. Attempts follow
//! with growing delays. After `hold_max`, when a stop is asked for, or when the process cannot report its horizon
//! ([`super::horizon`]), the lane gives up and its channel is closed, which hands the deliveries to another; it consumes
//! again when a report was taken, which is a write, so one outage costs a message at most one redelivery per lane. The consumer is not cancelled meanwhile, although
//! that would make it one in all: when a node of the cluster is lost, a quorum queue hands out anew what
//! consumers on that node held, but not what *cancelled* ones held. That stays out of reach until the node is
//! back, and follow-ups of a deferred lead among it would be refused.
//!
//! **Invariant:** giving up loses nothing: what was not settled is redelivered, what was committed is found again.

use std::future::Future;

use tokio::time::{Instant, sleep};

use super::lane::Lane;
use crate::lifecycle::Delays;
use crate::store::StoreError;

/// The lane gave up on its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GaveUp;

impl Lane {
    /// Tries until it works, holding the lane's deliveries meanwhile.
    pub(super) async fn holding<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, GaveUp>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let error = match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        tracing::warn!(lane = self.name, %error, "postgres does not take the batch, holding it");
        self.bench.metrics.holds.with_label_values(&[] as &[&str]).inc();
        let value = self.attempt_until_given_up(attempt).await?;
        tracing::info!(lane = self.name, "postgres takes the batch again");
        Ok(value)
    }

    async fn attempt_until_given_up<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, GaveUp>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let began = Instant::now();
        let mut delays = Delays::new(self.config.backoff_min, self.config.backoff_max);
        while began.elapsed() < self.config.hold_max {
            self.stop.unless_asked(sleep(delays.next())).await.ok_or(GaveUp)?;
            match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => tracing::debug!(lane = self.name, %error, "still holding"),
            }
        }
        self.bench.metrics.failures.with_label_values(&["worker", "gave_up"]).inc();
        tracing::warn!(lane = self.name, "held for hold_max, giving the deliveries back");
        Err(GaveUp)
    }
}
