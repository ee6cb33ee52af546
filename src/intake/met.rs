//! Customers who have been through this process lately.
//!
//! Enters: customers. Leaves: whether they were here before. A table of hashes, each in the one place that it names, so a
//! customer is forgotten when another takes that place: no lock, no order to keep, and half a megabyte for ever. A cache library does
//! more than is needed here, at every lead's expense: whether somebody is remembered decides what his lead costs, not what becomes of it.
//!
//! **Invariant:** nobody is remembered who was not here, unless two hashes of 64 bits are alike.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

/// So many are remembered at most, and about two of three of the last so many.
const PLACES: usize = 1 << 16;

/// The customers; clones share them.
#[derive(Clone)]
pub(super) struct Met {
    hasher: RandomState,
    places: Arc<[AtomicU64]>,
}

impl Met {
    /// Nobody was here yet.
    pub(super) fn nobody() -> Self {
        Self { hasher: RandomState::new(), places: (0..PLACES).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Remembers a customer; returns whether he was remembered already.
    pub(super) fn note(&self, workspace_id: Uuid, external_id: &str) -> bool {
        let hash = self.hasher.hash_one((workspace_id, external_id));
        let place = usize::try_from(hash % PLACES as u64).ok().and_then(|place| self.places.get(place));
        place.is_some_and(|place| place.swap(hash, Ordering::Relaxed) == hash)
    }
}

impl fmt::Debug for Met {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Met").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_here_is_remembered_until_others_take_his_place() {
        let (met, workspace) = (Met::nobody(), Uuid::now_v7());
        assert!(!met.note(workspace, "ada"));
        assert!(met.note(workspace, "ada"));
        assert!(!met.note(Uuid::now_v7(), "ada"), "each workspace has its own");
        let others = (0..PLACES * 20).filter(|n| met.note(workspace, &n.to_string())).count();
        assert_eq!(others, 0, "nobody is remembered who was not here");
        assert!(!met.note(workspace, "ada"), "one of e to the 20 stays");
    }
}
