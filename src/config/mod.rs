//! The configuration: plain data, one struct per room, read once at start.
//!
//! Enters: `config/default.toml` (compiled in), a file, the environment. Leaves: a checked [`Config`].
//! A room receives its own struct and never the whole; nothing here builds a client.
//!
//! **Invariant:** a key that stands in no struct stops the start, and a secret never shows in `Debug`.

mod load;
mod rooms;
mod relations;

pub use load::{LoadError, api_key, load, load_unchecked, read};
pub use relations::violations;
pub use rooms::{Broker, Http, Intake, Lifecycle, LogFormat, Reply, Store, Telemetry, Worker};

use serde::Deserialize;

/// Everything that can be configured.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Listeners, limits of a request, proxies.
    pub http: Http,
    /// Accepting: look-ups, deadlines, in-flight bounds.
    pub intake: Intake,
    /// `RabbitMQ`.
    pub broker: Broker,
    /// Lanes, batches, holding, parking.
    pub worker: Worker,
    /// `PostgreSQL`.
    pub store: Store,
    /// Waiters on the reply queue.
    pub reply: Reply,
    /// Logs and traces.
    pub telemetry: Telemetry,
    /// Stopping.
    pub lifecycle: Lifecycle,
}
