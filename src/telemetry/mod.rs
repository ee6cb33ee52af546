//! What the process says about itself: log lines, metrics and the spans of traced leads.
//!
//! **Invariant:** every metric is declared in `metrics.rs` and nowhere else; label values are closed sets;
//! no key, e-mail address or message body ever reaches a line, a label or a span.

mod logs;
mod hands;
mod process;
mod metrics;
mod raised;
mod step;
#[cfg_attr(not(feature = "otlp"), path = "no_trace.rs")]
mod trace;

pub use hands::{Hand, Hands, Held};
pub use logs::{LogError, init};
pub use metrics::{FAILURES, Kind, Metrics, SPECS, Spec, markdown_table};
pub use prometheus::Error as MetricsError;
pub use raised::Raised;
pub use step::{REPLIES, Step};
pub use trace::{Exporter, Span, TraceError, Tracer};
