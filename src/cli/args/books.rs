//! Questions to the books: leads, graves, the ledger.
//!
//! **Invariant:** as of all of `args`: the help of a command is enough to use it.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};

use super::super::moment::moment;

/// Leads.
#[derive(Debug, Subcommand)]
pub enum LeadCommand {
    /// Show where a lead is: ended (how, why), parked (until when), buried, or not here
    #[command(after_help = "\
Examples:
  leadline lead show lead_01J...                    the x-lead-id of an answer
  leadline lead show --workspace acme --customer user-1 --event 'Sign Up'
                                                    the recorded lead of that key and its duplicates")]
    Show(LeadShowArgs),
}

/// Which lead.
#[derive(Debug, Args)]
pub struct LeadShowArgs {
    /// The lead's id, lead_...
    #[arg(required_unless_present = "customer", conflicts_with_all = ["workspace", "customer", "event"])]
    pub id: Option<String>,
    /// Slug or ws_ id
    #[arg(long, value_name = "SLUG|ID", requires = "customer")]
    pub workspace: Option<String>,
    /// customerExternalId, exactly as sent
    #[arg(long, requires = "event", requires = "workspace")]
    pub customer: Option<String>,
    /// eventName, in any spelling of it
    #[arg(long, requires = "customer")]
    pub event: Option<String>,
}

/// Graves.
#[derive(Debug, Subcommand)]
pub enum BuriedCommand {
    /// List buried messages, newest first
    #[command(after_help = "\
Examples:
  leadline buried list --waiting --limit 20
  leadline buried list --reason 'not a lead message' --since 2h
  leadline buried list --workspace acme --since 2026-11-20T08:00:00Z --until 2026-11-20T09:30:00Z")]
    List {
        /// Which.
        #[command(flatten)]
        which: BuriedWhich,
        /// Only those not replayed yet
        #[arg(long)]
        waiting: bool,
        /// At most this many
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Show one, with its bytes (text, or hexadecimal)
    Show {
        /// buried_... or the lead's id
        id: String,
    },
    /// Publish one again, or many, each under a new lead id; repeating it publishes under the same id again
    #[command(after_help = "\
The new id is committed before the message is published, so a replay that was interrupted is repeated
safely: of many, those whose replay has ended are left out, and the same command goes on with the rest.
A message that is no lead message is refused: no worker could read it this time either.

Exit codes: 0 all were published, 1 failed, 3 some are no lead messages, 130 interrupted.

Examples:
  leadline buried replay buried_01J...
  leadline buried replay --reason 'refuses the row' --since 3d --dry-run
  leadline buried replay --workspace acme --since 2h
  leadline buried replay --all")]
    #[command(group(clap::ArgGroup::new("any").required(true).multiple(true)
        .args(["id", "reason", "workspace", "since", "until", "all"])))]
    Replay {
        /// buried_... or the lead's id
        #[arg(conflicts_with_all = ["reason", "workspace", "since", "until", "all", "dry_run"])]
        id: Option<String>,
        /// Which.
        #[command(flatten)]
        which: BuriedWhich,
        /// Every one whose replay has not ended
        #[arg(long)]
        all: bool,
        /// Only say how many would be published
        #[arg(long)]
        dry_run: bool,
    },
    /// Throw one away, bytes and all
    Discard {
        /// buried_... or the lead's id
        id: String,
        /// Yes, really: what is discarded can never be replayed
        #[arg(long)]
        yes: bool,
    },
}

/// Which graves.
#[derive(Debug, Args)]
pub struct BuriedWhich {
    /// Only reasons that contain this text
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Slug or ws_ id
    #[arg(long, value_name = "SLUG|ID")]
    pub workspace: Option<String>,
    /// Only those buried since then: RFC 3339, or so long ago: 90s, 2h, 3d
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<DateTime<Utc>>,
    /// Only those buried before then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<DateTime<Utc>>,
}

/// The ledger.
#[derive(Debug, Args)]
#[command(after_help = "\
A diary has one JSON line per finished lead request (the demo, the benchmark and the tests write one):
  {\"lead_id\":\"lead_...\",\"workspace_id\":\"ws_...\",\"customer\":\"user-1\",\"event\":\"Sign Up\",\"mode\":\"async\",
   \"click_id\":\"\",\"quantity\":1,\"status\":200,\"ending\":null,\"duplicate\":false,\"link\":\"link_...\",\"at\":1763000000000}
status 0 means that the connection was lost; duplicate that a 200 had \"link\":null; at is milliseconds.

Checked: every 200 has its ending (or is parked: under way); no row of these workspaces accepted between the
first and the last line without a request; one recorded row per key; refused requests never recorded; unknown
outcomes (5xx, 0) present at most once; links.leads = sum of quantity over recorded rows; every follow-up
carries its customer's click; every row equals its request. Exit 1 names the offenders.

Examples:
  leadline ledger --workspace acme
  leadline ledger --diary run.ndjson --settled
  leadline ledger --diary a.ndjson --diary b.ndjson --whole --json")]
pub struct LedgerArgs {
    /// Only this workspace (slug or ws_ id); with --diary, whose the lines without `workspace_id` are
    #[arg(long, value_name = "SLUG|ID")]
    pub workspace: Option<String>,
    /// Check this diary (NDJSON); may be given several times, then all together
    #[arg(long, value_name = "FILE")]
    pub diary: Vec<PathBuf>,
    /// Everything has come to rest: what is still parked is an offence
    #[arg(long, requires = "diary")]
    pub settled: bool,
    /// The diary is the whole history of its workspaces: check rows of any time
    #[arg(long, requires = "diary")]
    pub whole: bool,
}
