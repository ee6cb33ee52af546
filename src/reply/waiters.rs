//! Who waits for which lead: bounded, and no workspace may take every place.
//!
//! Enters: a lead id before its message is published. Leaves: a [`Waiter`], woken by the reply with that
//! id or by its deadline.
//!
//! **Invariant:** a waiter takes a place from [`Waiters::register`] until it is woken or dropped, and
//! never longer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use super::Reply;
use crate::telemetry::Metrics;

/// The waiters of one process; clones share them.
#[derive(Debug, Clone)]
pub struct Waiters {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    max: usize,
    max_of_one: usize,
    metrics: Metrics,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    waiting: HashMap<Uuid, Place>,
    taken: HashMap<Uuid, usize>,
}

#[derive(Debug)]
struct Place {
    workspace_id: Uuid,
    wake: oneshot::Sender<Reply>,
}

impl Waiters {
    /// Room for `max` waiters, of which one workspace may take one part in `share`.
    #[must_use]
    pub fn new(max: usize, share: usize, metrics: &Metrics) -> Self {
        let shared =
            Shared { max, max_of_one: max.div_ceil(share.max(1)), metrics: metrics.clone(), table: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Takes a place for a lead; `None` when all, or all of its workspace, are taken.
    #[must_use]
    pub fn register(&self, workspace_id: Uuid, id: Uuid) -> Option<Waiter> {
        let (wake, woken) = oneshot::channel();
        {
            let mut table = self.shared.table();
            let Table { waiting, taken } = &mut *table;
            let full = waiting.len() >= self.shared.max;
            let own = taken.get(&workspace_id).copied().unwrap_or(0);
            let Entry::Vacant(place) = waiting.entry(id) else {
                return None;
            };
            if full || own >= self.shared.max_of_one {
                return None;
            }
            place.insert(Place { workspace_id, wake });
            taken.insert(workspace_id, own + 1);
        }
        self.shared.count(1);
        let shared = Arc::clone(&self.shared);
        Some(Waiter { shared, id, woken })
    }

    /// How many wait.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.table().waiting.len()
    }

    /// Whether anybody waits for this lead.
    pub(super) fn has(&self, id: Uuid) -> bool {
        self.shared.table().waiting.contains_key(&id)
    }

    /// Wakes whoever waits for this lead; `false` when nobody does any more.
    #[must_use]
    pub fn wake(&self, reply: Reply) -> bool {
        let place = self.shared.remove(reply.id);
        place.is_some_and(|place| place.wake.send(reply).is_ok())
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove(&self, id: Uuid) -> Option<Place> {
        let place = {
            let mut table = self.table();
            let place = table.waiting.remove(&id)?;
            if let Entry::Occupied(mut own) = table.taken.entry(place.workspace_id) {
                *own.get_mut() = own.get().saturating_sub(1);
                if *own.get() == 0 {
                    own.remove();
                }
            }
            place
        };
        self.count(-1);
        Some(place)
    }

    fn count(&self, change: i64) {
        let none: [&str; 0] = [];
        self.metrics.waiters.with_label_values(&none).add(change);
    }
}

/// A place among the waiters; dropping it gives the place back.
#[derive(Debug)]
pub struct Waiter {
    shared: Arc<Shared>,
    id: Uuid,
    woken: oneshot::Receiver<Reply>,
}

impl Waiter {
    /// Waits for the reply, at most until then; `None` when it did not come.
    pub async fn wait(mut self, until: Instant) -> Option<Reply> {
        let woken = tokio::time::timeout_at(until, &mut self.woken).await;
        woken.ok().and_then(Result::ok)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        drop(self.shared.remove(self.id));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::lead::Ending;

    fn waiters(max: usize, share: usize) -> Waiters {
        Waiters::new(max, share, &Metrics::new().unwrap())
    }

    fn reply(id: Uuid) -> Reply {
        Reply {
            v: Reply::VERSION,
            id,
            ending: Ending::Recorded,
            reason: None,
            click_id: None,
            link_id: None,
            brought: false,
            trace: None,
        }
    }

    #[tokio::test]
    async fn a_reply_wakes_its_waiter_once() {
        let waiters = waiters(10, 1);
        let (workspace, id) = (Uuid::now_v7(), Uuid::now_v7());
        let waiter = waiters.register(workspace, id).unwrap();
        assert!(waiters.register(workspace, id).is_none());
        assert!(waiters.wake(reply(id)));
        assert_eq!(waiters.count(), 0);
        assert!(!waiters.wake(reply(id)));
        let until = Instant::now() + Duration::from_secs(5);
        assert_eq!(waiter.wait(until).await, Some(reply(id)));
    }

    #[tokio::test]
    async fn a_waiter_that_gives_up_or_is_dropped_leaves_its_place() {
        let waiters = waiters(10, 1);
        let (workspace, id) = (Uuid::now_v7(), Uuid::now_v7());
        let waiter = waiters.register(workspace, id).unwrap();
        let until = Instant::now() + Duration::from_millis(20);
        assert_eq!(waiter.wait(until).await, None);
        assert_eq!(waiters.count(), 0);
        drop(waiters.register(workspace, id).unwrap());
        assert_eq!(waiters.count(), 0);
        assert!(waiters.shared.table().taken.is_empty());
        assert!(!waiters.wake(reply(id)));
    }

    #[test]
    fn places_are_bounded_for_all_and_for_one() {
        let waiters = waiters(3, 3);
        let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
        let first = waiters.register(one, Uuid::now_v7()).unwrap();
        assert!(waiters.register(one, Uuid::now_v7()).is_none());
        let others: Vec<Waiter> = [two, Uuid::now_v7()]
            .into_iter()
            .map(|workspace| waiters.register(workspace, Uuid::now_v7()).unwrap())
            .collect();
        assert!(waiters.register(Uuid::now_v7(), Uuid::now_v7()).is_none());
        drop(first);
        assert!(waiters.register(one, Uuid::now_v7()).is_some());
        drop(others);
        assert_eq!(waiters.count(), 0);
    }
}
