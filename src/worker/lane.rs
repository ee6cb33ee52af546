//! One lane: receive, record, settle, tell; and open anew when the channel is gone.
//!
//! The batch is what piled up while the previous one was being written: no added latency when idle, large batches under load. (The
//! design stops there. But a lane that is faster than its senders, or one of many, then never gets a batch worth a transaction,
//! and those many small ones take the cores from everybody. So it leaves messages to pile up for `worker.gather`, longer when
//! transactions take longer, unless somebody waits for one of them: a sixth less CPU per lead with one worker on two cores, a
//! third less with eight.)
//!
//! **Invariant:** whatever a lane holds when its channel goes away is void; the broker hands it out again.

use std::time::Duration;

use chrono::Utc;
use futures_util::future::join;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use uuid::Uuid;

use super::Bench;
use super::hold::GaveUp;
use super::horizon::{Marks, Post, Rest};
use super::inbox::{Condemned, Inbox, Readable, grave, sort};
use super::pressure::Pressure;
use super::spans::Spans;
use super::tell;
use crate::broker::{BrokerError, Delivery, Inlet, Queue};
use crate::config;
use crate::lead::{LeadMessage, Mode, Trace};
use crate::lifecycle::{Delays, Stop, fault};
use crate::record::{Batch, Recorded, Recorder, Verdict};
use crate::telemetry::{Hand, Raised};

/// So many messages are a batch worth a transaction; each brings up to 16 leads.
const ENOUGH: usize = 32;
/// Messages are left for so many times `worker.gather` at most.
const MOST_RESTS: u32 = 5;
/// How long a channel stays unopened for the connection that replies go out on: what is recorded before it is there is told to nobody.
/// One that RabbitMQ blocks is no reason to record nothing.
const VOICE_WITHIN: Duration = Duration::from_secs(1);
/// No channel lives for longer than so many times `worker.renew_after`.
const OLDEST: u32 = 10;

/// One lane.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) name: &'static str,
    /// Whether it only receives under pressure.
    pub(super) helps: bool,
    /// How long it leaves messages to pile up after it took some, at least.
    pub(super) gather: Duration,
    pub(super) pressure: Pressure,
    pub(super) hand: Hand,
    pub(super) queues: Vec<Queue>,
    pub(super) post: Post,
    pub(super) bench: Bench,
    pub(super) recorder: Recorder,
    pub(super) config: config::Worker,
    pub(super) stop: Stop,
}

/// Why a lane lets go of its channel.
#[derive(Debug)]
pub(super) enum LetGo {
    /// The channel is gone already.
    Broken(BrokerError),
    /// `PostgreSQL` is away for too long, or a stop was asked for meanwhile.
    GaveUp,
}

/// What a lane does when it has let go of its channel.
#[derive(Debug, Clone, Copy)]
enum Next {
    /// It opens another.
    Open,
    /// It pauses first.
    Pause,
    /// It waits for `PostgreSQL` first.
    Hear,
}

impl From<BrokerError> for LetGo {
    fn from(error: BrokerError) -> Self {
        Self::Broken(error)
    }
}

impl From<GaveUp> for LetGo {
    fn from(_: GaveUp) -> Self {
        Self::GaveUp
    }
}

impl Lane {
    /// Works until a stop is asked for.
    pub(super) async fn run(self) {
        let mut delays = Delays::new(self.config.backoff_min, self.config.backoff_max);
        let mut innocent = Vec::new();
        while let Some(opened) = self.stop.unless_asked(self.open()).await {
            match opened {
                Ok(inlet) => {
                    delays.reset();
                    let (rest, next) = self.serve(inlet, &mut innocent).await;
                    self.post.let_go(rest);
                    match next {
                        Next::Open => continue,
                        Next::Pause => {}
                        Next::Hear => {
                            self.stop.unless_asked(self.post.heard_anew()).await;
                            self.forgive(&mut innocent).await;
                        }
                    }
                }
                Err(error) => {
                    self.post.let_go(Rest::Lost);
                    tracing::debug!(lane = self.name, %error, "no channel");
                }
            }
            self.stop.unless_asked(sleep(delays.next())).await;
        }
        // The stop may have come while a channel was being opened.
        self.post.let_go(Rest::Lost);
    }

    async fn open(&self) -> Result<Inlet, BrokerError> {
        if self.helps {
            self.pressure.felt().await;
        }
        self.post.heard().await;
        drop(timeout(VOICE_WITHIN, self.bench.publisher.ready()).await);
        self.post.opening();
        self.bench.link.open(&self.queues, self.prefetch()).await
    }

    /// How many messages of each queue may be under way to it.
    fn prefetch(&self) -> u16 {
        if self.helps { self.pressure.share(self.config.prefetch) } else { self.config.prefetch }
    }

    /// Serves one channel to its end; returns what became of the rest.
    async fn serve(&self, mut inlet: Inlet, innocent: &mut Vec<String>) -> (Rest, Next) {
        let mut marks = Marks::new(&self.post, self.config.sweep_every);
        let opened = Instant::now();
        let mut resting = opened;
        loop {
            let round = self.round(&mut inlet, &mut marks, &mut resting, innocent);
            let worked = tokio::select! {
                worked = round => worked,
                () = self.post.silent() => Err(LetGo::GaveUp),
            };
            match worked {
                Ok(()) if self.stop.is_asked() || (self.helps && self.pressure.is_over()) => {
                    return (self.leave(inlet, innocent).await, Next::Pause);
                }
                Ok(()) if self.is_stale(&inlet, opened) => return (self.leave(inlet, innocent).await, Next::Open),
                Ok(()) => {}
                Err(LetGo::Broken(error)) => {
                    self.bench.metrics.failures.with_label_values(&["worker", "channel_lost"]).inc();
                    tracing::info!(lane = self.name, %error, "the channel is gone, opening another");
                    return (closed(inlet).await, Next::Pause);
                }
                Err(LetGo::GaveUp) => return (closed(inlet).await, Next::Hear),
            }
        }
    }

    /// Whether the broker may count messages as sent on this channel that it never sent: replicas that were elected or came back
    /// do (<https://github.com/rabbitmq/rabbitmq-server/issues/15473>; by its traces also 4.0.5 after its nodes were killed), and only the end of
    /// the channel frees them. A silent queue is suspected soon, since few leads wait for the new channel then; what is missing in
    /// one that goes on sending cannot be known. Or whether messages bring so much less by now that it is sent too few of them.
    fn is_stale(&self, inlet: &Inlet, opened: Instant) -> bool {
        let after = self.config.renew_after;
        let outgrown = self.prefetch() / 2 > inlet.prefetch();
        outgrown || inlet.silence() >= after || opened.elapsed() >= after.saturating_mul(OLDEST)
    }

    /// Works on what has arrived, and returns after `sweep_every` if nothing does. `resting`: until then what comes piles up.
    async fn round(
        &self,
        inlet: &mut Inlet,
        marks: &mut Marks,
        resting: &mut Instant,
        innocent: &mut Vec<String>,
    ) -> Result<(), LetGo> {
        marks.keep(inlet).await?;
        let mut deliveries = Vec::new();
        let received = async {
            inlet.gather(*resting, ENOUGH).await?;
            inlet.receive(&mut deliveries, self.config.batch, self.config.batch_bytes).await
        };
        match self.stop.unless_asked(timeout_at(marks.due(), received)).await {
            Some(Ok(received)) => received?,
            Some(Err(_)) | None => return Ok(()),
        }
        let taken = Instant::now();
        self.work(inlet, deliveries, innocent).await?;
        *resting = taken + rest(self.gather, taken.elapsed());
        Ok(())
    }

    async fn leave(&self, mut inlet: Inlet, innocent: &mut Vec<String>) -> Rest {
        let finished = tokio::select! {
            finished = self.finish(&mut inlet, innocent) => finished,
            () = self.post.silent() => Err(LetGo::GaveUp),
        };
        if let Err(error) = &finished {
            tracing::debug!(lane = self.name, ?error, "leaving with deliveries in hand");
        }
        let rest = closed(inlet).await;
        if finished.is_ok() && rest == Rest::Returned { Rest::None } else { rest }
    }

    /// What was handed out before is worked off: giving it back would count a redelivery.
    async fn finish(&self, inlet: &mut Inlet, innocent: &mut Vec<String>) -> Result<(), LetGo> {
        inlet.pause().await?;
        while inlet.arrived() > 0 {
            let mut deliveries = Vec::new();
            inlet.receive(&mut deliveries, self.config.batch, self.config.batch_bytes).await?;
            self.work(inlet, deliveries, innocent).await?;
        }
        Ok(())
    }

    async fn work(
        &self,
        inlet: &mut Inlet,
        deliveries: Vec<Delivery>,
        innocent: &mut Vec<String>,
    ) -> Result<(), LetGo> {
        let _in_hand = Raised::by(deliveries.len(), self.bench.metrics.in_hand.with_label_values(&[self.name]));
        for delivery in deliveries.iter().filter(|delivery| delivery.redelivered) {
            self.bench.metrics.redeliveries.with_label_values(&[delivery.queue.as_str()]).inc();
        }
        let bytes: usize = deliveries.iter().map(|delivery| delivery.body.len()).sum();
        self.bench.metrics.batch_bytes.with_label_values(&[self.name]).observe(bytes as f64);
        if deliveries.len() >= self.config.batch {
            let messages = deliveries.chunk_by(|one, next| one.tag == next.tag).count();
            self.pressure.note(messages, deliveries.len());
        }
        let mut inbox = sort(deliveries, self.config.suspect_after);
        let suspects = std::mem::take(&mut inbox.suspects);
        self.handle(inlet, inbox).await?;
        self.handle_suspects(inlet, suspects, innocent).await
    }

    /// Records, buries, settles and tells, in this order.
    pub(super) async fn handle(&self, inlet: &mut Inlet, inbox: Inbox) -> Result<(), LetGo> {
        let Inbox { readable, mut condemned, .. } = inbox;
        let _held = self.hand.holds(self.oldest(&readable));
        let mut spans = Spans::begin(&self.bench.tracer, self.name, &readable);
        let mut tags: Vec<u64> = readable.iter().map(|r| r.tag).chain(condemned.iter().map(|c| c.tag)).collect();
        let mut received = Vec::with_capacity(readable.len());
        let mut remains: Vec<(Uuid, u64, Vec<u8>, Option<String>)> = Vec::with_capacity(readable.len());
        for Readable { tag, received: one, body, message_id, .. } in readable {
            remains.push((one.message.id, tag, body, message_id));
            received.push(one);
        }
        let batch = Batch::new(received);
        let recorded = self.record(&batch, &spans).await?;
        fault::point("worker.committed").await;
        for (id, tag, body, message_id) in remains {
            if let Some(Verdict::Bury(reason)) = recorded.verdicts.get(&id) {
                let grave = grave(message_id.as_deref(), body, reason.clone());
                condemned.push(Condemned { tag, cause: "refused", grave });
            }
        }
        self.bury(condemned).await?;
        tags.sort_unstable();
        let waits = |(message, reply_to): (&LeadMessage, Option<&str>)| {
            reply_to.is_some() && message.mode == Mode::Wait && !message.is_follow_up()
        };
        if fault::is_planned("worker.acknowledged") && batch.leads().any(waits) {
            // Whoever dies here leaves nothing that RabbitMQ would hand out again, and somebody who was not told.
            inlet.settle(&std::mem::take(&mut tags)).await?;
            inlet.caught_up().await?;
            fault::point("worker.acknowledged").await;
        }
        // Whoever waits is told while the acknowledgement is on its way, and also when it finds no channel any more.
        let told = async { tell::verdicts(&self.bench, &batch, &recorded, Utc::now(), &mut spans) };
        let (settled, ()) = join(inlet.settle(&tags), told).await;
        Ok(settled?)
    }

    /// Notes how long leads were on their way here, and says when the oldest of them was accepted, in unix seconds.
    fn oldest(&self, readable: &[Readable]) -> Option<i64> {
        let now = Utc::now();
        // Counted apart, and added to what all lanes share once for all of them.
        let waited = self.bench.metrics.queue_wait.with_label_values(&[self.name]).local();
        let accepted = readable.iter().map(|one| one.received.message.accepted_at);
        accepted.inspect(|at| waited.observe(tell::seconds(*at, now))).min().map(|at| at.timestamp())
    }

    async fn record(&self, batch: &Batch, spans: &Spans) -> Result<Recorded, LetGo> {
        if batch.is_empty() {
            return Ok(Recorded::default());
        }
        let recording = spans.record(&self.bench.tracer);
        let recorded = self.holding(|| self.recorder.record(batch)).await;
        recording.end(recorded.is_ok().then(|| batch.len()));
        let recorded = recorded?;
        let leads = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        self.bench.metrics.batch_leads.with_label_values(&[self.name]).observe(f64::from(leads));
        tracing::info!(lane = self.name, batch.len = leads, woken = recorded.woken.len(), "batch committed");
        Ok(recorded)
    }

    pub(super) async fn bury(&self, condemned: Vec<Condemned>) -> Result<(), LetGo> {
        for Condemned { cause, grave, .. } in condemned {
            let news = self.holding(|| self.bench.store.bury(grave.clone())).await?;
            if news {
                self.bench.metrics.buried.with_label_values(&[cause]).inc();
                let trace = LeadMessage::decode(&grave.message).ok().and_then(|message| message.trace);
                let trace_id = trace.as_deref().map(Trace::id);
                tracing::warn!(
                    lane = self.name,
                    identity = grave.identity,
                    reason = grave.reason,
                    trace_id,
                    "message buried"
                );
            }
        }
        Ok(())
    }
}

/// How long after a batch was taken the next one piles up, if the first took so long. Up to three times as long as that, since
/// transactions take long when there are too many of them.
fn rest(gather: Duration, took: Duration) -> Duration {
    took.saturating_mul(3).clamp(gather, gather.saturating_mul(MOST_RESTS))
}

async fn closed(inlet: Inlet) -> Rest {
    if inlet.close().await { Rest::Returned } else { Rest::Lost }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_rests_longer_when_transactions_take_longer_and_never_too_long() {
        let ms = Duration::from_millis;
        assert_eq!(rest(ms(10), ms(2)), ms(10));
        assert_eq!(rest(ms(10), ms(8)), ms(24));
        assert_eq!(rest(ms(10), ms(900)), ms(50));
        assert_eq!(rest(Duration::ZERO, ms(900)), Duration::ZERO);
    }
}
