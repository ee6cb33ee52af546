//! What can be published on while one connection lives: its channels and their windows.
//!
//! Enters: a session. Leaves: a place in a window for each letter. Channels and windows are made anew
//! with every connection, so nothing meant for a lost one is ever published late.
//!
//! **Invariant:** never more than `window` letters are unconfirmed on one channel.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::Instant;

use super::outlet::{Caller, Order, Outlet, Routes, confirming};
use super::session::Session;
use super::{BrokerError, Letter, PublishError};
use crate::telemetry::Metrics;

/// The publishing side of one connection.
#[derive(Debug)]
pub(super) struct Live {
    slots: Vec<Slot>,
    window: u32,
    turn: AtomicUsize,
    blocked: watch::Sender<bool>,
}

#[derive(Debug)]
struct Slot {
    orders: mpsc::UnboundedSender<Order>,
    window: Arc<Semaphore>,
}

impl Live {
    /// Opens one confirming channel per task and hands it over.
    pub(super) async fn open(
        session: &Arc<Session>,
        tasks: &[mpsc::Sender<Outlet>],
        routes: &Arc<Routes>,
        window: u32,
        metrics: &Metrics,
    ) -> Result<Self, BrokerError> {
        let mut slots = Vec::with_capacity(tasks.len());
        let blocked = watch::Sender::new(false);
        for task in tasks {
            let channel = confirming(session).await?;
            let (sender, orders) = mpsc::unbounded_channel();
            let (session, routes, metrics) = (Arc::clone(session), Arc::clone(routes), metrics.clone());
            let outlet = Outlet { session, channel, orders, routes, blocked: blocked.subscribe(), metrics };
            if task.send(outlet).await.is_err() {
                return Err(BrokerError::Gone("the task of a publishing channel"));
            }
            slots.push(Slot { orders: sender, window: Arc::new(Semaphore::new(window as usize)) });
        }
        Ok(Self { slots, window, turn: AtomicUsize::new(0), blocked })
    }

    /// Hands a letter to the next channel with room, or waits for room until the deadline.
    pub(super) async fn order(&self, letter: Letter, caller: Caller, deadline: Instant) -> Result<(), PublishError> {
        let (slot, permit) = match self.room() {
            Some(found) => found,
            None => self.wait_for_room(deadline).await?,
        };
        slot.take(letter, caller, permit)
    }

    /// Hands a letter to the next channel with room; never waits.
    pub(super) fn order_now(&self, letter: Letter, caller: Caller) -> Result<(), PublishError> {
        let (slot, permit) = self.room().ok_or(PublishError::Away)?;
        slot.take(letter, caller, permit)
    }

    /// Notes whether the broker takes messages.
    pub(super) fn block(&self, blocked: bool) {
        self.blocked.send_replace(blocked);
    }

    /// Whether the broker takes no messages.
    pub(super) fn is_blocked(&self) -> bool {
        *self.blocked.borrow()
    }

    /// Waits until the broker takes messages.
    pub(super) async fn unblocked(&self) {
        let mut blocked = self.blocked.subscribe();
        // It cannot be closed: `self` keeps the sender.
        drop(blocked.wait_for(|blocked| !*blocked).await);
    }

    /// Waits until every letter handed over is confirmed, or the connection is gone.
    pub(super) async fn drained(&self) {
        for slot in &self.slots {
            // An error means that the connection is gone, and with it whatever was under way.
            drop(slot.window.acquire_many(self.window).await);
        }
    }

    /// Turns away whoever waits for room. To be called when the connection is given up.
    pub(super) fn end(&self) {
        for slot in &self.slots {
            slot.window.close();
        }
    }

    fn room(&self) -> Option<(&Slot, OwnedSemaphorePermit)> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        (0..self.slots.len()).find_map(|step| {
            let slot = self.slot(turn.wrapping_add(step))?;
            let permit = Arc::clone(&slot.window).try_acquire_owned().ok()?;
            Some((slot, permit))
        })
    }

    async fn wait_for_room(&self, deadline: Instant) -> Result<(&Slot, OwnedSemaphorePermit), PublishError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let slot = self.slot(turn).ok_or(PublishError::Away)?;
        let mut blocked = self.blocked.subscribe();
        tokio::select! {
            permit = Arc::clone(&slot.window).acquire_owned() => match permit {
                Ok(permit) => Ok((slot, permit)),
                Err(_) => Err(PublishError::Away),
            },
            _ = blocked.wait_for(|blocked| *blocked) => Err(PublishError::Away),
            () = tokio::time::sleep_until(deadline) => Err(PublishError::Crowded),
        }
    }

    fn slot(&self, turn: usize) -> Option<&Slot> {
        let n = turn.checked_rem(self.slots.len())?;
        self.slots.get(n)
    }
}

impl Slot {
    fn take(&self, letter: Letter, caller: Caller, permit: OwnedSemaphorePermit) -> Result<(), PublishError> {
        let order = Order { letter, caller, permit };
        self.orders.send(order).map_err(|_| PublishError::Away)
    }
}
