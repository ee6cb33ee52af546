//! How many requests may be under way: in all, and per workspace.
//!
//! One workspace may hold one part of the whole, so that a flood of one tenant leaves room for the rest.
//!
//! **Invariant:** a permit is given back exactly once, when it is dropped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

/// A bounded number of permits; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Permits {
    held: Arc<Mutex<Held>>,
    max: usize,
    share: usize,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    by_workspace: HashMap<Uuid, usize>,
}

/// Leads of one request that are under way.
#[derive(Debug)]
pub(super) struct Permit {
    permits: Permits,
    workspace_id: Uuid,
    /// How many; at least one.
    pub(super) count: usize,
}

impl Permits {
    /// At most `max` in all, and one part in `parts` of them per workspace.
    pub(super) fn new(max: usize, parts: usize) -> Self {
        Self { held: Arc::default(), max, share: (max / parts.max(1)).max(1) }
    }

    /// How many leads have one.
    pub(super) fn under_way(&self) -> usize {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).all
    }

    /// Takes so many permits, or as many as there are; `None` when all, or all of this workspace, are taken.
    pub(super) fn take(&self, workspace_id: Uuid, wanted: usize) -> Option<Permit> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let own = held.by_workspace.get(&workspace_id).copied().unwrap_or_default();
        let free = self.max.saturating_sub(held.all).min(self.share.saturating_sub(own));
        let count = wanted.min(free);
        if count == 0 {
            return None;
        }
        held.by_workspace.insert(workspace_id, own + count);
        held.all += count;
        Some(Permit { permits: self.clone(), workspace_id, count })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut held = self.permits.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.all -= self.count;
        if let Some(own) = held.by_workspace.get_mut(&self.workspace_id) {
            *own -= self.count;
            if *own == 0 {
                held.by_workspace.remove(&self.workspace_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_workspace_leaves_room_for_others() {
        let permits = Permits::new(6, 3);
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut held: Vec<Permit> = (0..2).map_while(|_| permits.take(a, 1)).collect();
        assert!(permits.take(a, 1).is_none());
        held.extend(permits.take(b, 1));
        assert_eq!(held.len(), 3);
        held.clear();
        assert!(permits.take(a, 1).is_some());
        assert!(permits.held.lock().unwrap().by_workspace.is_empty());
    }

    #[test]
    fn a_batch_gets_as_many_as_there_are() {
        let permits = Permits::new(5, 1);
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let two = permits.take(a, 2).unwrap();
        let rest = permits.take(b, 9).unwrap();
        assert_eq!((two.count, rest.count, permits.take(a, 1).is_none()), (2, 3, true));
        drop(two);
        assert_eq!(permits.take(b, 9).unwrap().count, 2);
    }
}
