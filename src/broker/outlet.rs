//! One publishing channel and the one task that owns it.
//!
//! Enters: orders (a letter, its permit, whoever waits for the confirm). Leaves: the broker's word on
//! each. lapin takes the confirm's number and queues the frames under two locks, so a channel shared by
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
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::time::{Duration, Instant, interval};

use super::session::Session;
use super::{Address, BrokerError, Letter, PublishError, Queue, Topology};
use crate::lifecycle::fault;

/// Orders taken from the queue at once.
const BURST: usize = 64;
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
        let Self { session, mut channel, mut orders, routes, blocked } = self;
        let mut gone = std::pin::pin!(session.gone());
        let mut burst = Vec::with_capacity(BURST);
        let mut under_way = FuturesUnordered::new();
        let mut owed = Owed::default();
        let mut look = interval(session.deadline());
        let (mut open, mut renewed) = (true, Instant::now());
        while open || !under_way.is_empty() {
            tokio::select! {
                () = &mut gone => break,
                sent = under_way.next(), if !under_way.is_empty() => match sent {
                    Some(Sent { round, word: Word::Confirmed }) => owed.paid(round),
                    Some(Sent { round, word: Word::Refused }) => {
                        owed.paid(round);
                        if renewed.elapsed() >= RENEW_EVERY {
                            match confirming(&session).await {
                                Ok(fresh) => (channel, renewed) = (fresh, Instant::now()),
                                Err(error) => tracing::debug!(%error, "no other channel after a refusal"),
                            }
                        }
                    }
                    Some(Sent { word: Word::Lost, .. }) => session.abandon(),
                    None => {}
                },
                taken = orders.recv_many(&mut burst, BURST), if open => {
                    open = taken > 0;
                    let round = owed.more(taken);
                    under_way.extend(burst.drain(..).map(|order| send(channel.clone(), &routes, order, round)));
                }
                _ = look.tick() => if owed.for_long(*blocked.borrow()) {
                    tracing::debug!("confirms are overdue: the connection is given up");
                    session.abandon();
                }
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
    /// Notes letters; returns their round.
    fn more(&mut self, count: usize) -> bool {
        self.now = self.now.saturating_add(count);
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

/// The broker's word on a letter came.
struct Sent {
    round: bool,
    word: Word,
}

/// What the broker said of a letter.
enum Word {
    Confirmed,
    Refused,
    /// Nothing: the channel is gone.
    Lost,
}

/// Publishes one letter and waits for the broker's word.
async fn send(channel: Channel, routes: &Routes, order: Order, round: bool) -> Sent {
    Sent { round, word: publish(&channel, routes, order).await }
}

async fn publish(channel: &Channel, routes: &Routes, order: Order) -> Word {
    let Order { letter, mut caller, permit } = order;
    let Some((exchange, key)) = routes.of(&letter.to) else {
        return Word::Confirmed;
    };
    let properties = properties(&letter);
    let options = BasicPublishOptions::default();
    caller.handed_over = true;
    let published = channel.basic_publish(exchange, key, options, &letter.body, properties);
    let confirmed = match published.await {
        Ok(confirm) => {
            fault::point("broker.published").await;
            confirm.await
        }
        Err(error) => Err(error),
    };
    drop(permit);
    match confirmed {
        Ok(Confirmation::Ack(_)) => {
            caller.tell(Ok(()));
            Word::Confirmed
        }
        Ok(Confirmation::Nack(_)) => {
            caller.tell(Err(PublishError::Full));
            Word::Refused
        }
        Ok(Confirmation::NotRequested) => Word::Lost,
        Err(error) => {
            tracing::debug!(%error, "publishing channel lost");
            Word::Lost
        }
    }
}

fn properties(letter: &Letter) -> BasicProperties {
    let id = ShortString::from(letter.id.as_hyphenated().to_string());
    let properties = BasicProperties::default().with_content_type("application/json".into());
    match &letter.to {
        Address::Reply(_) => properties.with_delivery_mode(TRANSIENT).with_correlation_id(id),
        Address::Queue(_) => {
            let properties = properties.with_delivery_mode(PERSISTENT).with_message_id(id);
            match letter.reply_to.as_deref().map(ShortString::try_new) {
                Some(Ok(queue)) => properties.with_reply_to(queue),
                _ => properties,
            }
        }
    }
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
        let first = owed.more(2);
        assert!(!owed.for_long(false), "a young letter");
        owed.paid(first);
        let second = owed.more(1);
        assert!(owed.for_long(false), "one of the first");
        owed.paid(second);
        let third = owed.more(1);
        assert!(!owed.for_long(false), "only the third is owed");
        owed.paid(third);
        assert!(!owed.for_long(false));
        assert_eq!((owed.now, owed.before), (0, 0));
    }

    #[test]
    fn a_broker_that_blocks_owes_nothing_meanwhile() {
        let mut owed = Owed::default();
        owed.more(1);
        assert!(!owed.for_long(false));
        for _ in 0..5 {
            assert!(!owed.for_long(true));
        }
        assert!(!owed.for_long(false), "the round after it");
        assert!(owed.for_long(false));
    }
}
