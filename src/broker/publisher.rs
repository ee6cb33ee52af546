//! Confirmed publishing over a connection of its own.
//!
//! Enters: a [`Letter`]. Leaves: the broker's confirm, or a [`PublishError`] that says what is known.
//! Letters go round the publishing channels, each with a bounded window of unconfirmed ones. Every
//! connection brings new channels and new windows, so nothing of a lost one is ever published late.
//!
//! **Invariant:** `Ok` means a quorum of the broker has the message; a caller that gives up never frees
//! the place its message takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lapin::options::ConfirmSelectOptions;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::keeper::Keeper;
use super::outlet::{Caller, Order, Outlet, Routes, serve};
use super::session::Session;
use super::{BrokerError, Letter, PublishError, Topology};
use crate::config;
use crate::lifecycle::{Health, Stop, Tasks};
use crate::telemetry::Metrics;

/// A handle on the publishing connection; clones share it.
///
/// The connection lives until [`Publisher::close`] or until the last handle is dropped, so that what
/// is under way when the stop is asked for can still be published.
#[derive(Debug, Clone)]
pub struct Publisher {
    shared: Arc<Shared>,
    _held: Arc<DropGuard>,
}

#[derive(Debug)]
struct Shared {
    live: watch::Sender<Option<Arc<Live>>>,
    closing: CancellationToken,
    confirm_deadline: Duration,
    rpc_timeout: Duration,
    window: u32,
    metrics: Metrics,
}

/// What can be published on while one connection lives.
#[derive(Debug)]
struct Live {
    slots: Vec<Slot>,
    turn: AtomicUsize,
    blocked: watch::Sender<bool>,
}

#[derive(Debug)]
struct Slot {
    orders: mpsc::UnboundedSender<Order>,
    window: Arc<Semaphore>,
}

impl Publisher {
    /// Starts connecting in the background. Stops the application when the topology on the broker
    /// differs, when the first login is refused, or when `broker.url` cannot be used.
    pub fn start(
        config: &config::Broker,
        health: &Health,
        metrics: &Metrics,
        tasks: &mut Tasks,
    ) -> Self {
        let closing = CancellationToken::new();
        let shared = Arc::new(Shared {
            live: watch::Sender::new(None),
            closing: closing.clone(),
            confirm_deadline: config.confirm_deadline,
            rpc_timeout: config.rpc_timeout,
            window: u32::try_from(config.window).unwrap_or(u32::MAX >> 3),
            metrics: metrics.clone(),
        });
        let channels = (0..config.publishers)
            .map(|_| {
                let (hand_over, outlets) = mpsc::channel(1);
                tasks.spawn(
                    "publishing channel",
                    serve_until(outlets, tasks.stop().clone()),
                );
                hand_over
            })
            .collect();
        let supervisor = Supervisor {
            keeper: Keeper::new("publish", config, health, metrics, closing.clone()),
            routes: Arc::new(Routes::new(&Topology::new(config))),
            shared: Arc::clone(&shared),
            channels,
        };
        tasks.spawn_fallible("publisher", supervisor.run(tasks.stop().clone()));
        Self {
            shared,
            _held: Arc::new(closing.drop_guard()),
        }
    }

    /// Publishes a letter and waits for the broker's confirm, at most `broker.confirm_deadline`.
    ///
    /// Cancel-safe: dropping the future does not take the message back.
    ///
    /// # Errors
    /// [`PublishError`] saying what is known about the message.
    pub async fn publish(&self, letter: Letter) -> Result<(), PublishError> {
        let started = Instant::now();
        let word = self
            .confirmed(letter, started + self.shared.confirm_deadline)
            .await;
        let metrics = &self.shared.metrics;
        let label = match word {
            Ok(()) => "confirmed",
            Err(error) => error.as_str(),
        };
        metrics.publishes.with_label_values(&[label]).inc();
        if word.is_ok() {
            let seconds = started.elapsed().as_secs_f64();
            let none: [&str; 0] = [];
            metrics
                .confirm_seconds
                .with_label_values(&none)
                .observe(seconds);
        }
        word
    }

    /// Publishes a letter nobody waits for. Never blocks; `false` when the window is full or the
    /// broker away, and the letter is lost.
    pub fn post(&self, letter: Letter) -> bool {
        let Some(live) = self.live() else {
            return false;
        };
        live.slot_with_room().is_some_and(|(slot, permit)| {
            let caller = Caller::nobody();
            slot.orders
                .send(Order {
                    letter,
                    caller,
                    permit,
                })
                .is_ok()
        })
    }

    /// Whether letters are taken right now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.live().is_some()
    }

    /// Waits until the broker is connected and the topology declared. Cancel-safe.
    pub async fn ready(&self) {
        let mut live = self.shared.live.subscribe();
        if live.wait_for(Option::is_some).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until every confirm under way is in or given up; letters published meanwhile wait behind.
    pub async fn drained(&self) {
        self.shared.drained().await;
    }

    /// Ends the connection once every confirm under way is in; later letters are turned away.
    pub fn close(&self) {
        self.shared.closing.cancel();
    }

    async fn confirmed(&self, letter: Letter, deadline: Instant) -> Result<(), PublishError> {
        let (answer, word) = oneshot::channel();
        {
            let live = self.live().ok_or(PublishError::Away)?;
            let (slot, permit) = live.slot(deadline).await?;
            let caller = Caller::new(answer);
            let order = Order {
                letter,
                caller,
                permit,
            };
            slot.orders.send(order).map_err(|_| PublishError::Away)?;
        }
        match tokio::time::timeout_at(deadline, word).await {
            Ok(Ok(word)) => word,
            Ok(Err(_)) | Err(_) => Err(PublishError::Unconfirmed),
        }
    }

    fn live(&self) -> Option<Arc<Live>> {
        let live = self.shared.live.borrow();
        live.as_ref()
            .filter(|live| !*live.blocked.borrow())
            .cloned()
    }
}

impl Shared {
    async fn drained(&self) {
        let Some(live) = self.live.borrow().clone() else {
            return;
        };
        let all = async {
            for slot in &live.slots {
                // An error means that the connection is gone, and with it whatever was under way.
                drop(slot.window.acquire_many(self.window).await);
            }
        };
        if tokio::time::timeout(self.rpc_timeout, all).await.is_err() {
            tracing::warn!("some confirms did not come in time");
        }
    }
}

impl Live {
    fn slot_with_room(&self) -> Option<(&Slot, OwnedSemaphorePermit)> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        (0..self.slots.len()).find_map(|step| {
            let slot = self.slots.get(turn.wrapping_add(step) % self.slots.len())?;
            let permit = Arc::clone(&slot.window).try_acquire_owned().ok()?;
            Some((slot, permit))
        })
    }

    /// A slot with room, or the first that gets room before the deadline or a blockade.
    async fn slot(&self, deadline: Instant) -> Result<(&Slot, OwnedSemaphorePermit), PublishError> {
        if let Some(found) = self.slot_with_room() {
            return Ok(found);
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let slot = turn.checked_rem(self.slots.len());
        let slot = slot.and_then(|n| self.slots.get(n));
        let slot = slot.ok_or(PublishError::Away)?;
        let mut blocked = self.blocked.subscribe();
        tokio::select! {
            permit = Arc::clone(&slot.window).acquire_owned() => match permit {
                Ok(permit) => Ok((slot, permit)),
                Err(_) => Err(PublishError::Away),
            },
            _ = blocked.wait_for(|blocked| *blocked) => Err(PublishError::Away),
            () = tokio::time::sleep_until(deadline) => Err(PublishError::Away),
        }
    }

    fn end(&self) {
        for slot in &self.slots {
            slot.window.close();
        }
    }
}

struct Supervisor {
    keeper: Keeper,
    routes: Arc<Routes>,
    shared: Arc<Shared>,
    channels: Vec<mpsc::Sender<Outlet>>,
}

impl Supervisor {
    async fn run(mut self, stop: Stop) -> Result<(), BrokerError> {
        while let Some(session) = self.keeper.session().await? {
            let live = match self.open(&session).await {
                Ok(live) => live,
                Err(error) => {
                    session.abandon();
                    self.keeper.failed(&error);
                    continue;
                }
            };
            self.shared.live.send_replace(Some(Arc::clone(&live)));
            let blocked = |now| {
                live.blocked.send_replace(now);
            };
            self.keeper.watch(&session, blocked).await;
            if self.shared.closing.is_cancelled() {
                self.shared.drained().await;
            }
            self.shared.live.send_replace(None);
            live.end();
            drop(live);
            session.close().await;
        }
        stop.asked().await;
        Ok(())
    }

    async fn open(&self, session: &Arc<Session>) -> Result<Arc<Live>, BrokerError> {
        let mut slots = Vec::with_capacity(self.channels.len());
        for hand_over in &self.channels {
            let channel = session.channel().await?;
            let confirming = channel.confirm_select(ConfirmSelectOptions::default());
            session.within("confirm.select", confirming).await?;
            let (sender, orders) = mpsc::unbounded_channel();
            let outlet = Outlet {
                session: Arc::clone(session),
                channel,
                orders,
                routes: Arc::clone(&self.routes),
            };
            // The task is still with the channel of the last connection only for an instant.
            if hand_over.send(outlet).await.is_err() {
                return Err(BrokerError::Gone("the task of a publishing channel"));
            }
            slots.push(Slot {
                orders: sender,
                window: Arc::new(Semaphore::new(self.shared.window as usize)),
            });
        }
        Ok(Arc::new(Live {
            slots,
            turn: AtomicUsize::new(0),
            blocked: watch::Sender::new(false),
        }))
    }
}

/// A channel task ends when its supervisor does; that is news only while nobody asked for the stop.
async fn serve_until(outlets: mpsc::Receiver<Outlet>, stop: Stop) {
    serve(outlets).await;
    stop.asked().await;
}
