//! What can be typed: every command, its options, its help.
//!
//! **Invariant:** the help of a command is enough to use it; its examples work as they stand.

mod tenants;
mod books;
mod sending;
mod operating;
mod health;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

pub use books::{BuriedCommand, BuriedWhich, LeadCommand, LeadShowArgs, LedgerArgs};
pub use health::HealthArgs;
pub use operating::{BuriedPruneArgs, ClicksPruneArgs, DoctorArgs, PruneCommand, QueuesArgs, TopArgs};
pub use sending::{DemoArgs, ImportArgs};
pub use tenants::{DomainCommand, KeyCommand, Kind, LinkCommand, WorkspaceCommand};

/// Tracks leads: HTTP in, RabbitMQ between, PostgreSQL at the end; nothing accepted is lost or doubled.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    max_term_width = 100,
    after_help = "\
Examples:
  leadline migrate                                  create or update the tables
  leadline all                                      API and worker in one process
  leadline workspace create --name Acme --slug acme
  leadline key create --workspace acme              prints the key, once
  leadline ledger                                   how the leads ended, and what is under way
  leadline lead show lead_01J...                    where is this lead, and why
  leadline import leads.csv                         send the leads of a file to a running server
  leadline doctor                                   is it healthy, and how is what is wrong mended?
  leadline queues                                   how far behind is it?
  leadline top                                      the same, and rates, as they change
  leadline health                                   is the process on this machine ready?

DATABASE_URL and AMQP_URL name the engines; --config FILE and LEADLINE__ROOM__KEY set everything else."
)]
pub struct Cli {
    /// Configuration file (TOML), laid over the built-in defaults
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the HTTP API until SIGTERM or SIGINT
    #[command(after_help = SERVING)]
    Api,
    /// Record leads from the queues until SIGTERM or SIGINT
    #[command(after_help = SERVING)]
    Worker,
    /// API and worker in one process
    #[command(after_help = SERVING)]
    All,
    /// Bring the database's schema up to date; running it again changes nothing
    Migrate,
    /// Validate the configuration and its relations without starting anything
    #[command(after_help = "\
Examples:
  leadline check --config /etc/leadline.toml
  LEADLINE__WORKER__PREFETCH=100 leadline check     names the relation this breaks, exits 1
  leadline check --show                             also prints every value, secrets redacted")]
    Check {
        /// Also print the effective configuration, secrets redacted
        #[arg(long)]
        show: bool,
    },
    /// Ask the process that serves on this machine whether it is well; for health checks
    Health(HealthArgs),
    /// Tenants
    #[command(subcommand)]
    Workspace(WorkspaceCommand),
    /// Domains that links stand on; each belongs to one workspace
    #[command(subcommand)]
    Domain(DomainCommand),
    /// API keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Links that clicks and leads belong to
    #[command(subcommand)]
    Link(LinkCommand),
    /// Where a lead is, and why
    #[command(subcommand)]
    Lead(LeadCommand),
    /// Messages that could not become a row: kept with bytes and reason
    #[command(subcommand)]
    Buried(BuriedCommand),
    /// How far behind it is: what waits in each queue, what is parked, what is buried
    Queues(QueuesArgs),
    /// What is wrong with configuration, engines and what stands on them, and how to mend it; exits 1 if something is
    Doctor(DoctorArgs),
    /// Rates, depths, ages and engines of running processes, once a second
    Top(TopArgs),
    /// Delete what is kept only for a while, in short transactions
    #[command(subcommand)]
    Prune(PruneCommand),
    /// How leads ended and what is under way; with --diary, whether that agrees with a diary
    Ledger(LedgerArgs),
    /// Send the leads of a file to a running server, many at once; interrupted, it goes on where it was
    Import(ImportArgs),
    /// Send one request of every kind through the front door and check what became of them
    Demo(DemoArgs),
    /// Print the completions of a shell
    #[command(after_help = "\
Examples:
  leadline completions bash >/etc/bash_completion.d/leadline
  leadline completions zsh >/usr/local/share/zsh/site-functions/_leadline
  leadline completions fish >~/.config/fish/completions/leadline.fish")]
    Completions {
        /// Whose
        shell: Shell,
    },
    /// Print the manual page, all commands in one
    #[command(after_help = "\
Examples:
  leadline man >/usr/local/share/man/man1/leadline.1
  leadline man | man -l -")]
    Man,
}

const SERVING: &str = "\
SIGTERM or SIGINT: takes nothing new, finishes what it holds. After lifecycle.stop_budget, or at a second
signal, the rest is dropped; unacknowledged leads go back to their queues, nothing accepted is lost.
Exit codes: 0 clean, 1 failed, 2 something had to be dropped.";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_lead_is_asked_for_by_id_or_by_key() {
        let asks = |words: &str| Cli::try_parse_from(words.split(' ')).is_ok();
        assert!(asks("leadline lead show lead_1"));
        assert!(asks("leadline lead show --workspace w --customer c --event e"));
        for bad in ["lead show", "lead show --customer c --event e", "lead show x --event e", "ledger --settled"] {
            assert!(!asks(&format!("leadline {bad}")), "{bad}");
        }
    }
}
