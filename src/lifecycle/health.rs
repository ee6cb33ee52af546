//! What is known of the two engines, for readiness and for decisions that need no new attempt.
//!
//! Enters: each room's last word on its engine. Leaves: the state of both, readable without waiting.
//!
//! **Invariant:** health is a report, never a lock: nobody waits on it and nothing durable depends on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One of the two engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// `PostgreSQL`.
    Postgres,
    /// `RabbitMQ`.
    Rabbitmq,
}

/// The last known state of both engines; clones share it. Both start as away.
#[derive(Debug, Clone, Default)]
pub struct Health {
    postgres: Arc<AtomicBool>,
    rabbitmq: Arc<AtomicBool>,
}

impl Health {
    /// Notes whether an engine answers. Returns whether that is news.
    pub fn note(&self, engine: Engine, up: bool) -> bool {
        self.flag(engine).swap(up, Ordering::Relaxed) != up
    }

    /// Whether an engine answered last time.
    #[must_use]
    pub fn is_up(&self, engine: Engine) -> bool {
        self.flag(engine).load(Ordering::Relaxed)
    }

    fn flag(&self, engine: Engine) -> &AtomicBool {
        match engine {
            Engine::Postgres => &self.postgres,
            Engine::Rabbitmq => &self.rabbitmq,
        }
    }
}
