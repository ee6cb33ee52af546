//! Runs the transaction, and decides what to do when it does not work.
//!
//! A deadlock is tried again at once. A row that `PostgreSQL` refuses fails its whole batch, so the
//! batch is then halved until it stands alone, without waking parked leads (they may be the culprit, and
//! the sweep finds them); who is refused alone twice is to be buried. Everything else is the world's failure.
//!
//! **Invariant:** nobody is condemned for a neighbour's fault, or for the world's.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::batch::{Batch, Entry};
use super::hope::Hope;
use super::short;
use super::transaction::{self, record, sweep};
use super::verdict::{Recorded, Told, Verdict};
use crate::store::{Grave, Store, StoreError, Woken};
use crate::telemetry::Metrics;

const COLLISIONS: u32 = 5;
const SWEPT_AT_ONCE: i64 = 256;

/// How long follow-ups may stay parked.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// When somebody waits for the answer.
    pub follow_up_wait: Duration,
    /// When it was answered 200.
    pub park_max: Duration,
}

/// Records batches; clones share the store's pool.
#[derive(Debug, Clone)]
pub struct Recorder {
    store: Store,
    limits: Limits,
    hope: Hope,
    metrics: Metrics,
}

impl Recorder {
    /// A recorder on a store.
    #[must_use]
    pub fn new(store: &Store, limits: Limits, metrics: &Metrics) -> Self {
        Self { store: store.clone(), limits, hope: Hope::default(), metrics: metrics.clone() }
    }

    /// Records a batch: one verdict per lead id. Cancel-safe: a begun transaction ends by itself, and
    /// doing it again is harmless.
    ///
    /// # Errors
    /// [`StoreError`] when the world failed: hold the batch and try again.
    pub async fn record(&self, batch: &Batch) -> Result<Recorded, StoreError> {
        match self.attempt(batch.entries(), true).await {
            Err(error) if error.condemns() => self.by_halves(&batch.entries()).await,
            outcome => outcome,
        }
    }

    /// Ends parked leads: those whose customer has a click by now, and those whose time is up.
    ///
    /// # Errors
    /// [`StoreError`] when the world failed.
    pub async fn sweep(&self) -> Result<Vec<Told>, StoreError> {
        match self.sweep_some(SWEPT_AT_ONCE).await {
            Err(error) if error.condemns() => self.sweep_one().await,
            outcome => outcome,
        }
    }

    async fn attempt(&self, entries: Arc<[Entry]>, wake: bool) -> Result<Recorded, StoreError> {
        let mut collisions = 0;
        loop {
            let (began, hopeful) = (Instant::now(), self.hope.has());
            let outcome = match hopeful && short::will_do(&entries) {
                true => self.go_the_short_way(&entries, wake).await,
                false => self.go_the_long_way(&entries, wake, hopeful).await,
            };
            self.observe(began, &outcome);
            match outcome {
                Err(StoreError::Conflict { .. }) if hopeful => self.hope.dash(),
                Ok(recorded) if hopeful => {
                    self.hope.raise();
                    return Ok(recorded);
                }
                Err(error) if error.is_collision() && collisions < COLLISIONS => collisions += 1,
                outcome => return outcome,
            }
        }
    }

    async fn go_the_long_way(&self, entries: &Arc<[Entry]>, wake: bool, hopeful: bool) -> Result<Recorded, StoreError> {
        let (entries, limits) = (Arc::clone(entries), self.limits);
        let work = self
            .store
            .transaction(move |tx| Box::pin(async move { record(tx, &entries, limits, (wake, hopeful)).await }));
        work.await
    }

    /// What is parked for the batch's customers is woken by a transaction of its own: if that fails, the sweep finds it.
    async fn go_the_short_way(&self, entries: &Arc<[Entry]>, wake: bool) -> Result<Recorded, StoreError> {
        let some = Arc::clone(entries);
        let work = self.store.at_once(move |tx| Box::pin(async move { short::record(tx, &some).await }));
        let (mut recorded, waiting) = work.await?;
        if waiting && wake {
            let (some, limits) = (Arc::clone(entries), self.limits);
            let work =
                self.store.transaction(move |tx| Box::pin(async move { transaction::wake(tx, &some, limits).await }));
            match work.await {
                Ok(woken) => recorded.woken = woken,
                Err(error) => tracing::debug!(%error, "parked leads are left to the sweep"),
            }
        }
        Ok(recorded)
    }

    /// Finds who is refused by halving: a batch of hundreds costs tens of transactions, and nobody waits long for a
    /// neighbour's fault.
    async fn by_halves(&self, entries: &[Entry]) -> Result<Recorded, StoreError> {
        let mut all = Recorded::default();
        let mut parts: Vec<&[Entry]> = vec![entries];
        while let Some(part) = parts.pop() {
            let together: Arc<[Entry]> = part.into();
            let outcome = match self.attempt(Arc::clone(&together), false).await {
                Err(error) if error.condemns() && part.len() == 1 => self.attempt(together, false).await,
                outcome => outcome,
            };
            match (outcome, part) {
                (Ok(recorded), _) => {
                    all.verdicts.extend(recorded.verdicts);
                    all.brought.extend(recorded.brought);
                }
                (Err(error), [alone]) if error.condemns() => {
                    all.verdicts.insert(alone.message.id, Verdict::Bury(error.to_string()));
                }
                (Err(error), _) if error.condemns() => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                (Err(error), _) => return Err(error),
            }
        }
        Ok(all)
    }

    async fn sweep_some(&self, most: i64) -> Result<Vec<Told>, StoreError> {
        let limits = self.limits;
        self.store
            .transaction(move |tx| Box::pin(async move { sweep(tx, limits, most, &Taken::default()).await }))
            .await
    }

    /// Sweeps a single lead, and buries it if it is refused alone twice.
    async fn sweep_one(&self) -> Result<Vec<Told>, StoreError> {
        let mut suspect: Option<Woken> = None;
        loop {
            let (limits, taken) = (self.limits, Taken::default());
            let seen = taken.clone();
            let outcome =
                self.store.transaction(move |tx| Box::pin(async move { sweep(tx, limits, 1, &seen).await })).await;
            match outcome {
                Err(error) if error.condemns() => match (suspect, taken.last()) {
                    (Some(before), Some(now)) if before.id == now.id => {
                        self.bury_parked(now, error.to_string()).await?;
                        return Ok(Vec::new());
                    }
                    (_, now) => suspect = now,
                },
                outcome => return outcome,
            }
        }
    }

    async fn bury_parked(&self, parked: Woken, reason: String) -> Result<(), StoreError> {
        self.metrics.buried.with_label_values(&["refused"]).inc();
        let grave = Grave {
            identity: parked.id.to_string(),
            workspace_id: Some(parked.workspace_id),
            lead_id: Some(parked.id),
            reason,
            message: parked.message,
        };
        let (workspace_id, id) = (parked.workspace_id, parked.id);
        self.store
            .transaction(move |tx| {
                Box::pin(async move {
                    if tx.take_parked(workspace_id, id).await? {
                        tx.bury(&grave).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    fn observe<T>(&self, began: Instant, outcome: &Result<T, StoreError>) {
        let result = match outcome {
            Ok(_) => "committed",
            Err(error) if error.condemns() => "refused",
            Err(StoreError::Conflict { .. }) => "repeated",
            Err(_) => "failed",
        };
        self.metrics.batch_seconds.with_label_values(&[result]).observe(began.elapsed().as_secs_f64());
    }
}

/// Which parked lead a sweep took last, readable after its transaction was rolled back.
#[derive(Debug, Clone, Default)]
pub(super) struct Taken(Arc<Mutex<Option<Woken>>>);

impl Taken {
    pub(super) fn note(&self, parked: Option<&Woken>) {
        if let Some(parked) = parked {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(parked.clone());
        }
    }

    fn last(&self) -> Option<Woken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
