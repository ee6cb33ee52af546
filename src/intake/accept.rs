//! The walk of one request through intake: permit, resolve, plan, stamp, publish, wait.
//!
//! Enters: a checked wish of an authenticated workspace. Leaves: its answer. If the caller goes away
//! meanwhile, what was published stays published. What the broker does not confirm is recorded directly,
//! except what only the queue can answer, and except when the queue is full: that is overload.
//!
//! **Invariant:** the waiter is registered before the message is published, and 200 is said only
//! after the confirm or the commit (after the verdict, for those who wait for it).

use std::time::Duration;

use chrono::Utc;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::answer::{Answer, Tracked, TurnedAway};
use super::breaker::{Breaker, Pass};
use super::direct::{Bench, Direct, Outcome};
use super::permits::Permits;
use super::plan::{Plan, plan, question, reveal};
use super::resolver::Resolver;
use crate::broker::{Address, Letter, PublishError, Publisher, Queue};
use crate::config;
use crate::lead::{Ending, LeadMessage, Mode, Reason, TrackLead};
use crate::lifecycle::{Tasks, fault};
use crate::record::{Limits, Recorder};
use crate::reply::{Listener, Reply, Waiters};
use crate::store::{Question, Store};
use crate::telemetry::{Metrics, Raised};

/// How long a request waits for the reply queue to be opened while the broker serves.
const OPENING: Duration = Duration::from_secs(1);

/// How long a request for which there is no permit is kept before it is told so. Whoever ignores `Retry-After` and asks again
/// at once would otherwise take the machine from those who have a permit: refusing is cheap, but not free.
const REFUSED_AFTER: Duration = Duration::from_millis(500);

/// Accepts leads; clones share everything.
#[derive(Debug, Clone)]
pub struct Intake {
    resolver: Resolver,
    publisher: Publisher,
    breaker: Breaker,
    direct: Direct,
    waiters: Waiters,
    listener: Listener,
    permits: Permits,
    metrics: Metrics,
    wait_timeout: Duration,
    retry_after: Duration,
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
        Self {
            resolver: Resolver::start(&parts.store, config, &parts.metrics, tasks),
            breaker: Breaker::new(&parts.metrics),
            direct: Direct::start(&bench, config, tasks),
            publisher: parts.publisher,
            waiters: parts.waiters,
            listener: parts.listener,
            permits: Permits::new(config.max_in_flight, config.workspace_share),
            metrics: parts.metrics,
            wait_timeout: config.wait_timeout,
            retry_after: config.retry_after,
        }
    }

    /// What a 503 tells the client to wait.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        self.retry_after
    }

    /// Tracks one lead; `arrived` is when its request did. Cancel-safe: what was published stays so.
    pub async fn track(&self, workspace_id: Uuid, lead: TrackLead, arrived: Instant) -> Answer {
        let mode = lead.mode.as_str();
        let under_way = Raised::by(1, self.metrics.in_flight.with_label_values(&[] as &[&str]));
        let answer = match self.permits.take(workspace_id) {
            None => {
                sleep(REFUSED_AFTER).await;
                unavailable(Uuid::now_v7())
            }
            Some(_permit) => self.accept(workspace_id, lead, arrived).await,
        };
        drop(under_way);
        let said = match (&answer.outcome, answer.ending) {
            (Ok(_), Some(Ending::Duplicate)) => "duplicate",
            (Ok(_), _) => "accepted",
            (Err(TurnedAway::Unavailable), _) => "unavailable",
            (Err(_), _) => "refused",
        };
        self.metrics.answers.with_label_values(&[mode, said]).inc();
        self.metrics.answer_seconds.with_label_values(&[mode]).observe(arrived.elapsed().as_secs_f64());
        fault::point("intake.confirmed").await;
        tracing::debug!(lead.id = %answer.lead_id, lead.mode = mode, answer = said, "lead answered");
        answer
    }

    async fn accept(&self, workspace_id: Uuid, lead: TrackLead, arrived: Instant) -> Answer {
        let found = self.resolver.resolve(question(workspace_id, &lead)).await;
        let lead_id = Uuid::now_v7();
        let (resolved, awaited, tracked) = match plan(workspace_id, &lead, found) {
            Plan::Repeat { recorded, tracked } => {
                return Answer { lead_id: recorded, ending: Some(Ending::Duplicate), outcome: Ok(tracked) };
            }
            Plan::Refuse(refused) => {
                return Answer { lead_id, ending: None, outcome: Err(refused) };
            }
            Plan::Publish { resolved, awaited, tracked } => (resolved, awaited, tracked),
        };
        let mut message = LeadMessage::new(lead_id, workspace_id, Utc::now(), lead);
        message.resolved = resolved;
        message.awaited = awaited;
        let until = arrived + self.wait_timeout;
        let sent = if awaited || message.mode == Mode::Wait {
            self.ask(&message, until).await.map(Some)
        } else {
            self.publish(&message).await.map(|()| None)
        };
        match sent {
            Ok(Some(reply)) => self.answered(message, tracked, reply).await,
            Ok(None) => Answer { lead_id, ending: None, outcome: Ok(tracked) },
            Err(NotSent::Away) if !awaited => self.record(message, tracked, until).await,
            Err(_) => unavailable(lead_id),
        }
    }

    /// Publishes and waits for the confirm.
    async fn publish(&self, message: &LeadMessage) -> Result<(), NotSent> {
        let pass = self.breaker.pass(Instant::now()).ok_or(NotSent::Away)?;
        let letter = letter(message, None).ok_or(NotSent::Refused)?;
        let published = self.publisher.publish(letter).await;
        self.judge(message, pass, published)
    }

    /// Publishes and waits for the verdict: stronger evidence than the confirm, and it may overtake it.
    async fn ask(&self, message: &LeadMessage, until: Instant) -> Result<Reply, NotSent> {
        let pass = self.breaker.pass(Instant::now()).ok_or(NotSent::Away)?;
        if !self.publisher.is_ready() {
            return self.judge(message, pass, Err(PublishError::Away)).and(Err(NotSent::Away));
        }
        let opening = until.min(Instant::now() + OPENING);
        let reply_to = self.listener.queue_by(opening).await.ok_or(NotSent::Away)?;
        let waiter = self.waiters.register(message.workspace_id, message.id).ok_or(NotSent::Refused)?;
        let letter = letter(message, Some(reply_to)).ok_or(NotSent::Refused)?;
        let verdict = waiter.wait(until);
        tokio::pin!(verdict);
        let reply = tokio::select! {
            biased;
            reply = &mut verdict => {
                self.judge(message, pass, reply.as_ref().map(|_| ()).ok_or(PublishError::Unconfirmed))?;
                reply
            }
            published = self.publisher.publish(letter) => {
                self.judge(message, pass, published)?;
                verdict.await
            }
        };
        let reply = reply.ok_or(NotSent::Refused)?;
        let waited = (Utc::now() - message.accepted_at).num_microseconds().unwrap_or(0).max(0) as f64 / 1e6;
        self.metrics.accept_to_reply.with_label_values(&[message.mode.as_str()]).observe(waited);
        Ok(reply)
    }

    /// Tells the breaker, and says whether the direct path may take over.
    fn judge(&self, message: &LeadMessage, pass: Pass<'_>, published: Result<(), PublishError>) -> Result<(), NotSent> {
        let Err(error) = published else {
            pass.succeeded();
            return Ok(());
        };
        tracing::debug!(lead.id = %message.id, %error, "lead not confirmed");
        match error {
            PublishError::Full => Err(NotSent::Refused),
            // Whoever waited for room behind messages that were not confirmed finds the breaker open by now.
            PublishError::Crowded if !pass.is_trial() && !self.breaker.is_open() => Err(NotSent::Refused),
            PublishError::Crowded if !pass.is_trial() => Err(NotSent::Away),
            PublishError::Crowded | PublishError::Away | PublishError::Unconfirmed => {
                pass.failed(Instant::now());
                Err(NotSent::Away)
            }
        }
    }

    async fn record(&self, message: LeadMessage, tracked: Tracked, until: Instant) -> Answer {
        let lead_id = message.id;
        match self.direct.record(message.clone(), until).await {
            Some(Outcome::Ended(reply)) => self.answered(message, tracked, reply).await,
            Some(Outcome::Parked) if message.mode != Mode::Wait => {
                Answer { lead_id, ending: None, outcome: Ok(tracked) }
            }
            Some(Outcome::Parked) | None => unavailable(lead_id),
        }
    }

    async fn answered(&self, message: LeadMessage, mut tracked: Tracked, reply: Reply) -> Answer {
        let outcome = match reply.ending {
            Ending::Buried if message.mode == Mode::Wait => Err(TurnedAway::Unavailable),
            Ending::Buried => Ok(tracked),
            Ending::Rejected => Err(turned_away(&message, &reply)),
            Ending::Duplicate => {
                tracked.link = None;
                reveal(&mut tracked, reply.click_id, None);
                Ok(tracked)
            }
            Ending::Recorded | Ending::Deferred => {
                let found = match (&tracked.link, reply.link_id) {
                    (None, Some(link_id)) => self.resolver.resolve(revealing(&message, link_id)).await,
                    _ => None,
                };
                if tracked.link.is_none() {
                    reveal(&mut tracked, reply.click_id, found);
                }
                Ok(tracked)
            }
        };
        Answer { lead_id: message.id, ending: Some(reply.ending), outcome }
    }
}

/// Why a message has no word of the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NotSent {
    /// The broker is away: the direct path may take over.
    Away,
    /// Overload, or no verdict in time: 503.
    Refused,
}

fn unavailable(lead_id: Uuid) -> Answer {
    Answer { lead_id, ending: None, outcome: Err(TurnedAway::Unavailable) }
}

/// A wait request that carries a click goes past the backlog; a follow-up queues behind its customer's deferred lead.
fn letter(message: &LeadMessage, reply_to: Option<String>) -> Option<Letter> {
    let queue =
        if message.mode == Mode::Wait && !message.is_follow_up() { Queue::Wait } else { Queue::Shard(message.shard()) };
    let body = message.encode().ok()?;
    Some(Letter { to: Address::Queue(queue), id: message.id, body, reply_to })
}

fn revealing(message: &LeadMessage, link_id: Uuid) -> Question {
    Question {
        workspace_id: message.workspace_id,
        customer_external_id: message.customer_external_id.clone(),
        event_key: None,
        click_id: None,
        link_id: Some(link_id),
    }
}

fn turned_away(message: &LeadMessage, reply: &Reply) -> TurnedAway {
    let click_id = message.click_id.clone().unwrap_or_default();
    let link_id = reply.link_id.unwrap_or_default();
    match reply.reason {
        Some(Reason::ClickNotFound) => TurnedAway::ClickNotFound { click_id },
        Some(Reason::LinkNotFound) => TurnedAway::LinkNotFound { click_id },
        Some(Reason::LinkForeign) => TurnedAway::LinkForeign { click_id, link_id },
        Some(Reason::LinkDisabled) => TurnedAway::LinkDisabled { click_id, link_id },
        Some(Reason::CustomerNotFound) => TurnedAway::CustomerNotFound,
        None => TurnedAway::Unavailable,
    }
}
