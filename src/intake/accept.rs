//! The walk of one lead through intake: permit, resolve, plan, stamp, send.
//!
//! Enters: a checked wish of an authenticated workspace. Leaves: its answer. `batch.rs` takes the same steps for
//! many leads at once, `send.rs` is the last of them.
//!
//! **Invariant:** whoever gets no permit costs neither engine anything, and every answer is counted once.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::answer::{Answer, Cause, TurnedAway};
use super::breaker::Breaker;
use super::direct::{Bench, Direct};
use super::permits::{Permit, Permits};
use super::plan::{plan, question};
use super::resolver::Resolver;
use super::send::{Stamped, stamp};
use crate::broker::Publisher;
use crate::config;
use crate::lead::{Ending, Mode, Trace, TrackLead};
use crate::lifecycle::{Tasks, fault};
use crate::record::{Limits, Recorder};
use crate::reply::{Listener, Waiters};
use crate::store::{Click, Store};
use crate::telemetry::{Metrics, Raised, Step, Tracer};

/// How long a lead for which there is no permit is kept before its sender is told so. Whoever ignores `Retry-After` and asks again
/// at once would otherwise take the machine from those who have a permit: refusing is cheap, but not free.
const REFUSED_AFTER: Duration = Duration::from_millis(500);

/// Accepts leads; clones share everything.
#[derive(Debug, Clone)]
pub struct Intake {
    pub(super) resolver: Resolver,
    pub(super) publisher: Publisher,
    pub(super) breaker: Breaker,
    pub(super) direct: Direct,
    pub(super) waiters: Waiters,
    pub(super) listener: Listener,
    pub(super) permits: Permits,
    pub(super) metrics: Metrics,
    pub(super) tracer: Tracer,
    pub(super) wait_timeout: Duration,
    pub(super) retry_after: Duration,
}

/// What intake works with.
#[derive(Debug, Clone)]
pub struct Parts {
    /// `PostgreSQL`, for look-ups and the direct path.
    pub store: Store,
    /// How long follow-ups recorded directly may stay parked.
    pub limits: Limits,
    /// Where messages go.
    pub publisher: Publisher,
    /// Who waits for a verdict.
    pub waiters: Waiters,
    /// Where verdicts arrive.
    pub listener: Listener,
    /// The metrics of this process.
    pub metrics: Metrics,
    /// Where the spans of leads go.
    pub tracer: Tracer,
}

impl Intake {
    /// Starts the resolver and the direct path, and joins the parts.
    #[must_use]
    pub fn start(parts: Parts, config: &config::Intake, tasks: &mut Tasks) -> Self {
        let bench = Bench {
            recorder: Recorder::new(&parts.store, parts.limits, &parts.metrics),
            store: parts.store.clone(),
            publisher: parts.publisher.clone(),
            waiters: parts.waiters.clone(),
            metrics: parts.metrics.clone(),
        };
        let permits = Permits::new(config.max_in_flight, config.workspace_share);
        Self {
            resolver: Resolver::start(&parts.store, &permits, config, &parts.metrics, tasks),
            breaker: Breaker::new(&parts.metrics),
            direct: Direct::start(&bench, config, tasks),
            publisher: parts.publisher,
            waiters: parts.waiters,
            listener: parts.listener,
            permits,
            metrics: parts.metrics,
            tracer: parts.tracer,
            wait_timeout: config.wait_timeout,
            retry_after: config.retry_after,
        }
    }

    /// What a 503 tells the client to wait.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        self.retry_after
    }

    /// Tracks one lead; `arrived` is when its request did, `trace` where that stands in a trace that is exported.
    /// Cancel-safe: what was published stays so.
    pub async fn track(
        &self,
        workspace_id: Uuid,
        lead: TrackLead,
        arrived: Instant,
        trace: Option<Box<Trace>>,
    ) -> Answer {
        let mode = lead.mode;
        let under_way = self.under_way(1);
        let answer = match self.permit(workspace_id, mode, arrived).await {
            Err(cause) => Answer::unavailable(Uuid::now_v7(), cause),
            Ok(_permit) => self.accept(workspace_id, lead, arrived, trace).await,
        };
        drop(under_way);
        let seconds = self.metrics.answer_seconds.with_label_values(&[mode.as_str()]);
        seconds.observe(arrived.elapsed().as_secs_f64());
        self.note(mode, &answer).await;
        answer
    }

    /// Takes a permit for one lead. A `wait` that only `PostgreSQL` can answer does so when that serves: published before, it would
    /// stand in the queue when its caller has long been told 503 and has repeated it, and there would be more of these than leads.
    async fn permit(&self, workspace_id: Uuid, mode: Mode, arrived: Instant) -> Result<Permit, Cause> {
        if mode == Mode::Wait && !self.resolver.up_by(arrived + self.wait_timeout).await {
            return Err(Cause::PostgresAway);
        }
        let permit = self.permits.take(workspace_id, 1);
        if permit.is_none() {
            sleep(REFUSED_AFTER).await;
        }
        permit.ok_or(Cause::NoPermit)
    }

    /// Resolves, plans, stamps and sends a lead that has its permit.
    pub(super) async fn accept(
        &self,
        workspace_id: Uuid,
        lead: TrackLead,
        arrived: Instant,
        trace: Option<Box<Trace>>,
    ) -> Answer {
        let resolving = self.tracer.step(Step::Resolve, trace.as_deref());
        let guess = self.resolver.guess(workspace_id, &lead);
        let guessed = guess.is_some();
        let found = match guess {
            None => self.resolver.resolve(question(workspace_id, &lead)).await,
            guess => guess,
        };
        resolving.end();
        let plan = plan(workspace_id, &lead, found);
        match stamp(workspace_id, lead, plan, trace) {
            Ok(stamped) => self.send(Stamped { guessed, ..stamped }, arrived + self.wait_timeout).await,
            Err(answer) => *answer,
        }
    }

    /// Notes a click that was stored just now, so that its lead need not look for it. It is believed for ever.
    pub fn note_click(&self, click: Click) {
        self.resolver.note(click);
    }

    /// Counts leads between arrival and answer for as long as it is held.
    pub(super) fn under_way(&self, count: usize) -> Raised {
        Raised::by(count, self.metrics.in_flight.with_label_values(&[] as &[&str]))
    }

    /// Counts an answer, and of a 503 what was missing.
    pub(super) async fn note(&self, mode: Mode, answer: &Answer) {
        let mode = mode.as_str();
        let said = match (&answer.outcome, answer.ending) {
            (Ok(_), Some(Ending::Duplicate)) => "duplicate",
            (Ok(_), _) => "accepted",
            (Err(TurnedAway::Unavailable(cause)), _) => {
                self.metrics.failures.with_label_values(&["intake", cause.as_str()]).inc();
                "unavailable"
            }
            (Err(_), _) => "refused",
        };
        self.metrics.answers.with_label_values(&[mode, said]).inc();
        fault::point("intake.confirmed").await;
        tracing::debug!(lead.id = %answer.lead_id, lead.mode = mode, answer = said, "lead answered");
    }
}
