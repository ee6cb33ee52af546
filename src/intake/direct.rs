//! The direct path: while the broker is away, requests are recorded straight into `PostgreSQL`.
//!
//! Enters: a message that the broker did not confirm. Leaves: its verdict, after the commit; `None`
//! when `PostgreSQL` does not serve either. It is the worker's own `record` room, batched the same way:
//! what arrives while a transaction runs forms the next one. A publish that was never confirmed may
//! still arrive; it carries the same lead id, so the worker finds it ended.
//!
//! **Invariant:** nothing is held here: a batch that fails is turned away as a whole, and says 503.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use crate::broker::Publisher;
use crate::config;
use crate::lead::{Ending, LeadMessage};
use crate::lifecycle::{Stop, Tasks};
use crate::record::{Batch, Received, Recorded, Recorder, Told, Verdict};
use crate::reply::{self, Reply, Waiters};
use crate::store::{Ended, Grave, Store, identity};
use crate::telemetry::Metrics;

/// A handle on the direct path; clones share its lanes.
#[derive(Debug, Clone)]
pub(super) struct Direct {
    asks: mpsc::Sender<Ask>,
    store: Store,
    metrics: Metrics,
}

/// What became of a lead that was recorded directly.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    /// It has its ending.
    Ended(Reply),
    /// It waits for its customer's click.
    Parked,
}

#[derive(Debug)]
struct Ask {
    message: LeadMessage,
    answer: oneshot::Sender<Outcome>,
}

/// What the lanes work with.
#[derive(Debug, Clone)]
pub(super) struct Bench {
    pub(super) store: Store,
    pub(super) recorder: Recorder,
    pub(super) publisher: Publisher,
    pub(super) waiters: Waiters,
    pub(super) metrics: Metrics,
}

impl Direct {
    /// Starts the lanes.
    pub(super) fn start(bench: &Bench, config: &config::Intake, tasks: &mut Tasks) -> Self {
        let (asks, queue) = mpsc::channel(config.max_in_flight.max(1));
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..config.direct_lanes {
            let lane = Lane { bench: bench.clone(), most: config.direct_batch, patience: config.wait_timeout };
            tasks.spawn("direct path", lane.run(Arc::clone(&queue), tasks.stop().clone()));
        }
        Self { asks, store: bench.store.clone(), metrics: bench.metrics.clone() }
    }

    /// Records one message, at most until then; `None` when that is not known to have worked.
    ///
    /// Cancel-safe: what was begun is finished, and doing it again is harmless.
    pub(super) async fn record(&self, message: LeadMessage, until: Instant) -> Option<Outcome> {
        let outcome = if self.store.is_up() { timeout_at(until, self.ask(message)).await.ok().flatten() } else { None };
        let result = match &outcome {
            Some(Outcome::Ended(reply)) if reply.ending == Ending::Buried => "buried",
            Some(Outcome::Ended(_)) => "ended",
            Some(Outcome::Parked) => "parked",
            None => "failed",
        };
        self.metrics.direct_leads.with_label_values(&[result]).inc();
        outcome
    }

    async fn ask(&self, message: LeadMessage) -> Option<Outcome> {
        let (answer, answered) = oneshot::channel();
        self.asks.send(Ask { message, answer }).await.ok()?;
        answered.await.ok()
    }
}

struct Lane {
    bench: Bench,
    most: usize,
    patience: Duration,
}

impl Lane {
    async fn run(self, queue: Arc<Mutex<mpsc::Receiver<Ask>>>, stop: Stop) {
        let mut asks = Vec::with_capacity(self.most);
        loop {
            let taken = stop.unless_asked(async { queue.lock().await.recv_many(&mut asks, self.most).await }).await;
            if taken.is_none_or(|n| n == 0) {
                // Whoever asks has ended before the stop of this stage: nothing comes any more.
                return stop.asked().await;
            }
            asks.retain(|ask| !ask.answer.is_closed());
            let (messages, answers): (Vec<LeadMessage>, Vec<_>) =
                asks.drain(..).map(|ask| (ask.message, ask.answer)).unzip();
            if messages.is_empty() {
                continue;
            }
            // A transaction that nobody waits for any more ends by itself.
            if let Ok(outcomes) = timeout(self.patience, self.work(messages)).await {
                answers.into_iter().zip(outcomes).for_each(|(answer, outcome)| {
                    if let Some(outcome) = outcome {
                        drop(answer.send(outcome));
                    }
                });
            }
        }
    }

    async fn work(&self, messages: Vec<LeadMessage>) -> Vec<Option<Outcome>> {
        let ids: Vec<Uuid> = messages.iter().map(|message| message.id).collect();
        let received = messages.into_iter().map(|message| Received { message, reply_to: None, again: false }).collect();
        let batch = Batch::new(received);
        let recorded = match self.bench.recorder.record(&batch).await {
            Ok(recorded) => recorded,
            Err(error) => {
                tracing::debug!(%error, "postgres does not take the direct path's batch");
                return Vec::new();
            }
        };
        let leads = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        self.bench.metrics.batch_leads.with_label_values(&["direct"]).observe(f64::from(leads));
        tracing::info!(lane = "direct", batch.len = leads, woken = recorded.woken.len(), "batch committed");
        self.tell(&batch, &recorded);
        let mut outcomes = Vec::with_capacity(ids.len());
        for (id, (message, _)) in ids.into_iter().zip(batch.leads()) {
            outcomes.push(match recorded.verdicts.get(&id) {
                Some(Verdict::Ended(ended)) => {
                    let reply = Reply { brought: recorded.brought.contains(&id), ..said(id, ended) };
                    Some(Outcome::Ended(reply))
                }
                Some(Verdict::Parked) => Some(Outcome::Parked),
                Some(Verdict::Bury(reason)) => self.bury(message, reason.clone()).await,
                None => None,
            });
        }
        outcomes
    }

    /// Times the commits, and wakes those whose parked leads this batch ended.
    fn tell(&self, batch: &Batch, recorded: &Recorded) {
        let now = Utc::now();
        for (message, _) in batch.leads() {
            let seconds = (now - message.accepted_at).num_milliseconds().max(0) as f64 / 1000.0;
            self.bench.metrics.accept_to_commit.with_label_values(&[message.mode.as_str()]).observe(seconds);
        }
        for Told { message, reply_to, ended } in &recorded.woken {
            let reply = said(message.id, ended);
            if let Some(queue) = reply_to
                && !self.bench.waiters.wake(reply.clone())
            {
                reply::send(&self.bench.publisher, &self.bench.metrics, queue.clone(), &reply);
            }
        }
    }

    async fn bury(&self, message: &LeadMessage, reason: String) -> Option<Outcome> {
        let (id, bytes) = (message.id, message.encode().ok()?);
        let grave = Grave {
            identity: identity(Some(&id.to_string()), &bytes),
            workspace_id: Some(message.workspace_id),
            lead_id: Some(id),
            reason,
            message: bytes,
        };
        match self.bench.store.bury(grave.clone()).await {
            Ok(news) => {
                if news {
                    self.bench.metrics.buried.with_label_values(&["refused"]).inc();
                    tracing::warn!(lane = "direct", identity = grave.identity, reason = grave.reason, "message buried");
                }
                let ended = Ended { ending: Ending::Buried, reason: None, click_id: None, link_id: None };
                Some(Outcome::Ended(said(id, &ended)))
            }
            Err(error) => {
                tracing::debug!(%error, "not buried");
                None
            }
        }
    }
}

fn said(id: Uuid, ended: &Ended) -> Reply {
    Reply {
        v: Reply::VERSION,
        id,
        ending: ended.ending,
        reason: ended.reason,
        click_id: ended.click_id.clone(),
        link_id: ended.link_id,
        brought: false,
        trace: None,
    }
}
