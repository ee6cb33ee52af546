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

/// One request under way.
#[derive(Debug)]
pub(super) struct Permit {
    permits: Permits,
    workspace_id: Uuid,
}

impl Permits {
    /// At most `max` in all, and one part in `parts` of them per workspace.
    pub(super) fn new(max: usize, parts: usize) -> Self {
        Self { held: Arc::default(), max, share: (max / parts.max(1)).max(1) }
    }

    /// Takes a permit; `None` when all, or all of this workspace, are taken.
    pub(super) fn take(&self, workspace_id: Uuid) -> Option<Permit> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.all >= self.max {
            return None;
        }
        let own = held.by_workspace.entry(workspace_id).or_default();
        if *own >= self.share {
            return None;
        }
        *own += 1;
        held.all += 1;
        Some(Permit { permits: self.clone(), workspace_id })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut held = self.permits.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.all -= 1;
        if let Some(own) = held.by_workspace.get_mut(&self.workspace_id) {
            *own -= 1;
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
        let mut held: Vec<Permit> = (0..2).map_while(|_| permits.take(a)).collect();
        assert!(permits.take(a).is_none());
        held.extend(permits.take(b));
        assert_eq!(held.len(), 3);
        held.clear();
        assert!(permits.take(a).is_some());
        assert!(permits.held.lock().unwrap().by_workspace.is_empty());
    }
}
