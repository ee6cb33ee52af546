//! What can be typed: every command, its options, its help.
//!
//! **Invariant:** the help of a command is enough to use it; its examples work as they stand.

mod health;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use health::HealthArgs;

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
    /// How leads ended and what is under way; with --diary, whether that agrees with a diary
    Ledger(LedgerArgs),
    /// Send the leads of a file to a running server, many at once; interrupted, it goes on where it was
    Import(ImportArgs),
    /// Send one request of every kind through the front door and check what became of them
    Demo(DemoArgs),
}

const SERVING: &str = "\
SIGTERM or SIGINT: takes nothing new, finishes what it holds. After lifecycle.stop_budget, or at a second
signal, the rest is dropped; unacknowledged leads go back to their queues, nothing accepted is lost.
Exit codes: 0 clean, 1 failed, 2 something had to be dropped.";

/// Tenants.
#[derive(Debug, Subcommand)]
pub enum WorkspaceCommand {
    /// Create a workspace
    #[command(after_help = "Example:\n  leadline workspace create --name 'Acme Inc' --slug acme")]
    Create {
        /// Name, for people
        #[arg(long)]
        name: String,
        /// Short unique name: 3..48 of a-z, 0-9 and '-'
        #[arg(long)]
        slug: String,
    },
    /// List all workspaces
    List,
}

/// Domains.
#[derive(Debug, Subcommand)]
pub enum DomainCommand {
    /// Register a domain for a workspace
    #[command(after_help = "Example:\n  leadline domain add go.acme.com --workspace acme")]
    Add {
        /// Host name, such as go.acme.com
        domain: String,
        /// Slug or ws_ id
        #[arg(long, value_name = "SLUG|ID")]
        workspace: String,
    },
    /// List a workspace's domains
    List {
        /// Slug or ws_ id
        #[arg(long, value_name = "SLUG|ID")]
        workspace: String,
    },
}

/// API keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key; it is shown once and kept only as a hash
    #[command(after_help = "\
Examples:
  leadline key create --workspace acme --name billing
  leadline key create --workspace acme --kind publishable --name website
  key=$(leadline key create --workspace acme --json | jq -r .key)")]
    Create {
        /// Slug or ws_ id
        #[arg(long, value_name = "SLUG|ID")]
        workspace: String,
        /// secret: for servers, every route; publishable: for web pages, client-side routes only
        #[arg(long, value_enum, default_value_t = Kind::Secret)]
        kind: Kind,
        /// Name, for people
        #[arg(long, default_value = "")]
        name: String,
    },
    /// List keys: hint, kind, since when, revoked or not
    List {
        /// Slug or ws_ id; without it, every workspace's keys
        #[arg(long, value_name = "SLUG|ID")]
        workspace: Option<String>,
    },
    /// Revoke a key; the API refuses it after at most `store.key_ttl`
    #[command(after_help = "Example:\n  leadline key revoke key_01J...     (ids: leadline key list)")]
    Revoke {
        /// The key's id, key_...
        id: String,
    },
}

/// What a key opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Every route.
    Secret,
    /// Client-side routes.
    Publishable,
}

/// Links.
#[derive(Debug, Subcommand)]
pub enum LinkCommand {
    /// Create a link; its domain is registered for the workspace if nobody has it
    #[command(after_help = "\
Example:
  leadline link create --workspace acme --domain go.acme.com --key spring --url https://acme.com/pricing")]
    Create {
        /// Slug or ws_ id
        #[arg(long, value_name = "SLUG|ID")]
        workspace: String,
        /// Host name, such as go.acme.com
        #[arg(long)]
        domain: String,
        /// The path after the domain
        #[arg(long)]
        key: String,
        /// Where the link leads
        #[arg(long)]
        url: String,
        /// Your own name for it, unique in the workspace
        #[arg(long)]
        external_id: Option<String>,
    },
}

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
  leadline buried list --reason 'not a lead message'")]
    List {
        /// Only reasons that contain this text
        #[arg(long)]
        reason: Option<String>,
        /// Slug or ws_ id
        #[arg(long, value_name = "SLUG|ID")]
        workspace: Option<String>,
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
    /// Publish one again under a new lead id; repeating it publishes under the same id again
    #[command(after_help = "\
The new id is committed before the message is published, so a replay that was interrupted is repeated
safely. A message that is no lead message is refused: no worker could read it this time either.

Example:
  leadline buried replay buried_01J...")]
    Replay {
        /// buried_... or the lead's id
        id: String,
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

/// An import.
#[derive(Debug, Args)]
#[command(after_help = "\
The key stands in LEADLINE_API_KEY and nowhere else, since others can read a command line.

leads.ndjson holds one lead per line, as POST /track/lead takes it. leads.csv begins with a header that names
any of clickId, eventName, customerExternalId, mode, eventQuantity, customerName, customerEmail, customerAvatar,
metadata (a JSON object in a cell); an empty cell is an absent field, an empty clickId makes a follow-up.

What comes back as 503 or 429, or is not answered, is sent again. Lines that the server refuses go to
FILE.refused.ndjson, with their number and the reason; a new import of FILE begins it anew. FILE.import-state
remembers up to which line everything is answered; run the same command again after an interruption or a
failure. Sending a line twice is harmless: its lead is recorded once.

Exit codes: 0 every line was accepted, 1 failed, 3 some lines were refused, 130 interrupted.

Examples:
  leadline import leads.ndjson --url https://leads.example.com
  gunzip -c leads.ndjson.gz | leadline import -      refused lines go to stdin.refused.ndjson; no state")]
pub struct ImportArgs {
    /// A file ending in .ndjson or .csv, or - for NDJSON on standard input
    pub file: PathBuf,
    /// Where the API listens
    #[arg(long, env = "LEADLINE_URL")]
    pub url: String,
    /// Requests under way at once
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub connections: u8,
    /// Most leads in one request
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub batch: u16,
    /// How many seconds to go on trying where nothing is answered any more
    #[arg(long, default_value_t = 600)]
    pub patience: u64,
}

/// The demo.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads LEADLINE_API_KEY and LEADLINE_PUBLISHABLE_KEY from the env file; without a working key it creates the
workspace `demo`, a domain, a link and both keys, and writes them there (other lines are kept).

Example:
  leadline demo --url http://127.0.0.1:8080 --env-file .dev/env")]
pub struct DemoArgs {
    /// Where the API listens
    #[arg(long)]
    pub url: String,
    /// Shell file of KEY=value lines to read and complete
    #[arg(long, value_name = "FILE")]
    pub env_file: PathBuf,
    /// Where to write the diary of the requests [default: demo.ndjson beside the env file]
    #[arg(long, value_name = "FILE")]
    pub diary: Option<PathBuf>,
    /// How many seconds to wait until every request has ended
    #[arg(long, default_value_t = 15)]
    pub patience: u64,
}

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
