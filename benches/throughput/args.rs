//! What the command understands.
//!
//! Two options are hidden: with them the same binary becomes the bare HTTP server or the load
//! generator, as processes of their own, so that their CPU time can be told apart.
//!
//! **Invariant:** without options everything is measured, in about three minutes.

use clap::{Parser, ValueEnum};

/// Measures Leadline beside its limit. Needs private engines: `deploy/dev bench` brings them.
#[derive(Debug, Parser)]
#[command(name = "throughput", max_term_width = 110)]
pub(crate) struct Args {
    /// Rounds; the median counts and the spread is printed.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub(crate) rounds: u32,
    /// Seconds of load on Leadline per round (the bare parts take about half of it each).
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,
    /// Connections of the load generator.
    #[arg(long, default_value_t = 64)]
    pub(crate) connections: usize,
    /// Measures one part only; targets and throughput.json need them all.
    #[arg(long, value_enum)]
    pub(crate) only: Option<Part>,
    /// Leads queued for `--only backlog`.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) backlog: usize,
    /// Runs API and worker as two processes instead of `leadline all`.
    #[arg(long)]
    pub(crate) split: bool,
    /// PostgreSQL; two scratch databases are created beside the one it names.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, default_value = "")]
    pub(crate) database_url: String,
    /// RabbitMQ; scratch queues under a prefix of their own.
    #[arg(long, env = "AMQP_URL", hide_env_values = true, default_value = "")]
    pub(crate) amqp_url: String,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
    /// Child: serve with so many threads.
    #[arg(long, hide = true)]
    pub(crate) serve: Option<usize>,
    /// Child: generate the load this JSON describes.
    #[arg(long, hide = true)]
    pub(crate) generate: Option<String>,
}

/// One part of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The bare HTTP server.
    H,
    /// Publish, confirm, consume, insert.
    P,
    /// Consume and insert from a pre-filled queue.
    C,
    /// Leads recorded end to end, HTTP to commit.
    Ours,
    /// `wait` answers beside the bare round trip.
    Wait,
    /// A long queue: drain rate beside C, memory of each process. Not part of the whole run.
    Backlog,
    /// One tenant floods, another must not notice. Not part of the whole run.
    Tenants,
}

impl Args {
    /// Whether this part is to be measured.
    pub(crate) fn wants(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }
}
