//! Looking after what runs: queues, doctor, top, prune.
//!
//! **Invariant:** as of all of `args`: the help of a command is enough to use it.

use std::time::Duration;

use clap::{Args, Subcommand};

/// How far behind.
#[derive(Debug, Args)]
#[command(after_help = "\
RabbitMQ tells ready messages and consumers to everybody. What was handed out to a worker and is not
acknowledged yet only the management plugin tells; without --management that column stays empty.
Of leads that nobody knows yet the age is in no table: `leadline top` and the metrics of the workers have it.

Examples:
  leadline queues
  leadline queues --management http://mq.example.com:15672
  leadline queues --json | jq '[.queues[].ready] | add'")]
pub struct QueuesArgs {
    /// RabbitMQ's management plugin, asked with the user and password of broker.url unless the URL has its own
    #[arg(long, value_name = "URL", env = "LEADLINE_MANAGEMENT_URL", hide_env_values = true)]
    pub management: Option<String>,
}

/// A look at everything.
#[derive(Debug, Args)]
#[command(after_help = "\
Asks, and changes nothing: no table, queue or message is other than before. Each line says what was looked at;
where something is wrong, also why that matters and the setting or command that mends it. What could not be
looked at is called so.

Exit codes: 0 nothing is wrong (there may be warnings), 1 something is.

Examples:
  leadline doctor
  leadline doctor --apis 4 --workers 6              are PostgreSQL's connections enough for so many processes?
  leadline doctor --management http://mq.example.com:15672
  leadline doctor --json | jq '.findings[] | select(.level == \"wrong\")'")]
pub struct DoctorArgs {
    /// How many API processes there are, or shall be
    #[arg(long, default_value_t = 1)]
    pub apis: u32,
    /// How many workers
    #[arg(long, default_value_t = 1)]
    pub workers: u32,
    /// RabbitMQ's management plugin, which alone tells limits of memory and disk
    #[arg(long, value_name = "URL", env = "LEADLINE_MANAGEMENT_URL", hide_env_values = true)]
    pub management: Option<String>,
    /// Only what is not well
    #[arg(long)]
    pub quiet: bool,
}

/// A live view.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads /metrics of each process. On a terminal: q or Ctrl-C ends it. Elsewhere it prints lines.

Examples:
  leadline top                                      the process of http.metrics_listen
  leadline top --url http://api-1:9090 --url http://worker-1:9090 --url http://worker-2:9090
  leadline top --once                               two looks an interval apart, one page of text")]
pub struct TopArgs {
    /// Where a process serves its metrics; may be given several times; without it `http.metrics_listen`
    #[arg(long, value_name = "URL")]
    pub url: Vec<String>,
    /// Between two looks
    #[arg(long, default_value = "1s", value_parser = interval)]
    pub interval: Duration,
    /// Print one page of text and end
    #[arg(long)]
    pub once: bool,
}

/// What may be deleted.
#[derive(Debug, Subcommand)]
pub enum PruneCommand {
    /// Delete clicks that are older than any lead for them may be
    #[command(after_help = "\
A lead takes link, time and country of its click with it when it is recorded, and so does its customer; nothing
reads the click again. What is deleted here is the chance of a *first* lead for it: a lead that names a deleted
click is refused as one for an unknown click. So --older-than is how long after a click you want to count leads.
Kept whatever their age: clicks of buried messages whose replay has not ended. The counter of a link stays.

Each batch is a transaction of its own; interrupted, the same command goes on. At least a day must be left.

Exit codes: 0 done, 1 failed, 130 interrupted.

Examples:
  leadline prune clicks --older-than 90d --dry-run
  leadline prune clicks --older-than 90d")]
    Clicks(ClicksPruneArgs),
    /// Delete buried messages whose replay has ended
    #[command(after_help = "\
A buried message is an accepted lead that nobody could record: its grave is all there is of it. Deleted are only
those that were replayed and whose replay has an ending of its own, so that nothing is lost but the bytes.
With --unreplayed those go too that were never replayed: they are lost for good, and `leadline lead show` says
of them what it says of a lead that never was.

A diary of before then no longer finds them: `leadline ledger --diary` calls them missing.

Exit codes: 0 done, 1 failed, 130 interrupted.

Examples:
  leadline prune buried --older-than 30d
  leadline prune buried --older-than 365d --unreplayed --dry-run")]
    Buried(BuriedPruneArgs),
}

/// Which clicks.
#[derive(Debug, Args)]
pub struct ClicksPruneArgs {
    /// Their least age, such as 90d
    #[arg(long, value_name = "AGE", value_parser = humantime::parse_duration)]
    pub older_than: Duration,
    /// Most rows in one transaction
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub batch: u32,
    /// Only say how many there are
    #[arg(long)]
    pub dry_run: bool,
}

/// Which graves.
#[derive(Debug, Args)]
pub struct BuriedPruneArgs {
    /// How long ago they were buried at least, such as 30d
    #[arg(long, value_name = "AGE", value_parser = humantime::parse_duration)]
    pub older_than: Duration,
    /// Those too that were never replayed, or whose replay has not ended: they are lost for good
    #[arg(long)]
    pub unreplayed: bool,
    /// Most rows in one transaction
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub batch: u32,
    /// Only say how many there are
    #[arg(long)]
    pub dry_run: bool,
}

/// Of `top`: at least a tenth of a second, since every look costs the processes one.
fn interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if interval < Duration::from_millis(100) { Err("at least 100ms".to_owned()) } else { Ok(interval) }
}
