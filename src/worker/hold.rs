//! Holding: the world fails, so the lane stops and keeps what it has.
//!
//! The first failure cancels the consumer: deliveries stay the lane's own, nothing new comes, and the
//! broker counts no redelivery. Attempts follow with growing delays. After `hold_max`, or when a stop
//! is asked for, the lane gives up and its channel is closed, which hands the deliveries to another.
//!
//! **Invariant:** giving up loses nothing: what was not settled is redelivered, what was committed is found again.

use std::future::Future;

use tokio::time::{Instant, sleep};

use super::lane::Lane;
use crate::broker::Inlet;
use crate::lifecycle::Delays;
use crate::store::StoreError;

/// The lane gave up on its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GaveUp;

impl Lane {
    /// Tries until it works, holding the lane's deliveries meanwhile.
    pub(super) async fn holding<T, F>(&self, inlet: &mut Inlet, mut attempt: impl FnMut() -> F) -> Result<T, GaveUp>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let error = match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        tracing::warn!(lane = self.name, %error, "postgres does not take the batch, holding it");
        self.bench.metrics.holds.with_label_values(&[] as &[&str]).inc();
        if inlet.pause().await.is_err() {
            tracing::debug!(lane = self.name, "the channel went away while holding");
        }
        let value = self.attempt_until_given_up(attempt).await?;
        tracing::info!(lane = self.name, "postgres takes the batch again");
        if inlet.resume().await.is_err() {
            tracing::debug!(lane = self.name, "the channel went away while holding");
        }
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
        tracing::warn!(lane = self.name, "held for hold_max, giving the deliveries back");
        Err(GaveUp)
    }

    /// Waits until a probe write commits, or a stop is asked for.
    pub(super) async fn until_postgres_writes(&self) {
        let mut delays = Delays::new(self.config.backoff_min, self.config.backoff_max);
        while self.bench.store.probe(self.name).await.is_err() {
            if self.stop.unless_asked(sleep(delays.next())).await.is_none() {
                return;
            }
        }
    }
}
