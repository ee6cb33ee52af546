//! One receiving channel: a consumer per queue, merged into one stream in tag order.
//!
//! Enters: queues and a prefetch. Leaves: deliveries, in batches of whatever has arrived; tags settle
//! them. The broker numbers the messages of a channel without a gap, and handing them out in that
//! order is what makes one acknowledgement cover a whole batch, or several: each is an entry in the log of a quorum queue, so they
//! are sent every [`OWED_FOR`] and not for each batch. (Small batches, of `wait` requests above all, then cost RabbitMQ a quarter
//! less CPU and a third fewer bytes. After a death that many more messages come back, and are found ended.)
//!
//! **Invariant:** once anything fails, every delivery this inlet handed out is void: the broker will hand
//! it out again.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt};
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Consumer};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::DropGuard;

use super::session::Session;
use super::tags::{Acks, Tags};
use super::{BrokerError, Delivery, Queue, Topology};

/// How often a missing tag is looked for; lapin queues deliveries in tag order, so once is enough.
const ROUNDS: usize = 4;

/// What the broker has sent must arrive before a consumer is cancelled: of a cancelled one it drops what is under way, and
/// hands it out again only when the channel is closed, as a redelivery. It has arrived when nothing more did for this long, …
const QUIET: Duration = Duration::from_millis(20);
/// … and where the flow does not end, what has arrived waits no longer than this: a few redeliveries are the lesser evil.
const QUIET_WITHIN: Duration = Duration::from_millis(100);

/// How long an acknowledgement may wait for company.
const OWED_FOR: Duration = Duration::from_millis(20);
/// It never waits when so large a part of the prefetch is owed, lest the flow ends.
const OWED_PART: usize = 4;

/// How often a channel without consumers is looked at: nothing else would tell that it died.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A channel with its consumers. Close it with [`Inlet::close`]; dropping it gives deliveries back too,
/// but later and without waiting for it.
#[derive(Debug)]
pub struct Inlet {
    session: Arc<Session>,
    channel: Channel,
    topology: Topology,
    queues: Vec<Queue>,
    sources: Vec<Source>,
    arrived: VecDeque<Arrived>,
    tags: Tags,
    /// What is settled and not acknowledged; since when, and the run of settled tags until then.
    owed: Acks,
    owed_from: Option<(Instant, u64)>,
    prefetch: u16,
    generation: u32,
    _held: Arc<DropGuard>,
}

/// A message that nobody has received yet.
#[derive(Debug)]
struct Arrived {
    queue: Queue,
    message: lapin::message::Delivery,
}

impl Arrived {
    fn tag(&self) -> u64 {
        self.message.delivery_tag
    }

    /// Whether its sender waits for an answer.
    fn is_awaited(&self) -> bool {
        self.message.properties.reply_to().is_some()
    }
}

#[derive(Debug)]
struct Source {
    queue: Queue,
    consumer: Consumer,
    /// When it brought something last, or was opened.
    heard: Instant,
}

impl Inlet {
    pub(super) async fn open(
        session: Arc<Session>,
        topology: Topology,
        queues: &[Queue],
        prefetch: u16,
        held: Arc<DropGuard>,
    ) -> Result<Self, BrokerError> {
        let channel = session.channel().await?;
        let mut inlet = Self {
            session,
            channel,
            topology,
            queues: queues.to_vec(),
            sources: Vec::new(),
            arrived: VecDeque::new(),
            tags: Tags::new(),
            owed: Acks::default(),
            owed_from: None,
            prefetch,
            generation: 0,
            _held: held,
        };
        inlet.set_prefetch().await?;
        inlet.resume().await?;
        Ok(inlet)
    }

    /// Waits until then, or until so many messages have arrived, or one whose sender waits for an answer. Cancel-safe.
    ///
    /// # Errors
    /// The channel or its connection is gone: every delivery taken from it is void.
    pub async fn gather(&mut self, until: Instant, enough: usize) -> Result<(), BrokerError> {
        let mut looked = 0;
        let more = self.when(|inlet, cx| {
            ready!(inlet.poll_arrived(cx))?;
            let pressing = inlet.arrived.range(looked..).any(Arrived::is_awaited);
            looked = inlet.arrived.len();
            if pressing || looked >= enough { Poll::Ready(Ok(())) } else { Poll::Pending }
        });
        timeout_at(until, more).await.unwrap_or(Ok(()))
    }

    /// Waits for one message, then takes what has arrived: at most `max` deliveries of together `max_bytes` of body, save that
    /// a message is taken whole; at least one. Cancel-safe.
    ///
    /// # Errors
    /// The channel or its connection is gone: every delivery taken from it is void.
    pub async fn receive(&mut self, into: &mut Vec<Delivery>, max: usize, max_bytes: usize) -> Result<(), BrokerError> {
        self.when(Self::poll_arrived).await?;
        let (mut taken, mut bytes) = (0, 0);
        while let Some(Arrived { queue, message }) = self.arrived.pop_front_if(|next| {
            bytes += next.message.data.len();
            taken == 0 || (taken < max && bytes <= max_bytes)
        }) {
            let tag = message.delivery_tag;
            let letters = Delivery::open(queue, message, into);
            self.tags.hand_out(tag, letters);
            taken += letters;
        }
        Ok(())
    }

    /// How many messages have arrived that nobody has received yet.
    #[must_use]
    pub fn arrived(&self) -> usize {
        self.arrived.len()
    }

    /// How many messages of each queue may be under way to it and unsettled.
    #[must_use]
    pub fn prefetch(&self) -> u16 {
        self.prefetch
    }

    /// For how long the quietest of its queues has sent nothing; zero when paused.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.sources.iter().map(|source| source.heard.elapsed()).max().unwrap_or_default()
    }

    /// Asks the broker something and returns the highest tag that came before its answer: what it has sent on this channel so
    /// far is in our hands then, if it was not lost on the way. A connection that carries nothing any more shows here too.
    ///
    /// # Errors
    /// The channel or its connection is gone, or silent for `broker.rpc_timeout`: every delivery taken from it is void.
    pub async fn caught_up(&mut self) -> Result<u64, BrokerError> {
        self.acknowledge().await?;
        self.set_prefetch().await?;
        std::future::poll_fn(|cx| match self.poll_arrived(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(())),
        })
        .await?;
        Ok(self.arrived.back().map_or(self.tags.next() - 1, Arrived::tag))
    }

    /// The highest tag below which everything is settled, itself included; 0 if nothing is.
    #[must_use]
    pub fn settled_through(&self) -> u64 {
        self.tags.settled_through()
    }

    /// Notes settled deliveries, and acknowledges them soon: at once if others have waited for [`OWED_FOR`], else while this
    /// waits for messages, or pauses or closes. A tag is given once for each of its deliveries; a message that brought several is
    /// acknowledged when the last is settled. Tags this inlet never handed out are passed over.
    ///
    /// # Errors
    /// The channel or its connection is gone; whether the acknowledgement arrived is unknown.
    pub async fn settle(&mut self, tags: &[u64]) -> Result<(), BrokerError> {
        if !self.channel.status().connected() {
            return Err(BrokerError::Gone("the channel"));
        }
        let from = self.owed_from.get_or_insert_with(|| (Instant::now(), self.tags.settled_through()));
        let (since, before) = *from;
        self.owed.add(self.tags.settle(tags));
        let run = usize::try_from(self.tags.settled_through() - before).unwrap_or(usize::MAX);
        let much = run + self.owed.singly.len() >= usize::from(self.prefetch) / OWED_PART;
        if much || since.elapsed() >= OWED_FOR { self.acknowledge().await } else { Ok(()) }
    }

    /// Acknowledges what is settled: the unbroken run from the lowest unsettled tag in one, the rest singly.
    ///
    /// # Errors
    /// As [`Inlet::settle`].
    pub async fn acknowledge(&mut self) -> Result<(), BrokerError> {
        let acks = std::mem::take(&mut self.owed);
        self.owed_from = None;
        if acks.is_empty() {
            return Ok(());
        }
        // All are sent when the first is waited for: cut short there, none is left out.
        let run = acks.up_to.map(|tag| (tag, BasicAckOptions { multiple: true }));
        let singly = acks.singly.iter().map(|tag| (*tag, BasicAckOptions::default()));
        let mut sent: FuturesUnordered<_> =
            run.into_iter().chain(singly).map(|(tag, options)| self.channel.basic_ack(tag, options)).collect();
        let acknowledged = async {
            while let Some(acknowledged) = sent.next().await {
                acknowledged?;
            }
            Ok(())
        };
        self.session.within("basic.ack", acknowledged).await
    }

    /// Stops the flow: nothing new is handed out, what was stays ours. What had arrived before can
    /// still be received. Does nothing when paused.
    ///
    /// # Errors
    /// The channel or its connection is gone. Not cancel-safe: close the inlet if it was cut short.
    pub async fn pause(&mut self) -> Result<(), BrokerError> {
        self.acknowledge().await?;
        timeout(QUIET_WITHIN, self.quiet()).await.unwrap_or(Ok(()))?;
        for source in &self.sources {
            let options = BasicCancelOptions::default();
            let cancelled = self.channel.basic_cancel(source.consumer.tag(), options);
            self.session.within("basic.cancel", cancelled).await?;
        }
        let mut sources = std::mem::take(&mut self.sources);
        for source in &mut sources {
            let arrived = &mut self.arrived;
            let rest = async {
                while let Some(delivery) = source.consumer.next().await {
                    arrived.push_back(Arrived { queue: source.queue, message: delivery? });
                }
                Ok(())
            };
            self.session.within("the last deliveries", rest).await?;
        }
        self.sort();
        Ok(())
    }

    /// Lets deliveries flow again. Does nothing unless paused.
    ///
    /// # Errors
    /// The channel or its connection is gone. Not cancel-safe: close the inlet if it was cut short.
    pub async fn resume(&mut self) -> Result<(), BrokerError> {
        if !self.sources.is_empty() {
            return Ok(());
        }
        self.generation = self.generation.wrapping_add(1);
        for queue in self.queues.clone() {
            // A name of its own each time: what an earlier consumer took stays apart from it.
            let tag = format!("{}-{}", queue.as_str(), self.generation);
            let consuming = self.channel.basic_consume(
                ShortString::from(self.topology.queue_name(queue)),
                tag.into(),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            );
            let consumer = self.session.within("basic.consume", consuming).await?;
            self.sources.push(Source { queue, consumer, heard: Instant::now() });
        }
        Ok(())
    }

    /// Closes the channel while its consumers live, so that unsettled deliveries go back to their
    /// places at once. Returns whether the broker said that it is closed; otherwise they go back when it notices.
    pub async fn close(mut self) -> bool {
        if let Err(error) = self.acknowledge().await {
            tracing::debug!(%error, "what was settled comes back, and is found ended");
        }
        let closed = self.channel.close(200, "OK".into());
        let closed = self.session.within("channel.close", closed).await;
        if let Err(error) = &closed {
            tracing::debug!(%error, "channel not closed in good order");
        }
        closed.is_ok()
    }

    /// Per consumer, not per channel: quorum queues refuse the latter.
    async fn set_prefetch(&self) -> Result<(), BrokerError> {
        let qos = self.channel.basic_qos(self.prefetch, BasicQosOptions { global: false });
        self.session.within("basic.qos", qos).await
    }

    /// Waits until something is ready, and acknowledges meanwhile what has waited long enough. Cancel-safe.
    async fn when(
        &mut self,
        mut ready: impl FnMut(&mut Self, &mut Context<'_>) -> Poll<Result<(), BrokerError>>,
    ) -> Result<(), BrokerError> {
        let (session, channel) = (Arc::clone(&self.session), self.channel.clone());
        loop {
            let (paused, due) = (self.sources.is_empty(), self.owed_from.map(|(since, _)| since + OWED_FOR));
            tokio::select! {
                biased;
                () = session.gone() => return Err(BrokerError::Gone("the connection")),
                () = ended(&channel), if paused => return Err(BrokerError::Gone("the channel")),
                ready = std::future::poll_fn(|cx| ready(self, cx)) => return ready,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
            self.acknowledge().await?;
        }
    }

    /// Waits until nothing more arrives.
    async fn quiet(&mut self) -> Result<(), BrokerError> {
        loop {
            let before = self.arrived.len();
            let more = std::future::poll_fn(|cx| {
                ready!(self.poll_arrived(cx))?;
                if self.arrived.len() > before { Poll::Ready(Ok::<_, BrokerError>(())) } else { Poll::Pending }
            });
            match timeout(QUIET, more).await {
                Ok(arrived) => arrived?,
                Err(_) => return Ok(()),
            }
        }
    }

    fn poll_arrived(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BrokerError>> {
        for _ in 0..ROUNDS {
            let before = self.arrived.len();
            for source in &mut self.sources {
                source.poll_all(cx, &mut self.arrived)?;
            }
            if self.arrived.len() > before {
                self.sort();
            }
            if self.is_gapless() {
                break;
            }
        }
        if self.arrived.is_empty() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn sort(&mut self) {
        self.arrived.make_contiguous().sort_by_key(Arrived::tag);
    }

    fn is_gapless(&self) -> bool {
        let count = u64::try_from(self.arrived.len()).unwrap_or(u64::MAX);
        let last = self.arrived.back().map(Arrived::tag);
        last.is_none_or(|last| last.saturating_add(1) == self.tags.next().saturating_add(count))
    }
}

/// Waits until a channel is no more.
async fn ended(channel: &Channel) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    while channel.status().connected() {
        look.tick().await;
    }
}

impl Source {
    fn poll_all(&mut self, cx: &mut Context<'_>, into: &mut VecDeque<Arrived>) -> Result<(), BrokerError> {
        let before = into.len();
        let mut next = || Pin::new(&mut self.consumer).poll_next(cx);
        while let Poll::Ready(delivery) = next() {
            let message = delivery.ok_or(BrokerError::Gone("a consumer"))??;
            into.push_back(Arrived { queue: self.queue, message });
        }
        if into.len() > before {
            self.heard = Instant::now();
        }
        Ok(())
    }
}
