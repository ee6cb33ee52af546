//! What the command understands.
//!
//! Two options are hidden: with them the same binary becomes the bare HTTP server or the load
//! generator, as processes of their own, so that their CPU time can be told apart.
//!
//! **Invariant:** without options everything of the whole run is measured, in about a quarter of an hour.

use clap::{Parser, ValueEnum};

use crate::load::Traffic;

/// Measures Leadline beside its limit. Needs private engines: `deploy/dev bench` brings them.
#[derive(Debug, Parser)]
#[command(name = "deploy/dev bench", max_term_width = 110, after_long_help = HELP)]
pub(crate) struct Args {
    /// Rounds; medians count and their spread is printed. [default: 5, with --quick 1]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=50))]
    rounds: Option<u32>,
    /// Seconds of each stretch of load. [default: 3, with --quick 1]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: Option<u32>,
    /// A look, not a verdict: one round of one second, 64 connections only, open loop at 50 % only, a sweep of P over
    /// three plans instead of nine. Targets are printed, but only a failure of the books fails the run.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Connections of the load generator, one stretch of each kind with each number. [default: 1,16,64,256]
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    connections: Vec<u16>,
    /// Measures only these kinds of load, not all five.
    #[arg(long, value_enum, value_delimiter = ',')]
    modes: Vec<Traffic>,
    /// Measures one part only; the targets of the whole run need all of its parts.
    #[arg(long, value_enum)]
    pub(crate) only: Option<Part>,
    /// Leads queued for `--only backlog`.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) backlog: usize,
    /// Most rows for `--only scale-rows`.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(10_000..=100_000_000))]
    pub(crate) rows: u64,
    /// Runs `leadline all` instead of one API and one worker.
    #[arg(long)]
    pub(crate) all: bool,
    /// A service with the same contract to put under the same load instead of Leadline, such as `http://127.0.0.1:3000/api`;
    /// what is measured is what an HTTP client sees.
    #[arg(long, value_name = "URL", requires_all = ["peer_key_env", "peer_click"])]
    pub(crate) peer: Option<String>,
    /// The environment variable that holds the peer's secret key.
    #[arg(long, value_name = "NAME", requires = "peer")]
    pub(crate) peer_key_env: Option<String>,
    /// A click that the peer knows; may be given several times.
    #[arg(long, value_name = "ID", requires = "peer", num_args = 1..)]
    pub(crate) peer_click: Vec<String>,
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
    /// Child: generate the load that the JSON on standard input describes.
    #[arg(long, hide = true)]
    pub(crate) generate: bool,
}

/// One part of what can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The bare HTTP server that answers the same body.
    H,
    /// The bare loop: publish, confirm, consume, insert the same rows; best of window and batch.
    P,
    /// The second half of P, from queues that were filled before.
    C,
    /// Leadline: each kind of load with each number of connections, then at fixed rates.
    Ours,
    /// `wait` beside the bare round trip, both open loop at 20 % of the most `wait` requests per second.
    Wait,
    /// Not in the whole run: a long queue; drain rate beside C, memory of each process.
    Backlog,
    /// Not in the whole run: one tenant floods, another must not notice.
    Tenants,
    /// Not in the whole run: CPU per lead with 10^4, 10^5, 10^6 (--rows: more) rows already there.
    ScaleRows,
    /// Not in the whole run: 1, 10^3, 10^5 links, one hot link, one hot customer.
    ScaleLinks,
    /// Not in the whole run: 1, 2, 4, 8 APIs and as many workers, on this one machine.
    ScaleProcesses,
    /// Not in the whole run: rising load, slow workers added one by one and removed again; what `deploy/dev scale` runs.
    ScaleWorkers,
    /// Not in the whole run: leads by the body, `POST /track/lead/batch` with 1 000 and with 100, beside P.
    Batch,
}

const HELP: &str = "\
The whole run, with H, P, C, ours and wait in turn in every round:
  L is 1/(1/H + 1/P): what a bare server and a bare loop would do together on these cores. Closed loop (every connection
  sends its next request when the last one is answered) gives the throughput; open loop (requests fall due evenly at 10, 50
  and 80 % of the peak, and are timed from then, whether or not a connection was free) gives the latency. Leadline starts
  every stretch with empty tables, as P does, and after every stretch `leadline ledger --diary` must be clean.

The kinds of load (--modes):
  async      new leads of new customers, answered when durable
  wait       the same, answered when committed
  deferred   new customers and their clicks, without an event
  follow-up  the events of the customers that were deferred just before
  mix        as in life: 85 % async of which 10 % are repeats, 10 % deferred with their follow-ups 250 ms later, 5 % wait

Files, in target/bench:
  throughput.json, latency.svg    of the whole run; the other parts write PART.json, scale-processes workers.svg too;
                                  scale-workers writes target/scale/scale.json and scale.svg instead
  diary.ndjson, leadline.log      of the last stretch; diary-of-a-fault.ndjson where the books did not balance

Exit status: 0 if every target of what was measured is met.";

impl Args {
    /// Whether this part is to be measured.
    pub(crate) fn wants(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }

    /// How often everything is measured.
    pub(crate) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 1 } else { 5 })
    }

    /// How long each stretch of load is.
    pub(crate) fn seconds(&self) -> f64 {
        f64::from(self.seconds.unwrap_or(if self.quick { 1 } else { 3 }))
    }

    /// With how many connections.
    pub(crate) fn connections(&self) -> Vec<usize> {
        match (self.connections.as_slice(), self.quick) {
            ([], true) => vec![64],
            ([], false) => vec![1, 16, 64, 256],
            (given, _) => given.iter().map(|n| usize::from(*n)).collect(),
        }
    }

    /// Shares of the peak at which latency is measured.
    pub(crate) fn shares(&self) -> &'static [f64] {
        if self.quick { &[0.5] } else { &[0.1, 0.5, 0.8] }
    }

    /// The kinds of load. Follow-ups need their deferred leads, which are then measured too.
    pub(crate) fn traffic(&self) -> Vec<Traffic> {
        let wanted = |traffic: &Traffic| match self.only {
            Some(Part::Wait) => *traffic == Traffic::Wait,
            _ => self.modes.is_empty() || self.modes.contains(traffic),
        };
        Traffic::ALL.into_iter().filter(wanted).collect()
    }

    /// Whether everything is measured that the targets of the whole run speak of.
    pub(crate) fn is_whole(&self) -> bool {
        self.only.is_none() && self.modes.is_empty()
    }
}
