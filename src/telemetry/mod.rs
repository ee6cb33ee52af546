//! What the process says about itself: log lines and metrics.
//!
//! **Invariant:** every metric is declared in `metrics.rs` and nowhere else; label values are closed sets;
//! no key, e-mail address or message body ever reaches a line or a label.

mod logs;
mod hands;
mod process;
mod metrics;
mod raised;

pub use hands::{Hand, Hands, Held};
pub use logs::{LogError, init};
pub use metrics::{FAILURES, Kind, Metrics, SPECS, Spec, markdown_table};
pub use prometheus::Error as MetricsError;
pub use raised::Raised;
