//! A pool of connections that plan alike, time out on the server, and report their health.
//!
//! Every statement of a server goes through an index, so the planner is told to prefer them always: a
//! plan made while a table was empty must not survive into the day it has ten million rows. A command may
//! read whole tables, where the same orders cost hours, so it leaves the planner alone. `PostgreSQL` ends
//! what takes too long; nothing is cancelled from here.
//!
//! After an outage the pool is replaced: its connections may hang on a server that vanished without a word, where each keeps its
//! place until the kernel gives up, a quarter of an hour later.
//!
//! **Invariant:** a connection that has been idle is asked whether it lives before it is trusted, and a new one whether it may write.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgPool};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::StoreError;
use super::servers::{Servers, state};
use crate::config;
use crate::lifecycle::{Engine, Health};
use crate::telemetry::Metrics;

/// Connections kept open, so that the first requests after a start need not wait for one.
const WARM: u32 = 3;
const TRUSTED_IDLE: Duration = Duration::from_secs(1);
/// How long a server that is asked whether it serves may take.
const ANSWER: Duration = Duration::from_secs(2);
/// A pool on the same server is not replaced more often: a busy one looks just like one that hangs.
const REPLACE_EVERY: Duration = Duration::from_secs(5);

/// Access to `PostgreSQL`; clones share one pool.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
    pub(super) config: Arc<config::Store>,
    name: &'static str,
    connections: u32,
    health: Health,
    metrics: Metrics,
}

#[derive(Debug)]
struct Shared {
    servers: Servers,
    pool: RwLock<PgPool>,
    replaced: Mutex<Instant>,
    /// An outage was noted, and the server has not been looked for since.
    away: AtomicBool,
    noticed: Notify,
}

impl Store {
    /// A pool that connects when first used, so that a process starts while `PostgreSQL` is away.
    ///
    /// # Errors
    /// [`StoreError::Away`] when the URL cannot be read, [`StoreError::Setting`] when what it says about TLS cannot be.
    pub fn connect(
        config: &config::Store,
        name: &'static str,
        connections: u32,
        health: &Health,
        metrics: &Metrics,
    ) -> Result<Self, StoreError> {
        Self::open(config, name, Plans::Fixed, connections, health, metrics)
    }

    /// Connects for a command, which may read whole tables and on whose connection nobody's health depends.
    ///
    /// # Errors
    /// As [`Store::connect`].
    pub fn connect_command(config: &config::Store, connections: u32, metrics: &Metrics) -> Result<Self, StoreError> {
        Self::open(config, "cli", Plans::Free, connections, &Health::default(), metrics)
    }

    fn open(
        config: &config::Store,
        name: &'static str,
        plans: Plans,
        connections: u32,
        health: &Health,
        metrics: &Metrics,
    ) -> Result<Self, StoreError> {
        let servers = Servers::read(config.url.expose_secret(), |server| dressed(server, config, name, plans))?;
        let pool = RwLock::new(pool(&servers, config, connections));
        let (replaced, away, noticed) = (Mutex::new(Instant::now()), AtomicBool::new(false), Notify::new());
        let shared = Arc::new(Shared { servers, pool, replaced, away, noticed });
        metrics.pool_most.with_label_values(&[name]).set(connections.into());
        let (config, health, metrics) = (Arc::new(config.clone()), health.clone(), metrics.clone());
        Ok(Self { shared, config, name, connections, health, metrics })
    }

    /// The pool of the moment.
    pub(super) fn pool(&self) -> PgPool {
        self.shared.pool.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks `PostgreSQL` whether it answers and takes writes, and what time it is there, and notes the answer.
    ///
    /// # Errors
    /// [`StoreError`] when it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut connection = self.pool().acquire().await.map_err(|error| self.failed(error))?;
        let asked = Utc::now();
        match state(&mut connection).await {
            Ok((true, theirs)) => {
                let skew = ahead(asked, Utc::now(), theirs);
                self.metrics.clock_skew.with_label_values(&[] as &[&str]).set(skew);
                self.noted(Ok(()))
            }
            Ok((false, _)) => {
                drop(connection.detach());
                Err(self.told(StoreError::ReadOnly))
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Chooses the server that takes writes, where `store.url` names several; to be done before the first statement.
    pub async fn choose(&self) {
        if self.shared.servers.are_several() {
            self.find_server().await;
        }
    }

    /// Keeps health and pool gauges fresh until the stop: every second, and while away four times that.
    pub async fn watch(&self, stop: &crate::lifecycle::Stop) {
        while !stop.is_asked() {
            if !self.shared.away.load(Ordering::Relaxed) {
                match timeout(ANSWER, self.ping()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => self.note(false),
                    Err(_) => drop(self.silent("whether it serves")),
                }
            }
            let away = self.shared.away.load(Ordering::Relaxed) && !self.find_server().await;
            self.show();
            if away {
                stop.unless_asked(tokio::time::sleep(Duration::from_millis(250))).await;
            } else {
                let noticed = self.shared.noticed.notified();
                stop.unless_asked(timeout(Duration::from_secs(1), noticed)).await;
            }
        }
    }

    /// Looks for a server that takes writes, by connections of its own; found, the pool is replaced. Returns whether there is one.
    async fn find_server(&self) -> bool {
        let another = match self.shared.servers.look(ANSWER).await {
            Ok(another) => another,
            Err(error) => {
                self.count(&error);
                self.note(false);
                return false;
            }
        };
        self.replace(another);
        self.shared.away.store(false, Ordering::Relaxed);
        self.note(true);
        true
    }

    /// Whoever uses a connection of the old pool keeps it to the end; then it is closed.
    fn replace(&self, at_once: bool) {
        let mut replaced = self.shared.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        if at_once || replaced.elapsed() > REPLACE_EVERY {
            *replaced = Instant::now();
            let fresh = pool(&self.shared.servers, &self.config, self.connections);
            *self.shared.pool.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        }
    }

    /// Whether `PostgreSQL` answered last time.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.health.is_up(Engine::Postgres)
    }

    /// Waits until `PostgreSQL` has answered, at most until then; returns whether it has. Cancel-safe.
    pub async fn up_by(&self, until: tokio::time::Instant) -> bool {
        self.health.up_by(Engine::Postgres, until).await
    }

    /// Closes the pool, waiting for connections in use; not for ever, since one may hang on a server that is silent.
    pub async fn close(&self) {
        if timeout(self.config.commit_deadline, self.pool().close()).await.is_err() {
            tracing::debug!(pool = self.name, "connections left to the kernel");
        }
    }

    /// Classifies an outcome and notes what it says about the engine.
    pub(super) fn noted<T>(&self, outcome: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        match outcome {
            Ok(value) => {
                self.note(true);
                Ok(value)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// The same for a statement under way, which the server ends in time; a server that vanished never does.
    pub(super) async fn patiently<T>(
        &self,
        what: &'static str,
        statement: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, StoreError> {
        match timeout(self.config.statement_timeout + ANSWER, statement).await {
            Ok(outcome) => self.noted(outcome),
            Err(_) => Err(self.silent(what)),
        }
    }

    /// No answer came in time.
    pub(super) fn silent(&self, what: &'static str) -> StoreError {
        self.told(StoreError::Silent(what))
    }

    fn failed(&self, error: sqlx::Error) -> StoreError {
        self.told(StoreError::classify(error))
    }

    fn told(&self, error: StoreError) -> StoreError {
        self.note_error(&error);
        error
    }

    /// A pool that is merely busy says nothing about the server; the watch asks the server itself.
    pub(super) fn note_error(&self, error: &StoreError) {
        self.count(error);
        if !matches!(error, StoreError::Away(sqlx::Error::PoolTimedOut)) {
            let was_up = self.is_up();
            self.note(!error.is_outage());
            if was_up && matches!(error, StoreError::Untrusted { .. }) {
                tracing::warn!(pool = self.name, %error, "postgres is not trusted");
            }
        }
    }

    fn count(&self, error: &StoreError) {
        if let Some(kind) = error.kind() {
            self.metrics.failures.with_label_values(&["store", kind]).inc();
        }
    }

    fn note(&self, up: bool) {
        if !up && !self.shared.away.swap(true, Ordering::Relaxed) {
            self.shared.noticed.notify_one();
        }
        if self.health.note(Engine::Postgres, up) {
            self.metrics.engine_up.with_label_values(&["postgres"]).set(i64::from(up));
            if up {
                tracing::info!(pool = self.name, "postgres answers");
            } else {
                tracing::warn!(pool = self.name, "postgres does not answer");
            }
        }
    }

    fn show(&self) {
        let pool = self.pool();
        let idle = i64::try_from(pool.num_idle()).unwrap_or(i64::MAX);
        let used = i64::from(pool.size()) - idle;
        self.metrics.pool_connections.with_label_values(&[self.name, "idle"]).set(idle);
        self.metrics.pool_connections.with_label_values(&[self.name, "used"]).set(used.max(0));
    }
}

/// How statements are planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plans {
    /// By index, and the same whatever the tables hold by now.
    Fixed,
    /// As the planner thinks best.
    Free,
}

/// What every connection of ours asks of the server.
pub(super) fn dressed(server: PgConnectOptions, config: &config::Store, name: &str, plans: Plans) -> PgConnectOptions {
    let milliseconds = |duration: Duration| duration.as_millis().to_string();
    let server = server.application_name(&format!("leadline-{name}")).options([
        ("statement_timeout", milliseconds(config.statement_timeout).as_str()),
        ("lock_timeout", &milliseconds(config.lock_timeout)),
        ("idle_in_transaction_session_timeout", &milliseconds(config.idle_in_transaction_timeout)),
        ("jit", "off"),
    ]);
    match plans {
        Plans::Fixed => server.options([
            ("enable_seqscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            ("enable_material", "off"),
            ("enable_bitmapscan", "off"),
            ("plan_cache_mode", "force_generic_plan"),
        ]),
        Plans::Free => server,
    }
}

fn pool(servers: &Servers, config: &config::Store, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .min_connections(connections.min(WARM))
        .acquire_timeout(config.acquire_timeout)
        .test_before_acquire(false)
        .before_acquire(|connection, about| {
            Box::pin(async move { Ok(about.idle_for < TRUSTED_IDLE || connection.ping().await.is_ok()) })
        })
        .after_connect(|connection, _| {
            Box::pin(async move {
                let refused = || sqlx::Error::Protocol("the server takes no writes".to_owned());
                if state(connection).await?.0 { Ok(()) } else { Err(refused()) }
            })
        })
        .connect_lazy_with(servers.chosen())
}

/// How far our clock is ahead of theirs, in seconds: theirs was read about halfway between two times of ours.
fn ahead(asked: DateTime<Utc>, answered: DateTime<Utc>, theirs: DateTime<Utc>) -> f64 {
    let ours = asked + (answered - asked) / 2;
    (ours - theirs).as_seconds_f64()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    /// Ten million leads took `leadline ledger` ten minutes with the orders of a server.
    #[test]
    fn a_command_leaves_the_planner_alone() {
        let config = config::load(None).unwrap().store;
        let orders = |plans| {
            let dressed = dressed(PgConnectOptions::new(), &config, "test", plans);
            let options = dressed.get_options().unwrap_or_default().to_owned();
            (options.matches("enable_").count(), options.contains("statement_timeout"))
        };
        assert_eq!(orders(Plans::Fixed), (5, true));
        assert_eq!(orders(Plans::Free), (0, true));
    }

    #[test]
    fn a_clock_is_compared_with_the_middle_of_question_and_answer() {
        let asked = DateTime::UNIX_EPOCH;
        let at = |milliseconds| asked + TimeDelta::milliseconds(milliseconds);
        assert_eq!(ahead(asked, at(40), at(20)), 0.0);
        assert_eq!(ahead(asked, at(40), at(-1480)), 1.5);
        assert_eq!(ahead(asked, at(40), at(3020)), -3.0);
    }
}
