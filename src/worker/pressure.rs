//! When lanes beyond the first join in.
//!
//! One lane makes the largest batches, which cost the least per lead; two keep `PostgreSQL` busy while
//! one of them waits for it. So the others only receive while somebody's batches are full: enough is
//! waiting for everyone. They leave once no batch has been full for a while.
//!
//! **Invariant:** the first lane of each kind always receives; nothing waits for a lane that rests.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// No full batch for so long: the others leave.
const CALM: Duration = Duration::from_secs(5);

/// What the lanes of one kind know of the queue behind them; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Pressure(watch::Sender<Option<Instant>>);

impl Pressure {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// A batch was full.
    pub(super) fn note(&self) {
        self.0.send_replace(Some(Instant::now()));
    }

    /// Waits until a batch was full. Cancel-safe.
    pub(super) async fn felt(&self) {
        let mut last = self.0.subscribe();
        // It cannot be closed: `self` keeps the sender.
        drop(last.wait_for(|last| last.is_some_and(|at| at.elapsed() < CALM)).await);
    }

    /// Whether no batch has been full for a while.
    pub(super) fn is_over(&self) -> bool {
        self.0.borrow().is_none_or(|at| at.elapsed() >= CALM)
    }
}
