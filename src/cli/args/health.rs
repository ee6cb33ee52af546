//! What can be typed after `leadline health`.
//!
//! **Invariant:** the help names every exit code, since that is all that most callers look at.

use std::time::Duration;

use clap::Args;
use humantime_serde::re::humantime::parse_duration;

/// A health check.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads the configuration as `api` and `worker` do and asks the probe at http.metrics_listen: one request, no
engine, no proxy. A process that is started with --config or LEADLINE__... is asked with the same.

Prints what the probe says and knows of the engines; exit codes: 0 ready (with --live: alive), 1 everything
else, whether it is not ready, nobody answers in time, or what answers is no probe.

Examples:
  leadline health                                   ready: postgres up, rabbitmq up
  leadline health --live --timeout 500ms            alive")]
pub struct HealthArgs {
    /// Ask whether it answers at all, not whether it is ready
    #[arg(long)]
    pub live: bool,
    /// How long the answer may take, such as 500ms or 2s
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = parse_duration)]
    pub timeout: Duration,
}
