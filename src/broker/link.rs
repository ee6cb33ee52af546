//! The consuming connection: what lanes and listeners open their inlets on.
//!
//! Enters: queues. Leaves: an [`Inlet`] or [`ReplyInlet`]. An inlet dies with its connection and is
//! opened anew by its owner; nothing is carried over, because its deliveries went back to the broker.
//!
//! **Invariant:** nothing is published here, so a blocked publisher never stops acknowledgements.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::keeper::Keeper;
use super::session::Session;
use super::{BrokerError, Inlet, Queue, ReplyInlet, Topology, depths};
use crate::config;
use crate::lifecycle::{Health, Stop, Tasks};
use crate::telemetry::Metrics;

/// A handle on the consuming connection; clones share it.
///
/// The connection lives until [`Link::close`], or until the last handle and the last inlet are dropped.
#[derive(Debug, Clone)]
pub struct Link {
    session: watch::Receiver<Option<Arc<Session>>>,
    topology: Topology,
    closing: CancellationToken,
    held: Arc<DropGuard>,
}

impl Link {
    /// Starts connecting in the background. Stops the application when the topology on the broker
    /// differs, when the first login is refused, or when `broker.url` cannot be used.
    pub fn start(config: &config::Broker, health: &Health, metrics: &Metrics, tasks: &mut Tasks) -> Self {
        let closing = CancellationToken::new();
        let (sender, session) = watch::channel(None);
        let topology = Topology::new(config);
        let keeper = Keeper::new("consume", config, health, metrics, closing.clone());
        let supervised = supervise(keeper, sender, topology.clone(), metrics.clone(), tasks.stop().clone());
        tasks.spawn_fallible("link", supervised);
        Self { session, topology, held: Arc::new(closing.clone().drop_guard()), closing }
    }

    /// Opens one channel that consumes from the queues, each with `prefetch` unsettled deliveries at
    /// most. Waits for a connection. Cancel-safe.
    ///
    /// # Errors
    /// The broker refuses, or the connection is lost meanwhile: pause, and try again.
    pub async fn open(&self, queues: &[Queue], prefetch: u16) -> Result<Inlet, BrokerError> {
        let session = self.session().await?;
        let (topology, held) = (self.topology.clone(), Arc::clone(&self.held));
        Inlet::open(session, topology, queues, prefetch, held).await
    }

    /// Opens a reply queue of its own. Waits for a connection. Cancel-safe.
    ///
    /// # Errors
    /// The broker refuses, or the connection is lost meanwhile: pause, and try again.
    pub async fn open_replies(&self) -> Result<ReplyInlet, BrokerError> {
        let session = self.session().await?;
        ReplyInlet::open(session, Arc::clone(&self.held)).await
    }

    /// Ends the connection; unsettled deliveries go back to their queues.
    pub fn close(&self) {
        self.closing.cancel();
    }

    async fn session(&self) -> Result<Arc<Session>, BrokerError> {
        let mut session = self.session.clone();
        let found = session.wait_for(Option::is_some).await;
        let found = found.ok().and_then(|found| found.clone());
        found.ok_or(BrokerError::Gone("the link"))
    }
}

async fn supervise(
    mut keeper: Keeper,
    current: watch::Sender<Option<Arc<Session>>>,
    topology: Topology,
    metrics: Metrics,
    stop: Stop,
) -> Result<(), BrokerError> {
    while let Some(session) = keeper.session().await? {
        current.send_replace(Some(Arc::clone(&session)));
        tokio::select! {
            () = keeper.watch(&session, drop) => {}
            () = depths::watch(&session, &topology, &metrics) => {}
        }
        current.send_replace(None);
        session.close().await;
    }
    drop(current);
    stop.asked().await;
    Ok(())
}
