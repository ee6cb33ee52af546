//! What handlers share.
//!
//! **Invariant:** cloning it costs one reference count; it is made once per process.

use std::ops::Deref;
use std::sync::Arc;

use super::body::Space;
use super::keyring::Keyring;
use super::throttle::Throttle;
use crate::config;
use crate::intake::Intake;
use crate::lifecycle::Health;
use crate::store::Store;
use crate::telemetry::{Metrics, Tracer};

/// Everything a handler needs; clones share it.
#[derive(Debug, Clone)]
pub struct Http(Arc<Shared>);

/// See [`Http`].
#[derive(Debug)]
pub struct Shared {
    pub(super) intake: Intake,
    pub(super) store: Store,
    pub(super) config: config::Http,
    pub(super) keys: Keyring,
    pub(super) space: Space,
    pub(super) throttle: Throttle,
    pub(super) health: Health,
    pub(super) metrics: Metrics,
    pub(super) tracer: Tracer,
}

impl Http {
    /// Joins what handlers need. `store_config` says how long keys are believed.
    #[must_use]
    pub fn new(
        intake: Intake,
        store: Store,
        config: &config::Http,
        store_config: &config::Store,
        health: &Health,
        metrics: &Metrics,
        tracer: &Tracer,
    ) -> Self {
        Self(Arc::new(Shared {
            intake,
            keys: Keyring::new(&store, store_config),
            throttle: Throttle::new(config),
            space: Space::new(config.max_body_bytes_in_flight),
            store,
            config: config.clone(),
            health: health.clone(),
            metrics: metrics.clone(),
            tracer: tracer.clone(),
        }))
    }
}

impl Deref for Http {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
