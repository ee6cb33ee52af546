//! Which letters travel together, and when.
//!
//! Enters: orders as they come. Leaves: lots, each to be published as one message. A queue's letters wait while a message to that
//! queue is unconfirmed, unless they fill one: as Nagle had it for TCP. So a lead that comes alone never waits, the number of
//! messages follows the broker's own pace, and a slow confirm holds up no full lot. That holds for `wait` requests too: each
//! is held up by a part of a round trip, and answered sooner for it as soon as a thousand of them come in a second. Whatever
//! else comes, follow-ups that somebody waits for, replies, goes at once, together with what came in the same moment for the
//! same queue.
//!
//! **Invariant:** the letters of one queue, with or without a reply queue, are published in the order in which they came.

use std::collections::VecDeque;

use super::outlet::Order;
use super::{Address, Queue};

/// Most letters in one message: fifteen of sixteen parts of its price are saved by then, and a consumer's prefetch counts messages.
const LETTERS: usize = 16;
/// Most bytes of several letters in one message: a few frames.
const BYTES: usize = 64 * 1024;

/// What is published as one message; never empty.
#[derive(Debug)]
pub(super) struct Lot {
    pub(super) orders: Vec<Order>,
    /// The pile whose next lot waits for the word on this one.
    pub(super) pile: Option<usize>,
    bytes: usize,
}

/// The piles of one channel.
#[derive(Debug, Default)]
pub(super) struct Piles {
    /// One for each shard, then that of the wait queue.
    piles: [Pile; Queue::SHARDS.len() + 1],
    at_once: Vec<Lot>,
}

#[derive(Debug, Default)]
struct Pile {
    waiting: VecDeque<Order>,
    bytes: usize,
    under_way: usize,
}

impl Piles {
    /// Puts an order where it belongs.
    pub(super) fn add(&mut self, order: Order) {
        if let Some(pile) = pile_of(&order).and_then(|pile| self.piles.get_mut(pile)) {
            pile.bytes += order.letter.body.len();
            return pile.waiting.push_back(order);
        }
        // The last one for its queue, or order would be lost.
        match self.at_once.iter_mut().rfind(|lot| lot.goes_where(&order)) {
            Some(lot) if lot.has_room(&order) => lot.push(order),
            _ => self.at_once.push(Lot::of(order, None)),
        }
    }

    /// Takes all lots that may go.
    pub(super) fn ready(&mut self, into: &mut Vec<Lot>) {
        into.append(&mut self.at_once);
        for (n, pile) in self.piles.iter_mut().enumerate() {
            while let Some(lot) = pile.next(n) {
                into.push(lot);
            }
        }
    }

    /// Notes that the word on a lot has come.
    pub(super) fn settled(&mut self, pile: Option<usize>) {
        if let Some(pile) = pile.and_then(|pile| self.piles.get_mut(pile)) {
            pile.under_way = pile.under_way.saturating_sub(1);
        }
    }
}

/// Where an order waits for its turn; `None` if it does not.
fn pile_of(order: &Order) -> Option<usize> {
    match (&order.letter.to, &order.letter.reply_to) {
        (Address::Queue(Queue::Shard(shard)), None) => Some(usize::from(*shard)),
        (Address::Queue(Queue::Wait), _) => Some(Queue::SHARDS.len()),
        _ => None,
    }
}

impl Pile {
    fn next(&mut self, pile: usize) -> Option<Lot> {
        if self.under_way > 0 && self.waiting.len() < LETTERS && self.bytes < BYTES {
            return None;
        }
        let mut lot: Option<Lot> = None;
        let fits = |lot: &Option<Lot>, order: &Order| {
            lot.as_ref().is_none_or(|lot| lot.goes_where(order) && lot.has_room(order))
        };
        while let Some(order) = self.waiting.pop_front_if(|order| fits(&lot, order)) {
            self.bytes -= order.letter.body.len();
            // Whoever gave up has said so to its client: nothing is owed any more.
            if !order.caller.is_gone() {
                match &mut lot {
                    Some(lot) => lot.push(order),
                    None => lot = Some(Lot::of(order, Some(pile))),
                }
            }
        }
        self.under_way += usize::from(lot.is_some());
        lot
    }
}

impl Lot {
    fn of(order: Order, pile: Option<usize>) -> Self {
        Self { bytes: order.letter.body.len(), orders: vec![order], pile }
    }

    fn goes_where(&self, order: &Order) -> bool {
        let first = self.orders.first().map(|first| (&first.letter.to, &first.letter.reply_to));
        first == Some((&order.letter.to, &order.letter.reply_to))
    }

    fn has_room(&self, order: &Order) -> bool {
        self.orders.len() < LETTERS && self.bytes + order.letter.body.len() <= BYTES
    }

    fn push(&mut self, order: Order) {
        self.bytes += order.letter.body.len();
        self.orders.push(order);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::{Semaphore, oneshot};
    use uuid::Uuid;

    use super::*;
    use crate::broker::Letter;
    use crate::broker::outlet::Caller;

    fn order(n: u128, to: Queue, reply_to: Option<&str>, bytes: usize) -> Order {
        let letter = Letter {
            to: Address::Queue(to),
            id: Uuid::from_u128(n),
            body: vec![b'x'; bytes],
            reply_to: reply_to.map(str::to_owned),
            trace: None,
        };
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        Order { letter, caller: Caller::nobody(), permit }
    }

    fn ready(piles: &mut Piles) -> Vec<Vec<u128>> {
        let mut lots = Vec::new();
        piles.ready(&mut lots);
        lots.iter().map(|lot| lot.orders.iter().map(|order| order.letter.id.as_u128()).collect()).collect()
    }

    #[test]
    fn a_shards_letters_wait_for_the_word_on_the_lot_before() {
        let mut piles = Piles::default();
        piles.add(order(1, Queue::Shard(0), None, 9));
        assert_eq!(ready(&mut piles), [[1]]);
        piles.add(order(2, Queue::Shard(0), None, 9));
        piles.add(order(3, Queue::Shard(1), None, 9));
        piles.add(order(4, Queue::Shard(0), None, 9));
        assert_eq!(ready(&mut piles), [[3]]);
        piles.settled(Some(0));
        assert_eq!(ready(&mut piles), [[2, 4]]);
        assert!(ready(&mut piles).is_empty());
    }

    #[test]
    fn a_full_lot_waits_for_nothing() {
        let mut piles = Piles::default();
        (0..40).for_each(|n| piles.add(order(n, Queue::Shard(3), None, 9)));
        let lots = ready(&mut piles);
        assert_eq!(lots.iter().map(Vec::len).collect::<Vec<_>>(), [16, 16]);
        piles.add(order(40, Queue::Shard(3), None, BYTES));
        assert_eq!(ready(&mut piles), [(32..40).collect(), vec![40]]);
    }

    #[test]
    fn follow_ups_that_somebody_waits_for_and_replies_go_at_once_and_in_order() {
        let mut piles = Piles::default();
        piles.add(order(1, Queue::Shard(0), Some("r"), 9));
        piles.add(order(2, Queue::Shard(1), Some("r"), 9));
        piles.add(order(3, Queue::Shard(0), Some("r"), BYTES - 9));
        piles.add(order(4, Queue::Shard(0), Some("r"), 9));
        piles.add(order(5, Queue::Shard(0), Some("r"), 9));
        piles.add(order(6, Queue::Shard(1), Some("s"), 9));
        assert_eq!(ready(&mut piles), [vec![1, 3], vec![2], vec![4, 5], vec![6]]);
        piles.add(order(7, Queue::Shard(0), Some("r"), 9));
        assert_eq!(ready(&mut piles), [[7]]);
    }

    #[test]
    fn waits_pile_up_too_but_only_those_with_one_reply_queue_travel_together() {
        let mut piles = Piles::default();
        piles.add(order(1, Queue::Wait, Some("r"), 9));
        assert_eq!(ready(&mut piles), [[1]]);
        piles.add(order(2, Queue::Wait, Some("r"), 9));
        piles.add(order(3, Queue::Wait, Some("r"), 9));
        piles.add(order(4, Queue::Wait, Some("s"), 9));
        piles.add(order(5, Queue::Wait, None, 9));
        assert!(ready(&mut piles).is_empty());
        let wait = Some(Queue::SHARDS.len());
        piles.settled(wait);
        assert_eq!(ready(&mut piles), [[2, 3]]);
        piles.settled(wait);
        assert_eq!(ready(&mut piles), [[4]]);
        piles.settled(wait);
        assert_eq!(ready(&mut piles), [[5]]);
    }

    #[test]
    fn whoever_gave_up_is_left_out() {
        let mut piles = Piles::default();
        let (answer, word) = oneshot::channel();
        piles.add(Order { caller: Caller::new(answer), ..order(1, Queue::Shard(0), None, 9) });
        drop(word);
        assert!(ready(&mut piles).is_empty());
        piles.add(order(2, Queue::Shard(0), None, 9));
        assert_eq!(ready(&mut piles), [[2]]);
    }
}
