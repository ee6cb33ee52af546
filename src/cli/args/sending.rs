//! Commands that send leads: import and demo.
//!
//! **Invariant:** as of all of `args`: the help of a command is enough to use it.

use std::path::PathBuf;

use clap::Args;

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
