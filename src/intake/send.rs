//! The last steps of a lead: stamp, publish, wait where somebody waits; without a broker, record.
//!
//! Enters: a planned wish. Leaves: its answer. If the caller goes away meanwhile, what was published stays
//! published. What the broker does not confirm is recorded directly, except what only the queue can answer, and
//! except when the queue is full: that is overload. What neither engine took in time, the queue may still take until the
//! request's deadline: with PostgreSQL away, a broker that is slow is better than none.
//!
//! **Invariant:** the waiter is registered before the message is published, and 200 is said only
//! after the confirm or the commit (after the verdict, for those who wait for it).

use std::time::Duration;

use chrono::Utc;
use tokio::time::Instant;
use uuid::Uuid;

use super::accept::Intake;
use super::answer::{Answer, Cause, Tracked, TurnedAway};
use super::breaker::Pass;
use super::direct::Outcome;
use super::plan::{Plan, reveal};
use crate::broker::{Address, Letter, Ordered, PublishError, Queue};
use crate::lead::{Ending, LeadMessage, Mode, Reason, Trace, TrackLead};
use crate::reply::Reply;
use crate::store::Question;
use crate::telemetry::{REPLIES, Span, Step};

/// How long a request waits for the reply queue to be opened while the broker serves.
const OPENING: Duration = Duration::from_secs(1);

/// A lead with its id, ready to be sent, and what a 200 would say.
#[derive(Debug)]
pub(super) struct Stamped {
    pub(super) message: LeadMessage,
    pub(super) tracked: Tracked,
    /// Whether the customer in `tracked` was taken to be new.
    pub(super) guessed: bool,
}

/// A message that was handed to the broker, or could not be.
#[derive(Debug)]
pub(super) struct Handed<'a> {
    pass: Pass<'a>,
    ordered: Ordered<'a>,
    span: Span,
}

/// Why a message has no word of the broker.
#[derive(Debug)]
pub(super) enum NotSent<'a> {
    /// The broker is away, or slow with a message that is under way: the direct path may take over.
    Away(Option<Ordered<'a>>),
    /// Overload, or no verdict in time: 503.
    Refused(Cause),
}

/// Gives a lead its id, or the answer that needs no sending.
pub(super) fn stamp(
    workspace_id: Uuid,
    lead: TrackLead,
    plan: Plan,
    trace: Option<Box<Trace>>,
) -> Result<Stamped, Box<Answer>> {
    let lead_id = Uuid::now_v7();
    match plan {
        Plan::Repeat { recorded, tracked } => {
            Err(Box::new(Answer { lead_id: recorded, ending: Some(Ending::Duplicate), outcome: Ok(tracked) }))
        }
        Plan::Refuse(refused) => Err(Box::new(Answer { lead_id, ending: None, outcome: Err(refused) })),
        Plan::Publish { resolved, awaited, tracked } => {
            let mut message = LeadMessage::new(lead_id, workspace_id, Utc::now(), lead);
            message.resolved = resolved;
            message.awaited = awaited;
            message.trace = trace;
            Ok(Stamped { message, tracked, guessed: false })
        }
    }
}

impl Stamped {
    /// Whether the verdict is waited for, and not only the confirm.
    pub(super) fn is_asked(&self) -> bool {
        self.message.awaited || self.message.mode == Mode::Wait
    }
}

impl Handed<'_> {
    /// Whether there was no room for it in time.
    pub(super) fn is_crowded(&self) -> bool {
        self.ordered.is_crowded()
    }
}

impl Intake {
    /// Sends a lead, and answers once it is durable, or its verdict known.
    pub(super) async fn send(&self, mut stamped: Stamped, until: Instant) -> Answer {
        let sent = if stamped.is_asked() {
            self.ask(&mut stamped.message, until).await.map(Some)
        } else {
            let handed = self.hand_over(&mut stamped.message, until).await;
            self.confirmed(&stamped.message, handed).await.map(|()| None)
        };
        self.settle(stamped, sent, until).await
    }

    /// The answer, given the broker's word, or after recording directly what has none.
    pub(super) async fn settle(
        &self,
        stamped: Stamped,
        sent: Result<Option<Reply>, NotSent<'_>>,
        until: Instant,
    ) -> Answer {
        let lead_id = stamped.message.id;
        match sent {
            Ok(Some(reply)) => self.answered(stamped, reply).await,
            Ok(None) => Answer { lead_id, ending: None, outcome: Ok(stamped.tracked) },
            Err(NotSent::Away(late)) if !stamped.message.awaited => self.record(stamped, late, until).await,
            Err(NotSent::Away(_)) => Answer::unavailable(lead_id, Cause::BrokerAway),
            Err(NotSent::Refused(cause)) => Answer::unavailable(lead_id, cause),
        }
    }

    /// Hands a message to the broker; waits for room at most until then.
    pub(super) async fn hand_over(
        &self,
        message: &mut LeadMessage,
        room_by: Instant,
    ) -> Result<Handed<'_>, NotSent<'_>> {
        let pass = self.breaker.pass(Instant::now()).ok_or(NotSent::Away(None))?;
        let (letter, span) = self.letter(message, None).ok_or(NotSent::Away(None))?;
        Ok(Handed { pass, span, ordered: self.publisher.order(letter, room_by).await })
    }

    /// Waits for the confirm of a message.
    pub(super) async fn confirmed<'a>(
        &self,
        message: &LeadMessage,
        handed: Result<Handed<'a>, NotSent<'a>>,
    ) -> Result<(), NotSent<'a>> {
        let Handed { pass, mut ordered, span } = handed?;
        let published = ordered.confirmed().await;
        self.judge(message, pass, published, span).map_err(|not_sent| match not_sent {
            NotSent::Away(_) if ordered.is_under_way() => NotSent::Away(Some(ordered)),
            other => other,
        })
    }

    /// Publishes and waits for the verdict: stronger evidence than the confirm, and it may overtake it.
    async fn ask(&self, message: &mut LeadMessage, until: Instant) -> Result<Reply, NotSent<'_>> {
        let pass = self.breaker.pass(Instant::now()).ok_or(NotSent::Away(None))?;
        if !self.publisher.is_ready() {
            return self.judge(message, pass, Err(PublishError::Away), Span::default()).and(Err(NotSent::Away(None)));
        }
        let opening = until.min(Instant::now() + OPENING);
        let reply_to = self.listener.queue_by(opening).await.ok_or(NotSent::Away(None))?;
        let waiter = self.waiters.register(message.workspace_id, message.id);
        let waiter = waiter.ok_or(NotSent::Refused(Cause::NoWaiter))?;
        let (letter, span) = self.letter(message, Some(reply_to)).ok_or(NotSent::Away(None))?;
        let verdict = waiter.wait(until);
        tokio::pin!(verdict);
        let reply = tokio::select! {
            biased;
            reply = &mut verdict => {
                self.judge(message, pass, reply.as_ref().map(|_| ()).ok_or(PublishError::Unconfirmed), span)?;
                reply
            }
            published = self.publisher.publish(letter) => {
                self.judge(message, pass, published, span)?;
                verdict.await
            }
        };
        let reply = reply.ok_or(NotSent::Refused(Cause::NoVerdict))?;
        let mut heard = self.tracer.step(Step::Receive(REPLIES), reply.trace.as_deref());
        heard.note("lead.ending", reply.ending.as_str());
        let waited = (Utc::now() - message.accepted_at).num_microseconds().unwrap_or(0).max(0) as f64 / 1e6;
        self.metrics.accept_to_reply.with_label_values(&[message.mode.as_str()]).observe(waited);
        Ok(reply)
    }

    /// A wait request that carries a click goes past the backlog; a follow-up queues behind its customer's deferred lead. What
    /// is traced takes the place of its publishing with it.
    fn letter(&self, message: &mut LeadMessage, reply_to: Option<String>) -> Option<(Letter, Span)> {
        let past = message.mode == Mode::Wait && !message.is_follow_up();
        let queue = if past { Queue::Wait } else { Queue::Shard(message.shard()) };
        let mut span = self.tracer.step(Step::Publish(queue.as_str()), message.trace.as_deref());
        if let Some(place) = span.place() {
            span.note("lead.id", message.id);
            span.note("lead.mode", message.mode.as_str());
            message.trace = Some(place);
        }
        let body = message.encode().ok()?;
        let (to, trace) = (Address::Queue(queue), message.trace.clone());
        Some((Letter { to, id: message.id, body, reply_to, trace }, span))
    }

    /// Tells the breaker, and says whether the direct path may take over.
    fn judge(
        &self,
        message: &LeadMessage,
        pass: Pass<'_>,
        published: Result<(), PublishError>,
        mut span: Span,
    ) -> Result<(), NotSent<'static>> {
        let Err(error) = published else {
            pass.succeeded();
            return Ok(());
        };
        span.fail(error.as_str());
        tracing::debug!(lead.id = %message.id, %error, "lead not confirmed");
        match error {
            PublishError::Full => Err(NotSent::Refused(Cause::QueueFull)),
            // Whoever waited for room behind messages that were not confirmed finds the breaker open by now.
            PublishError::Crowded if !pass.is_trial() && !self.breaker.is_open() => {
                Err(NotSent::Refused(Cause::Crowded))
            }
            PublishError::Crowded if !pass.is_trial() => Err(NotSent::Away(None)),
            PublishError::Crowded | PublishError::Away | PublishError::Unconfirmed => {
                pass.failed(Instant::now());
                Err(NotSent::Away(None))
            }
        }
    }

    /// Records a message directly; where that fails too, the queue is the last hope of what nobody waits for.
    async fn record(&self, mut stamped: Stamped, late: Option<Ordered<'_>>, until: Instant) -> Answer {
        let message = &mut stamped.message;
        let lead_id = message.id;
        let mut span = self.tracer.step(Step::Record, message.trace.as_deref());
        span.note("lead.id", lead_id);
        let outcome = self.direct.record(message.clone(), until).await;
        match &outcome {
            Some(Outcome::Ended(reply)) => span.note("lead.ending", reply.ending.as_str()),
            Some(Outcome::Parked) => span.note("lead.ending", "parked"),
            None => span.fail("unavailable"),
        }
        span.end();
        match outcome {
            Some(Outcome::Ended(reply)) => self.answered(stamped, reply).await,
            Some(Outcome::Parked) if message.mode != Mode::Wait => {
                Answer { lead_id, ending: None, outcome: Ok(stamped.tracked) }
            }
            // Who it follows may be known to the queue.
            Some(Outcome::Parked) => Answer::unavailable(lead_id, Cause::BrokerAway),
            None if message.mode == Mode::Wait => Answer::unavailable(lead_id, Cause::EnginesAway),
            None => match self.insist(message, late, until).await {
                Ok(()) => Answer { lead_id, ending: None, outcome: Ok(stamped.tracked) },
                Err(cause) => Answer::unavailable(lead_id, cause),
            },
        }
    }

    /// A broker that is slow is still better than none: gives it until then, whatever the breaker says. What is under way is
    /// waited for; anything else is published, and may be so twice, under one lead id.
    async fn insist(&self, message: &mut LeadMessage, late: Option<Ordered<'_>>, until: Instant) -> Result<(), Cause> {
        let (mut ordered, mut span) = match late {
            Some(ordered) => (ordered, Span::default()),
            None => {
                let (letter, span) = self.letter(message, None).ok_or(Cause::EnginesAway)?;
                let mut ordered = self.publisher.order(letter, until).await;
                if ordered.confirmed().await.is_ok() {
                    return Ok(());
                }
                (ordered, span)
            }
        };
        ordered.confirmed_by(until).await.map_err(|error| {
            span.fail(error.as_str());
            if error == PublishError::Full { Cause::QueueFull } else { Cause::EnginesAway }
        })
    }

    async fn answered(&self, stamped: Stamped, reply: Reply) -> Answer {
        let Stamped { message, mut tracked, guessed } = stamped;
        let mistaken = guessed && !reply.brought;
        if guessed && matches!(reply.ending, Ending::Recorded | Ending::Duplicate) {
            self.metrics.guesses.with_label_values(&[if mistaken { "known" } else { "new" }]).inc();
        }
        let outcome = match reply.ending {
            Ending::Buried if message.mode == Mode::Wait => Err(TurnedAway::Unavailable(Cause::Buried)),
            Ending::Buried => Ok(tracked),
            Ending::Rejected => Err(turned_away(&message, &reply)),
            Ending::Duplicate => {
                let found = if mistaken { self.resolver.resolve(revealing(&message, None)).await } else { None };
                reveal(&mut tracked, reply.click_id, found);
                tracked.link = None;
                Ok(tracked)
            }
            Ending::Recorded | Ending::Deferred => {
                if tracked.link.is_none() || mistaken {
                    let found = match reply.link_id {
                        None => None,
                        link_id => self.resolver.resolve(revealing(&message, link_id)).await,
                    };
                    reveal(&mut tracked, reply.click_id, found);
                }
                Ok(tracked)
            }
        };
        Answer { lead_id: message.id, ending: Some(reply.ending), outcome }
    }
}

/// What a worker's verdict left open: the stored customer, and the link where that was not known.
fn revealing(message: &LeadMessage, link_id: Option<Uuid>) -> Question {
    Question {
        workspace_id: message.workspace_id,
        customer_external_id: message.customer_external_id.clone(),
        event_key: None,
        click_id: None,
        link_id,
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
        None => TurnedAway::Unavailable(Cause::NoVerdict),
    }
}
