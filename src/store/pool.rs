//! A pool of connections that plan alike, time out on the server, and report their health.
//!
//! Every statement of ours goes through an index, so the planner is told to prefer them always: a
//! plan made while a table was empty must not survive into the day it has ten million rows. The
//! server ends what takes too long; nothing is cancelled from here.
//!
//! **Invariant:** a connection that has been idle is asked whether it lives before it is trusted.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgPool};

use super::{StoreError, tls};
use crate::config;
use crate::lifecycle::{Engine, Health};
use crate::telemetry::Metrics;

/// Connections kept open, so that the first requests after a start need not wait for one.
const WARM: u32 = 3;
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

/// Access to `PostgreSQL`; clones share one pool.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) pool: PgPool,
    pub(super) config: Arc<config::Store>,
    name: &'static str,
    health: Health,
    metrics: Metrics,
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
        let milliseconds = |duration: Duration| duration.as_millis().to_string();
        let options: PgConnectOptions = config.url.expose_secret().parse()?;
        tls::check(config.url.expose_secret(), &options)?;
        let options = options.application_name(&format!("leadline-{name}")).options([
            ("statement_timeout", milliseconds(config.statement_timeout).as_str()),
            ("lock_timeout", &milliseconds(config.lock_timeout)),
            ("idle_in_transaction_session_timeout", &milliseconds(config.idle_in_transaction_timeout)),
            ("enable_seqscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            ("enable_material", "off"),
            ("enable_bitmapscan", "off"),
            ("plan_cache_mode", "force_generic_plan"),
            ("jit", "off"),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .min_connections(connections.min(WARM))
            .acquire_timeout(config.acquire_timeout)
            .test_before_acquire(false)
            .before_acquire(|connection, about| {
                Box::pin(async move { Ok(about.idle_for < TRUSTED_IDLE || connection.ping().await.is_ok()) })
            })
            .connect_lazy_with(options);
        let (health, metrics) = (health.clone(), metrics.clone());
        Ok(Self { pool, config: Arc::new(config.clone()), name, health, metrics })
    }

    /// Asks `PostgreSQL` whether it answers, and notes the answer.
    ///
    /// # Errors
    /// [`StoreError`] when it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let answer = sqlx::query("SELECT 1").execute(&self.pool).await;
        self.noted(answer).map(|_| ())
    }

    /// Keeps health and pool gauges fresh until the stop: every second, four times that while away.
    pub async fn watch(&self, stop: &crate::lifecycle::Stop) {
        while !stop.is_asked() {
            let up = tokio::time::timeout(Duration::from_secs(2), self.ping()).await;
            if !matches!(up, Ok(Ok(()))) {
                self.note(false);
            }
            self.show();
            let pause = if self.health.is_up(Engine::Postgres) { 1000 } else { 250 };
            stop.unless_asked(tokio::time::sleep(Duration::from_millis(pause))).await;
        }
    }

    /// Whether `PostgreSQL` answered last time.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.health.is_up(Engine::Postgres)
    }

    /// Closes the pool, waiting for connections in use.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Classifies an outcome and notes what it says about the engine.
    pub(super) fn noted<T>(&self, outcome: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        match outcome {
            Ok(value) => {
                self.note(true);
                Ok(value)
            }
            Err(error) => {
                let error = StoreError::classify(error);
                self.note_error(&error);
                Err(error)
            }
        }
    }

    /// A pool that is merely busy says nothing about the server; the watch asks the server itself.
    pub(super) fn note_error(&self, error: &StoreError) {
        if !matches!(error, StoreError::Away(sqlx::Error::PoolTimedOut)) {
            let was_up = self.is_up();
            self.note(!error.is_outage());
            if was_up && matches!(error, StoreError::Untrusted { .. }) {
                tracing::warn!(pool = self.name, %error, "postgres is not trusted");
            }
        }
    }

    pub(super) fn note(&self, up: bool) {
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
        let idle = i64::try_from(self.pool.num_idle()).unwrap_or(i64::MAX);
        let used = i64::from(self.pool.size()) - idle;
        self.metrics.pool_connections.with_label_values(&[self.name, "idle"]).set(idle);
        self.metrics.pool_connections.with_label_values(&[self.name, "used"]).set(used.max(0));
    }
}
