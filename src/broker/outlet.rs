//! One publishing channel and the one task that owns it.
//!
//! Enters: orders (a letter, its permit, whoever waits for the confirm). Leaves: the broker's word on
//! each; [`super::piles`] says which travel together. lapin takes the confirm's number and queues the frames under two locks, so a channel shared by
//! tasks would mix confirms up; a future that is first polled here does both in one step. The confirm
//! alone counts: lapin attaches returned messages to the wrong ones.
//!
//! A node that lost its peers keeps its connections and confirms nothing. So a connection that does not block, and owes a
//! confirm for longer than any other answer may take, is given up: the next address may be a node of the majority.
//!
//! A refusal says that the queue is full, or that the channel believes a node to lead the queue that is dead: RabbitMQ asks
//! that node before the first message of a channel to a quorum queue, refuses when it does not answer, and asks the same one
//! for the next message. Only another channel looks the leader up anew. So whoever is refused gets another channel, at most
//! once in [`RENEW_EVERY`]; what is under way stays with the one before.
//!
//! **Invariant:** a permit is held from the order to the confirm, or until the connection is gone.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::task::yield_now;
use tokio::time::{Duration, Instant, interval};

use super::delivery::{TRACE_PARENT, TRACE_STATE};
use super::pack::{self, pack};
use super::piles::{Lot, Piles};
use super::session::Session;
use super::{Address, BrokerError, Letter, PublishError, Queue, Topology};
use crate::lead::Trace;
use crate::lifecycle::fault;
use crate::telemetry::Metrics;

/// Orders taken from the queue at once.
const BURST: usize = 256;
/// A queue that is full refuses everything, and a channel costs a round trip or two.
const RENEW_EVERY: Duration = Duration::from_millis(500);
const PERSISTENT: u8 = 2;
const TRANSIENT: u8 = 1;

/// One letter on its way to the channel.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) letter: Letter,
    pub(super) caller: Caller,
    pub(super) permit: OwnedSemaphorePermit,
}

/// Whoever waits for the word on a letter; learns it also when the order is dropped.
#[derive(Debug)]
pub(super) struct Caller {
    answer: Option<oneshot::Sender<Result<(), PublishError>>>,
    handed_over: bool,
}

impl Caller {
    pub(super) fn new(answer: oneshot::Sender<Result<(), PublishError>>) -> Self {
        Self { answer: Some(answer), handed_over: false }
    }

    /// Nobody waits.
    pub(super) fn nobody() -> Self {
        Self { answer: None, handed_over: false }
    }

    /// Whether somebody waited and gave up.
    pub(super) fn is_gone(&self) -> bool {
        self.answer.as_ref().is_some_and(oneshot::Sender::is_closed)
    }

    fn tell(&mut self, word: Result<(), PublishError>) {
        if let Some(answer) = self.answer.take()
            && answer.send(word).is_err()
        {
            tracing::trace!("the confirm came after its caller had gone");
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let unknown = if self.handed_over { PublishError::Unconfirmed } else { PublishError::Away };
        self.tell(Err(unknown));
    }
}

/// What a channel task works on: one channel of one session.
#[derive(Debug)]
pub(super) struct Outlet {
    pub(super) session: Arc<Session>,
    pub(super) channel: Channel,
    pub(super) orders: mpsc::UnboundedReceiver<Order>,
    pub(super) routes: Arc<Routes>,
    /// Whether the broker says that it takes no messages.
    pub(super) blocked: watch::Receiver<bool>,
    pub(super) metrics: Metrics,
}

/// A channel that waits for the broker's word on whatever it publishes.
pub(super) async fn confirming(session: &Session) -> Result<Channel, BrokerError> {
    let channel = session.channel().await?;
    let confirming = channel.confirm_select(ConfirmSelectOptions::default());
    session.within("confirm.select", confirming).await?;
    Ok(channel)
}

/// Works through outlets, one after another, as connections come and go.
pub(super) async fn serve(mut outlets: mpsc::Receiver<Outlet>) {
    while let Some(outlet) = outlets.recv().await {
        outlet.run().await;
    }
}

impl Outlet {
    /// Publishes until nobody can order any more and every confirm is in, or the session is over.
    async fn run(self) {
        let Self { session, mut channel, mut orders, routes, blocked, metrics } = self;
        let letters = metrics.message_letters.with_label_values(&[] as &[&str]);
        let mut gone = std::pin::pin!(session.gone());
        let (mut burst, mut piles, mut lots) = (Vec::with_capacity(BURST), Piles::default(), Vec::new());
        let mut under_way = FuturesUnordered::new();
        let mut owed = Owed::default();
        let mut look = interval(session.deadline());
        let (mut open, mut renewed) = (true, Instant::now());
        while open || !under_way.is_empty() {
            tokio::select! {
                () = &mut gone => break,
                sent = under_way.next(), if !under_way.is_empty() => if let Some(Sent { round, pile, word }) = sent {
                    piles.settled(pile);
                    match word {
                        Word::Confirmed => owed.paid(round),
                        Word::Refused => {
                            owed.paid(round);
                            if renewed.elapsed() >= RENEW_EVERY {
                                match confirming(&session).await {
                                    Ok(fresh) => (channel, renewed) = (fresh, Instant::now()),
                                    Err(error) => tracing::debug!(%error, "no other channel after a refusal"),
                                }
                            }
                        }
                        Word::Lost => session.abandon(),
                    }
                },
                taken = orders.recv_many(&mut burst, BURST), if open => {
                    open = taken > 0;
                    burst.drain(..).for_each(|order| piles.add(order));
                    // Whoever can run by now orders before the lots are made up.
                    yield_now().await;
                    while let Ok(order) = orders.try_recv() {
                        piles.add(order);
                    }
                }
                _ = look.tick() => if owed.for_long(*blocked.borrow()) {
                    tracing::debug!("confirms are overdue: the connection is given up");
                    session.abandon();
                }
            }
            piles.ready(&mut lots);
            for lot in lots.drain(..) {
                letters.observe(f64::from(u32::try_from(lot.orders.len()).unwrap_or(u32::MAX)));
                under_way.push(send(channel.clone(), &routes, lot, owed.one_more()));
            }
        }
    }
}

/// How many confirms the broker owes, by the round in which they were asked for; rounds take turns.
#[derive(Debug, Default)]
struct Owed {
    now: usize,
    before: usize,
    odd: bool,
    excused: bool,
}

impl Owed {
    /// Notes a message; returns its round.
    fn one_more(&mut self) -> bool {
        self.now = self.now.saturating_add(1);
        self.odd
    }

    /// Notes a confirm or a refusal.
    fn paid(&mut self, round: bool) {
        let owed = if round == self.odd { &mut self.now } else { &mut self.before };
        *owed = owed.saturating_sub(1);
    }

    /// Begins another round. Returns whether something is owed from the round before the one that ends, so for at least as long as
    /// that one took. A broker that says that it blocks owes nothing meanwhile, nor for a round afterwards.
    fn for_long(&mut self, blocked: bool) -> bool {
        if std::mem::replace(&mut self.excused, blocked) || blocked {
            return false;
        }
        let long = self.before > 0;
        self.before = std::mem::take(&mut self.now);
        self.odd = !self.odd;
        long
    }
}

/// The broker's word on a message came.
struct Sent {
    round: bool,
    pile: Option<usize>,
    word: Word,
}

/// What the broker said of a message.
enum Word {
    Confirmed,
    Refused,
    /// Nothing: the channel is gone.
    Lost,
}

/// Publishes one message and waits for the broker's word.
async fn send(channel: Channel, routes: &Routes, lot: Lot, round: bool) -> Sent {
    let pile = lot.pile;
    Sent { round, pile, word: publish(&channel, routes, lot.orders).await }
}

async fn publish(channel: &Channel, routes: &Routes, mut orders: Vec<Order>) -> Word {
    let Some(route) = orders.first().and_then(|first| routes.of(&first.letter.to)) else {
        return Word::Confirmed;
    };
    orders.iter_mut().for_each(|order| order.caller.handed_over = true);
    let confirmed = match orders.as_slice() {
        [] => return Word::Confirmed,
        [alone] => hand_over(channel, route, &alone.letter.body, properties(&alone.letter, false)).await,
        [first, ..] => {
            let packed = pack(orders.iter().map(|order| (order.letter.id, order.letter.body.as_slice())));
            hand_over(channel, route, &packed, properties(&first.letter, true)).await
        }
    };
    let (told, word) = match confirmed {
        Ok(Confirmation::Ack(_)) => (Ok(()), Word::Confirmed),
        Ok(Confirmation::Nack(_)) => (Err(PublishError::Full), Word::Refused),
        Ok(Confirmation::NotRequested) => (Err(PublishError::Unconfirmed), Word::Lost),
        Err(error) => {
            tracing::debug!(%error, "publishing channel lost");
            (Err(PublishError::Unconfirmed), Word::Lost)
        }
    };
    for Order { mut caller, permit, .. } in orders {
        drop(permit);
        caller.tell(told);
    }
    word
}

async fn hand_over(
    channel: &Channel,
    (exchange, key): (ShortString, ShortString),
    body: &[u8],
    properties: BasicProperties,
) -> lapin::Result<Confirmation> {
    let confirm = channel.basic_publish(exchange, key, BasicPublishOptions::default(), body, properties).await?;
    fault::point("broker.published").await;
    confirm.await
}

fn properties(letter: &Letter, packed: bool) -> BasicProperties {
    let kind = if packed { pack::CONTENT_TYPE } else { "application/json" };
    let properties = BasicProperties::default().with_content_type(kind.into());
    let properties = match &letter.trace {
        Some(trace) if !packed => properties.with_headers(headers(trace)),
        _ => properties,
    };
    // A pack has no id of its own.
    let id = || ShortString::from(letter.id.as_hyphenated().to_string());
    match (&letter.to, packed) {
        (Address::Reply(_), true) => properties.with_delivery_mode(TRANSIENT),
        (Address::Reply(_), false) => properties.with_delivery_mode(TRANSIENT).with_correlation_id(id()),
        (Address::Queue(_), packed) => {
            let properties = properties.with_delivery_mode(PERSISTENT);
            let properties = if packed { properties } else { properties.with_message_id(id()) };
            match letter.reply_to.as_deref().map(ShortString::try_new) {
                Some(Ok(queue)) => properties.with_reply_to(queue),
                _ => properties,
            }
        }
    }
}

/// The headers by which tools other than ours find a message's trace.
fn headers(trace: &Trace) -> FieldTable {
    let mut headers = FieldTable::default();
    headers.insert(TRACE_PARENT.into(), AMQPValue::LongString(trace.parent.as_str().into()));
    if !trace.state.is_empty() {
        headers.insert(TRACE_STATE.into(), AMQPValue::LongString(trace.state.as_str().into()));
    }
    headers
}

/// Exchange and routing key of every address.
#[derive(Debug)]
pub(super) struct Routes {
    exchange: ShortString,
    dead: ShortString,
}

impl Routes {
    pub(super) fn new(topology: &Topology) -> Self {
        Self { exchange: topology.exchange().into(), dead: topology.dead_exchange().into() }
    }

    fn of(&self, address: &Address) -> Option<(ShortString, ShortString)> {
        match address {
            Address::Queue(Queue::Dead) => Some((self.dead.clone(), Queue::Dead.as_str().into())),
            Address::Queue(queue) => Some((self.exchange.clone(), queue.as_str().into())),
            Address::Reply(queue) => {
                let key = ShortString::try_new(queue.as_str()).ok()?;
                Some((ShortString::default(), key))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_owed_for_a_whole_round_is_overdue() {
        let mut owed = Owed::default();
        let first = owed.one_more();
        owed.one_more();
        assert!(!owed.for_long(false), "a young letter");
        owed.paid(first);
        let second = owed.one_more();
        assert!(owed.for_long(false), "one of the first");
        owed.paid(second);
        let third = owed.one_more();
        assert!(!owed.for_long(false), "only the third is owed");
        owed.paid(third);
        assert!(!owed.for_long(false));
        assert_eq!((owed.now, owed.before), (0, 0));
    }

    #[test]
    fn a_broker_that_blocks_owes_nothing_meanwhile() {
        let mut owed = Owed::default();
        owed.one_more();
        assert!(!owed.for_long(false));
        for _ in 0..5 {
            assert!(!owed.for_long(true));
        }
        assert!(!owed.for_long(false), "the round after it");
        assert!(owed.for_long(false));
    }
}
