//! The queues of topology v1, by what they are for.
//!
//! **Invariant:** [`Queue::ALL`] is complete, and its words are the closed set of the `queue` label.

use crate::lead::key::SHARDS;

/// A queue of topology v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Queue {
    /// Leads of the customers of one shard; the number is below [`SHARDS`].
    Shard(u8),
    /// Wait requests that carry a click.
    Wait,
    /// What the broker gave up, or could not route.
    Dead,
}

impl Queue {
    /// The shards, in order.
    pub const SHARDS: [Self; SHARDS as usize] = [Self::Shard(0), Self::Shard(1), Self::Shard(2), Self::Shard(3)];

    /// Every queue.
    pub const ALL: [Self; SHARDS as usize + 2] =
        [Self::Shard(0), Self::Shard(1), Self::Shard(2), Self::Shard(3), Self::Wait, Self::Dead];

    /// The word in queue names, routing keys, labels and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shard(0) => "s00",
            Self::Shard(1) => "s01",
            Self::Shard(2) => "s02",
            Self::Shard(3) => "s03",
            // No such shard: routed to nowhere, so the alternate exchange keeps what is sent there.
            Self::Shard(_) => "none",
            Self::Wait => "wait",
            Self::Dead => "dead",
        }
    }
}
