//! Which delivery tags of one channel were handed out and settled, and how to acknowledge the next ones.
//!
//! Enters: tags handed out, tags settled. Leaves: one multiple acknowledgement for the unbroken run of
//! settled tags, and single ones for the rest; for several batches together, if they need not go at once.
//!
//! **Invariant:** a multiple acknowledgement never covers a tag that is not settled, and never names one
//! that was acknowledged before (the broker would take that for "everything" and close the channel).

use std::collections::{BTreeSet, HashMap};

/// The books of one channel.
#[derive(Debug)]
pub(super) struct Tags {
    /// The lowest tag not settled yet; tags of a channel start at 1.
    lowest: u64,
    /// The highest tag handed out.
    highest: u64,
    /// Settled tags above `lowest`.
    settled: BTreeSet<u64>,
    /// How many deliveries of a tag that had several are not settled yet.
    open: HashMap<u64, usize>,
}

/// What to acknowledge.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Acks {
    /// This tag and everything below it.
    pub(super) up_to: Option<u64>,
    /// These tags, all above it, one by one.
    pub(super) singly: Vec<u64>,
}

impl Acks {
    /// Adds what was settled later. What the later run covers is not named singly any more: that would be twice.
    pub(super) fn add(&mut self, later: Self) {
        self.singly.extend(later.singly);
        if let Some(tag) = later.up_to {
            self.up_to = Some(tag);
            self.singly.retain(|single| *single > tag);
        }
    }

    /// Whether there is nothing to acknowledge.
    pub(super) fn is_empty(&self) -> bool {
        self.up_to.is_none() && self.singly.is_empty()
    }
}

impl Tags {
    pub(super) fn new() -> Self {
        Self { lowest: 1, highest: 0, settled: BTreeSet::new(), open: HashMap::new() }
    }

    /// The tag that must come next if none is missing.
    pub(super) fn next(&self) -> u64 {
        self.highest.saturating_add(1)
    }

    /// The highest tag below which, itself included, everything is settled.
    pub(super) fn settled_through(&self) -> u64 {
        self.lowest.saturating_sub(1)
    }

    /// Notes that a tag was handed out, with so many deliveries.
    pub(super) fn hand_out(&mut self, tag: u64, deliveries: usize) {
        self.highest = self.highest.max(tag);
        if deliveries > 1 {
            self.open.insert(tag, deliveries);
        }
    }

    /// Whether this was the last delivery of a tag.
    fn is_last(&mut self, tag: u64) -> bool {
        match self.open.get_mut(&tag) {
            Some(left) if *left > 1 => {
                *left -= 1;
                false
            }
            Some(_) => self.open.remove(&tag).is_some(),
            None => true,
        }
    }

    /// Notes settled deliveries by their tags. Tags never handed out, or settled before, are passed over.
    pub(super) fn settle(&mut self, tags: &[u64]) -> Acks {
        let mut fresh: Vec<u64> = tags.to_vec();
        fresh.retain(|tag| self.is_last(*tag));
        fresh.retain(|tag| (self.lowest..=self.highest).contains(tag) && self.settled.insert(*tag));
        fresh.sort_unstable();
        let start = self.lowest;
        while self.settled.remove(&self.lowest) {
            self.lowest = self.lowest.saturating_add(1);
        }
        let in_run = fresh.partition_point(|tag| *tag < self.lowest);
        let singly = fresh.split_off(in_run);
        debug_assert!(self.lowest == start || !fresh.is_empty());
        Acks { up_to: fresh.last().copied(), singly }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handed_out(count: u64) -> Tags {
        let mut tags = Tags::new();
        (1..=count).for_each(|tag| tags.hand_out(tag, 1));
        tags
    }

    fn acks(up_to: Option<u64>, singly: &[u64]) -> Acks {
        Acks { up_to, singly: singly.to_vec() }
    }

    #[test]
    fn an_unbroken_run_is_one_acknowledgement() {
        let mut tags = handed_out(5);
        assert_eq!(tags.settled_through(), 0);
        assert_eq!(tags.settle(&[3, 1, 2]), acks(Some(3), &[]));
        assert_eq!(tags.settled_through(), 3);
        assert_eq!(tags.settle(&[5, 4]), acks(Some(5), &[]));
        assert_eq!(tags.settled_through(), 5);
    }

    #[test]
    fn a_gap_is_never_covered() {
        let mut tags = handed_out(6);
        assert_eq!(tags.settle(&[1, 3, 4]), acks(Some(1), &[3, 4]));
        assert_eq!(tags.settle(&[6]), acks(None, &[6]));
        assert_eq!(tags.settled_through(), 1);
        // 3 and 4 are acknowledged already, so the run must not name 4.
        assert_eq!(tags.settle(&[2]), acks(Some(2), &[]));
        assert_eq!(tags.settle(&[5]), acks(Some(5), &[]));
        assert_eq!(tags.next(), 7);
        tags.hand_out(7, 1);
        assert_eq!(tags.settle(&[7]), acks(Some(7), &[]));
    }

    #[test]
    fn what_waits_is_named_once() {
        let mut tags = handed_out(8);
        let mut owed = Acks::default();
        owed.add(tags.settle(&[1, 3, 4, 7]));
        assert_eq!(owed, acks(Some(1), &[3, 4, 7]));
        owed.add(tags.settle(&[6]));
        assert_eq!(owed, acks(Some(1), &[3, 4, 7, 6]));
        // 2 ends the first gap: the run goes on to what was settled meanwhile, and names only its own.
        owed.add(tags.settle(&[2]));
        assert_eq!(owed, acks(Some(2), &[3, 4, 7, 6]));
        owed.add(tags.settle(&[5]));
        assert_eq!(owed, acks(Some(5), &[7, 6]));
        owed.add(tags.settle(&[8]));
        assert_eq!(owed, acks(Some(8), &[]));
        assert!(!owed.is_empty() && Acks::default().is_empty());
    }

    #[test]
    fn unknown_and_repeated_tags_are_passed_over() {
        let mut tags = handed_out(2);
        assert_eq!(tags.settle(&[0, 2, 2, 9]), acks(None, &[2]));
        assert_eq!(tags.settle(&[2]), Acks::default());
        assert_eq!(tags.settle(&[1, 1]), acks(Some(1), &[]));
        assert_eq!(tags.settle(&[1, 2]), Acks::default());
    }

    #[test]
    fn a_tag_with_several_deliveries_is_settled_with_the_last() {
        let mut tags = Tags::new();
        [(1, 1), (2, 3), (3, 2)].into_iter().for_each(|(tag, deliveries)| tags.hand_out(tag, deliveries));
        assert_eq!(tags.settle(&[1, 2, 2]), acks(Some(1), &[]));
        assert_eq!(tags.settle(&[3, 3]), acks(None, &[3]));
        assert_eq!(tags.settled_through(), 1);
        assert_eq!(tags.settle(&[2]), acks(Some(2), &[]));
        assert_eq!((tags.settled_through(), tags.open.len()), (3, 0));
    }
}
