//! What is known of the two engines, for readiness and for decisions that need no new attempt.
//!
//! Enters: each room's last word on its engine, and that the process drains. Leaves: the state of it
//! all, readable without waiting.
//!
//! **Invariant:** health is a report, never a lock: nobody waits on it without a deadline, and nothing durable depends on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// One of the two engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// `PostgreSQL`.
    Postgres,
    /// `RabbitMQ`.
    Rabbitmq,
}

/// The last word on an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// No attempt has ended yet.
    Unknown,
    /// It did not serve last time.
    Away,
    /// It did.
    Up,
}

impl Condition {
    /// The word in the answers of the probes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Away => "away",
            Self::Up => "up",
        }
    }
}

/// The last known state of both engines; clones share it. Both start as unknown.
#[derive(Debug, Clone, Default)]
pub struct Health {
    postgres: Arc<AtomicU8>,
    rabbitmq: Arc<AtomicU8>,
    draining: Arc<AtomicBool>,
    turned: Arc<Notify>,
}

const UNKNOWN: u8 = 0;
const AWAY: u8 = 1;
const UP: u8 = 2;

impl Health {
    /// Notes whether an engine answers. Returns whether that is news.
    pub fn note(&self, engine: Engine, up: bool) -> bool {
        let condition = if up { UP } else { AWAY };
        let news = self.flag(engine).swap(condition, Ordering::Relaxed) != condition;
        if news {
            self.turned.notify_waiters();
        }
        news
    }

    /// The last word on an engine.
    #[must_use]
    pub fn of(&self, engine: Engine) -> Condition {
        match self.flag(engine).load(Ordering::Relaxed) {
            UNKNOWN => Condition::Unknown,
            UP => Condition::Up,
            _ => Condition::Away,
        }
    }

    /// Whether an engine answered last time.
    #[must_use]
    pub fn is_up(&self, engine: Engine) -> bool {
        self.of(engine) == Condition::Up
    }

    /// Waits until an engine has answered, at most until then; returns whether it has. Cancel-safe.
    pub async fn up_by(&self, engine: Engine, until: Instant) -> bool {
        loop {
            let turned = self.turned.notified();
            if self.is_up(engine) {
                return true;
            }
            if timeout_at(until, turned).await.is_err() {
                return false;
            }
        }
    }

    /// Notes that the process is about to stop: it still serves, and wants no new connections.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the process is about to stop.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    fn flag(&self, engine: Engine) -> &AtomicU8 {
        match engine {
            Engine::Postgres => &self.postgres,
            Engine::Rabbitmq => &self.rabbitmq,
        }
    }
}
