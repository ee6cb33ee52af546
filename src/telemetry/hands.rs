//! Since when the oldest thing in hand is under way: whoever works on some notes it, and a scrape looks.
//!
//! Enters: a time, while something is in hand. Leaves: the least of each kind of hand, 0 where all are empty. Hands share
//! nothing; the list of them is locked only when one is added, and by a scrape.
//!
//! **Invariant:** what was put down is forgotten, on whatever way it was: a future dropped half-way included.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

const EMPTY: i64 = 0;

/// All hands of a process, by kind; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Hands(Arc<Mutex<Vec<Known>>>);

#[derive(Debug)]
struct Known {
    kind: &'static str,
    since: Arc<AtomicI64>,
}

/// The hand of one that works.
#[derive(Debug)]
pub struct Hand(Arc<AtomicI64>);

/// Something in hand; dropping it puts it down.
#[derive(Debug)]
pub struct Held<'a>(&'a AtomicI64);

impl Hands {
    /// One more hand of a kind.
    #[must_use]
    pub fn of(&self, kind: &'static str) -> Hand {
        let since = Arc::new(AtomicI64::new(EMPTY));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Known { kind, since: Arc::clone(&since) });
        Hand(since)
    }

    /// Of each kind, since when its oldest is under way; 0 if all of its hands are empty.
    pub(super) fn oldest(&self) -> BTreeMap<&'static str, i64> {
        let mut oldest = BTreeMap::new();
        for Known { kind, since } in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let (least, since) = (oldest.entry(*kind).or_insert(EMPTY), since.load(Ordering::Relaxed));
            if since != EMPTY && (*least == EMPTY || since < *least) {
                *least = since;
            }
        }
        oldest
    }
}

impl Hand {
    /// Takes something in hand that is under way since then, in unix seconds.
    #[must_use]
    pub fn holds(&self, since: Option<i64>) -> Held<'_> {
        self.0.store(since.unwrap_or(EMPTY), Ordering::Relaxed);
        Held(&self.0)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.store(EMPTY, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_of_each_kind_is_shown_until_it_is_put_down() {
        let hands = Hands::default();
        let (one, two, idle) = (hands.of("a"), hands.of("a"), hands.of("b"));
        let (young, old) = (one.holds(Some(20)), two.holds(Some(10)));
        let nothing = idle.holds(None);
        assert_eq!(hands.oldest(), BTreeMap::from([("a", 10), ("b", 0)]));
        drop(old);
        assert_eq!(hands.oldest(), BTreeMap::from([("a", 20), ("b", 0)]));
        drop((young, nothing));
        assert_eq!(hands.oldest(), BTreeMap::from([("a", 0), ("b", 0)]));
    }
}
