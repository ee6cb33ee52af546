//! The suite's own command line, which also bears what `cargo test` puts on it.
//!
//! Enters: arguments. Leaves: what to run. A bare name is a test filter, as with any other test
//! program: the suite runs only if its own name or a fault's contains it.
//!
//! **Invariant:** no argument is taken and then ignored, save those that only libtest understands.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// The seed of the short run, so that every machine runs the same one.
pub(crate) const SHORT_SEED: u64 = 20_261_121;
/// What a test filter is held against.
const NAME: &str = "chaos::suite";

/// Kills, cuts and freezes everything under load, then checks every answer against PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "chaos")]
pub(crate) struct Args {
    /// Draws load and faults from this seed [default: a fixed one for the short run, else a fresh one]
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Runs random faults for this long instead of each once
    #[arg(long)]
    pub(crate) minutes: Option<f64>,
    /// Requests per second [default: 110 and 90 in the short run, else 70 % of what the world bears, measured first]
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Only the faults whose name contains this; may be repeated
    #[arg(long)]
    pub(crate) only: Vec<String>,
    /// Only the faults of this world: single, cluster or spare; may be repeated
    #[arg(long)]
    pub(crate) world: Vec<String>,
    /// Names the faults and what each proves
    #[arg(long)]
    pub(crate) list: bool,
    /// Where logs and the diary go [default: target/chaos]
    #[arg(long)]
    pub(crate) folder: Option<PathBuf>,
    /// A test filter, as `cargo test` passes it on
    #[arg(hide = true)]
    filter: Vec<String>,
    #[arg(long, hide = true)]
    exact: bool,
    #[arg(long, hide = true)]
    nocapture: bool,
    #[arg(long, hide = true)]
    quiet: bool,
    #[arg(long, hide = true)]
    ignored: bool,
    #[arg(long, hide = true)]
    include_ignored: bool,
    #[arg(long, hide = true)]
    show_output: bool,
    #[arg(long, hide = true)]
    test_threads: Option<String>,
    #[arg(long, hide = true)]
    skip: Vec<String>,
    #[arg(long, hide = true)]
    format: Option<String>,
    #[arg(long, hide = true)]
    color: Option<String>,
}

impl Args {
    /// Reads the process's arguments.
    pub(crate) fn read() -> Self {
        let mut args = Self::parse();
        if args.ignored {
            args.filter.push("no chaos is ignored".to_owned());
        }
        args
    }

    /// Whether `cargo test`'s filters leave this suite out.
    pub(crate) fn filtered_out(&self) -> bool {
        let own = |word: &String| if self.exact { word == NAME } else { NAME.contains(word.as_str()) };
        !self.filter.is_empty() && !self.filter.iter().any(own) || self.skip.iter().any(own)
    }

    /// Whether a fault of a world was asked for.
    pub(crate) fn wants(&self, world: &str, fault: &str) -> bool {
        (self.only.is_empty() || self.only.iter().any(|word| fault.contains(word.as_str())))
            && (self.world.is_empty() || self.world.iter().any(|word| word == world))
    }

    /// Whether everything was asked for.
    pub(crate) fn wants_all(&self) -> bool {
        self.only.is_empty() && self.world.is_empty()
    }

    /// The seed given, or the fixed one, or for long runs a fresh one.
    pub(crate) fn seed_or_fresh(&self) -> u64 {
        self.seed
            .unwrap_or_else(|| if self.minutes.is_some() { rand::random_range(1..1_000_000_000) } else { SHORT_SEED })
    }

    /// A part of the minutes asked for; none in a short run.
    pub(crate) fn time(&self, part: f64) -> Option<Duration> {
        self.minutes.map(|minutes| Duration::from_secs_f64((minutes * 60.0 * part).max(1.0)))
    }

    /// The command that repeats this run.
    pub(crate) fn again(&self, seed: u64) -> String {
        let mut again = format!("deploy/dev chaos --seed {seed}");
        for (name, value) in [("minutes", self.minutes), ("rate", self.rate)] {
            again.extend(value.map(|value| format!(" --{name} {value}")));
        }
        again.extend(self.world.iter().map(|world| format!(" --world {world}")));
        again.extend(self.only.iter().map(|only| format!(" --only {only}")));
        again
    }
}
