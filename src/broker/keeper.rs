//! Keeps one connection alive: connects, declares the topology, notices the end, connects again.
//!
//! Enters: the configuration and why the connection is needed. Leaves: one [`Session`] after another,
//! each with the topology declared. Addresses are tried in turn from a random one on, so that not all connections of
//! all processes meet on one node of a cluster; attempts are spaced by growing pauses.
//!
//! **Invariant:** a mismatch ends the task, and so does a refused login before the first success; after
//! that nothing short of the stop does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use lapin::Event;
use lapin::uri::{AMQPScheme, AMQPUri};
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use super::session::Session;
use super::{BrokerError, Topology, tls};
use crate::config;
use crate::lifecycle::{Delays, Engine, Health};
use crate::telemetry::Metrics;

/// How often the state of the connection is looked at, besides its events.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The purpose of the connection that health speaks of.
pub(super) const PUBLISH: &str = "publish";

/// The supervisor of one connection.
#[derive(Debug)]
pub(super) struct Keeper {
    purpose: &'static str,
    config: config::Broker,
    topology: Topology,
    health: Health,
    metrics: Metrics,
    closing: CancellationToken,
    delays: Delays,
    attempts: usize,
    first: usize,
    up: Option<bool>,
    up_since: Option<Instant>,
    served: bool,
}

impl Keeper {
    pub(super) fn new(
        purpose: &'static str,
        config: &config::Broker,
        health: &Health,
        metrics: &Metrics,
        closing: CancellationToken,
    ) -> Self {
        Self {
            purpose,
            topology: Topology::new(config),
            delays: Delays::new(config.reconnect_min, config.reconnect_max),
            config: config.clone(),
            health: health.clone(),
            metrics: metrics.clone(),
            closing,
            attempts: 0,
            first: rand::random_range(0..usize::from(u8::MAX)),
            up: None,
            up_since: None,
            served: false,
        }
    }

    /// The next session with its topology declared; `None` when it is time to close.
    ///
    /// # Errors
    /// Permanent ones only.
    pub(super) async fn session(&mut self) -> Result<Option<Arc<Session>>, BrokerError> {
        let addresses = addresses(self.config.url.expose_secret())?;
        let closing = self.closing.clone();
        loop {
            let turn = self.first.wrapping_add(self.attempts) % addresses.len().max(1);
            self.pause().await;
            let Some(address) = addresses.get(turn) else {
                return Err(BrokerError::Address("empty".to_owned()));
            };
            let attempt = self.attempt(address.clone());
            let Some(outcome) = closing.run_until_cancelled(attempt).await else {
                return Ok(None);
            };
            let word = if outcome.is_ok() { "ok" } else { "failed" };
            let labels = [self.purpose, word];
            self.metrics.broker_connects.with_label_values(&labels).inc();
            match outcome {
                Ok(session) => {
                    self.up_since = Some(Instant::now());
                    self.served = true;
                    return Ok(Some(Arc::new(session)));
                }
                Err(error) if error.is_mismatch() || (error.is_permanent() && !self.served) => {
                    self.count(error.kind());
                    return Err(error);
                }
                Err(error) => self.failed(&error),
            }
        }
    }

    /// Watches a session that is in use by now, until it ends (and is then cut) or it is time to close. Tells `blocked` when
    /// the broker stops taking messages and when it takes them again.
    pub(super) async fn watch(&mut self, session: &Session, mut blocked: impl FnMut(bool)) {
        self.note(true, "connected");
        let mut events = std::pin::pin!(session.events());
        let mut look = tokio::time::interval(LOOK_EVERY);
        let closing = self.closing.clone();
        while session.is_connected() {
            tokio::select! {
                () = closing.cancelled() => return,
                () = session.gone() => break,
                _ = look.tick() => {}
                event = events.next() => match event {
                    Some(Event::ConnectionBlocked(reason)) => {
                        blocked(true);
                        self.count("blocked");
                        self.note(false, &format!("it blocks publishers: {reason}"));
                    }
                    Some(Event::ConnectionUnblocked) => {
                        blocked(false);
                        self.note(true, "takes messages again");
                    }
                    Some(_) => {}
                    None => break,
                }
            }
        }
        session.abandon();
        self.count("gone");
        self.note(false, "connection lost");
    }

    /// A session that could not be made use of.
    pub(super) fn failed(&mut self, error: &BrokerError) {
        self.count(error.kind());
        self.note(false, &error.to_string());
    }

    async fn attempt(&self, address: AMQPUri) -> Result<Session, BrokerError> {
        let name = format!("leadline {}", self.purpose);
        let session = Session::connect(address, &name, &self.config).await?;
        let declared = self.topology.declare(&session).await;
        if declared.is_err() {
            session.close().await;
        }
        declared.map(|()| session)
    }

    async fn pause(&mut self) {
        let lived = self.up_since.take().map(|since| since.elapsed());
        if lived.is_some_and(|lived| lived > self.config.reconnect_max) {
            self.delays.reset();
        }
        if self.attempts > 0 {
            let pause = tokio::time::sleep(self.delays.next());
            self.closing.clone().run_until_cancelled(pause).await;
        }
        self.attempts = self.attempts.wrapping_add(1);
    }

    fn count(&self, kind: &str) {
        self.metrics.failures.with_label_values(&["broker", kind]).inc();
    }

    /// Readiness is the publishing connection's to say: leads are accepted by publishing them.
    fn note(&mut self, up: bool, why: &str) {
        let news = self.up != Some(up);
        self.up = Some(up);
        if self.purpose == PUBLISH {
            self.health.note(Engine::Rabbitmq, up);
            self.metrics.engine_up.with_label_values(&["rabbitmq"]).set(i64::from(up));
        }
        match (news, up) {
            (true, true) => tracing::info!(purpose = self.purpose, why, "rabbitmq serves"),
            (true, false) => tracing::warn!(purpose = self.purpose, why, "rabbitmq does not serve"),
            (false, _) => tracing::debug!(purpose = self.purpose, why, up, "rabbitmq as before"),
        }
    }
}

/// Reads the comma-separated addresses. Their text holds a password and stays out of the error.
pub(super) fn addresses(text: &str) -> Result<Vec<AMQPUri>, BrokerError> {
    let read = |address: &str| {
        let address: AMQPUri = address.trim().parse().map_err(|error: String| BrokerError::Address(error))?;
        match address.scheme {
            AMQPScheme::AMQP => Ok(address),
            AMQPScheme::AMQPS => tls::available().map(|()| address),
        }
    };
    text.split(',').map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_one_by_one() {
        let read = addresses("amqp://a:b@one:1/%2f, amqp://a:b@two/x").unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read[1].authority.host, "two");
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_its_password() {
        for bad in ["http://a:secret@one", "amqp://a:secret@one,", "amqp://a:secret@one:port/x"] {
            refused(bad);
        }
    }

    #[test]
    fn amqps_is_for_builds_with_tls() {
        let address = "amqp://a:secret@one/x,amqps://a:secret@two/%2f";
        if cfg!(feature = "tls") {
            assert_eq!(addresses(address).unwrap()[1].authority.port, 5671);
        } else {
            assert!(refused(address).contains("needs TLS"));
        }
    }

    fn refused(address: &str) -> String {
        let error = addresses(address).unwrap_err();
        assert!(error.is_permanent());
        assert!(!error.to_string().contains("secret"), "{error}");
        error.to_string()
    }
}
