//! Confirmed publishing over a connection of its own.
//!
//! Enters: a [`Letter`]. Leaves: the broker's confirm, or a [`PublishError`] that says what is known.
//! Letters go round the publishing channels, each with a bounded window of unconfirmed ones.
//!
//! **Invariant:** `Ok` means a quorum of the broker has the message; a caller that gives up never frees
//! the place its message takes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::keeper::{Keeper, PUBLISH};
use super::live::Live;
use super::outlet::{Caller, Outlet, Routes, serve};
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
    metrics: Metrics,
}

impl Publisher {
    /// Starts connecting in the background. Stops the application when the topology on the broker
    /// differs, when the first login is refused, or when `broker.url` cannot be used.
    pub fn start(config: &config::Broker, health: &Health, metrics: &Metrics, tasks: &mut Tasks) -> Self {
        let closing = CancellationToken::new();
        let shared = Arc::new(Shared {
            live: watch::Sender::new(None),
            closing: closing.clone(),
            confirm_deadline: config.confirm_deadline,
            metrics: metrics.clone(),
        });
        let channels = (0..config.publishers)
            .map(|_| {
                let (channel, outlets) = mpsc::channel(1);
                let stop = tasks.stop().clone();
                tasks.spawn("publishing channel", async move {
                    serve(outlets).await;
                    stop.asked().await;
                });
                channel
            })
            .collect();
        let supervisor = Supervisor {
            keeper: Keeper::new(PUBLISH, config, health, metrics, closing.clone()),
            routes: Arc::new(Routes::new(&Topology::new(config))),
            window: u32::try_from(config.window).unwrap_or(u32::MAX >> 3),
            shared: Arc::clone(&shared),
            channels,
        };
        tasks.spawn_fallible("publisher", supervisor.run(tasks.stop().clone()));
        Self { shared, _held: Arc::new(closing.drop_guard()) }
    }

    /// Publishes a letter and waits for the broker's confirm, at most `broker.confirm_deadline`.
    ///
    /// Cancel-safe: dropping the future does not take the message back.
    ///
    /// # Errors
    /// [`PublishError`] saying what is known about the message.
    pub async fn publish(&self, letter: Letter) -> Result<(), PublishError> {
        let patience = self.shared.confirm_deadline;
        let mut ordered = self.order(letter, Instant::now() + patience).await;
        ordered.confirmed().await
    }

    /// Hands a letter over, and leaves the broker's word on it for later. Waits for room in the window until then, or as
    /// long as [`Publisher::publish`] would.
    ///
    /// Letters ordered one after another are published in this order, as far as they go through one channel.
    pub async fn order(&self, letter: Letter, room_by: Instant) -> Ordered<'_> {
        let started = Instant::now();
        let deadline = started + self.shared.confirm_deadline;
        let word = match self.live() {
            None => Err(PublishError::Away),
            Some(live) => {
                let (answer, word) = oneshot::channel();
                // `live` is not held any longer: the channel's task ends when nobody can order any more.
                live.order(letter, Caller::new(answer), deadline.min(room_by)).await.map(|()| word)
            }
        };
        Ordered { shared: &self.shared, started, deadline, word }
    }

    /// Publishes a letter nobody waits for. Never blocks; `false` when the window is full or the
    /// broker away, and the letter is lost.
    #[must_use]
    pub fn post(&self, letter: Letter) -> bool {
        let live = self.live();
        live.is_some_and(|live| live.order_now(letter, Caller::nobody()).is_ok())
    }

    /// Whether letters are taken right now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.live().is_some()
    }

    /// Waits until the topology is declared and letters are taken. Cancel-safe.
    pub async fn ready(&self) {
        let mut live = self.shared.live.subscribe();
        loop {
            let now = live.borrow_and_update().clone();
            let ready = async {
                match &now {
                    Some(live) => live.unblocked().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = ready => return,
                // It cannot be closed: `self` keeps the sender.
                _ = live.changed() => {}
            }
        }
    }

    /// Waits until every confirm under way is in or given up, at most `broker.confirm_deadline`.
    pub async fn drained(&self) {
        self.shared.drained().await;
    }

    /// Ends the connection once the confirms under way are in; later letters are turned away.
    pub fn close(&self) {
        self.shared.closing.cancel();
    }

    fn live(&self) -> Option<Arc<Live>> {
        let live = self.shared.live.borrow();
        live.as_ref().filter(|live| !live.is_blocked()).cloned()
    }
}

/// A letter that was handed over, or could not be. Dropping it does not take the message back.
#[derive(Debug)]
pub struct Ordered<'a> {
    shared: &'a Shared,
    started: Instant,
    deadline: Instant,
    word: Result<oneshot::Receiver<Result<(), PublishError>>, PublishError>,
}

impl Ordered<'_> {
    /// Whether there was no room for it in time.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        matches!(self.word, Err(PublishError::Crowded))
    }

    /// Waits for the broker's confirm, at most until `broker.confirm_deadline` after it was ordered.
    ///
    /// # Errors
    /// [`PublishError`] saying what is known about the message.
    pub async fn confirmed(&mut self) -> Result<(), PublishError> {
        let word = self.confirmed_by(self.deadline).await;
        let metrics = &self.shared.metrics;
        let label = match word {
            Ok(()) => {
                let none: [&str; 0] = [];
                metrics.confirm_seconds.with_label_values(&none).observe(self.started.elapsed().as_secs_f64());
                "confirmed"
            }
            Err(error) => error.as_str(),
        };
        metrics.publishes.with_label_values(&[label]).inc();
        word
    }

    /// Whether the broker may still confirm what it has not confirmed yet.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.word.is_ok()
    }

    /// Waits until then, and counts nothing: once [`Ordered::confirmed`] has given up, a confirm that comes late is as good.
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`Ordered::confirmed`].
    pub async fn confirmed_by(&mut self, until: Instant) -> Result<(), PublishError> {
        let word = match &mut self.word {
            Err(error) => return Err(*error),
            Ok(word) => tokio::time::timeout_at(until, word).await,
        };
        match word {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => {
                self.word = Err(error);
                Err(error)
            }
            // Whoever would have told has vanished with its connection.
            Ok(Err(_)) => {
                self.word = Err(PublishError::Unconfirmed);
                Err(PublishError::Unconfirmed)
            }
            Err(_) => Err(PublishError::Unconfirmed),
        }
    }
}

impl Shared {
    async fn drained(&self) {
        let live = self.live.borrow().clone();
        if let Some(live) = live {
            let drained = tokio::time::timeout(self.confirm_deadline, live.drained()).await;
            if drained.is_err() {
                tracing::debug!("some confirms did not come in time");
            }
        }
    }
}

struct Supervisor {
    keeper: Keeper,
    routes: Arc<Routes>,
    window: u32,
    shared: Arc<Shared>,
    channels: Vec<mpsc::Sender<Outlet>>,
}

impl Supervisor {
    async fn run(mut self, stop: Stop) -> Result<(), BrokerError> {
        while let Some(session) = self.keeper.session().await? {
            let live = Live::open(&session, &self.channels, &self.routes, self.window, &self.shared.metrics).await;
            let live = match live {
                Ok(live) => Arc::new(live),
                Err(error) => {
                    session.abandon();
                    self.keeper.failed(&error);
                    continue;
                }
            };
            self.shared.live.send_replace(Some(Arc::clone(&live)));
            let blocked = |blocked| live.block(blocked);
            self.keeper.watch(&session, blocked).await;
            if self.shared.closing.is_cancelled() {
                self.shared.drained().await;
            }
            self.shared.live.send_replace(None);
            live.end();
            if live.is_blocked() {
                // A blocked connection sends nothing, not even its farewell.
                session.abandon();
            }
            drop(live);
            session.close().await;
        }
        stop.asked().await;
        Ok(())
    }
}
