//! The stop, in two parts that travel by value: *soft* (take nothing new) and *hard* (drop what you hold).
//!
//! **Invariant:** hard implies soft, and neither is ever taken back.

use std::future::Future;

use tokio_util::sync::CancellationToken;

/// A handle on the stop of one application; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    soft: CancellationToken,
    hard: CancellationToken,
}

impl Stop {
    /// A stop that nobody has asked for yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everyone to take nothing new and finish what they hold.
    pub fn ask(&self) {
        self.soft.cancel();
    }

    /// Asks everyone to drop what they hold.
    pub fn force(&self) {
        self.soft.cancel();
        self.hard.cancel();
    }

    /// Whether a stop was asked for.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Resolves once a stop is asked for. Cancel-safe.
    pub async fn asked(&self) {
        self.soft.cancelled().await;
    }

    /// Resolves once a hard stop is asked for. Cancel-safe.
    pub async fn forced(&self) {
        self.hard.cancelled().await;
    }

    /// Runs a future until the soft stop; `None` if the stop came first. The future is dropped then.
    pub async fn unless_asked<F: Future>(&self, future: F) -> Option<F::Output> {
        self.soft.run_until_cancelled(future).await
    }

    /// Runs a future until the hard stop; `None` if the stop came first. The future is dropped then.
    pub async fn unless_forced<F: Future>(&self, future: F) -> Option<F::Output> {
        self.hard.run_until_cancelled(future).await
    }
}
