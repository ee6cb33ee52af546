//! Throughput: the whole walk of a lead, HTTP to commit, beside the most this machine could do.
//!
//! Everything shares the same cores, so the yardstick is a limit measured in the same run, rounds
//! interleaved: H, a bare HTTP server that answers the same body; P, a bare loop publish, confirm,
//! consume, insert the same rows; C, P on a pre-filled queue; L = 1/(1/H + 1/P). One load generator
//! drives H and us alike: our own rather than wrk, because the run's diary has to say what each
//! request was and got, which wrk cannot; its share of the CPU is printed.
//!
//! **Invariant:** exits non-zero when a figure misses its target or the diary's books do not balance.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command for people: its table is its output")]

use std::process::ExitCode;

use clap::Parser;

#[path = "throughput/args.rs"]
mod args;
#[path = "throughput/backlog.rs"]
mod backlog;
#[path = "throughput/bare.rs"]
mod bare;
#[path = "throughput/generator.rs"]
mod generator;
#[path = "throughput/limit.rs"]
mod limit;
#[path = "throughput/load.rs"]
mod load;
#[path = "throughput/ours.rs"]
mod ours;
#[path = "throughput/proc.rs"]
mod proc;
#[path = "throughput/queues.rs"]
mod queues;
#[path = "throughput/report.rs"]
mod report;
#[path = "throughput/rounds.rs"]
mod rounds;
#[path = "throughput/round_trip.rs"]
mod round_trip;
#[path = "throughput/rows.rs"]
mod rows;
#[path = "throughput/scratch.rs"]
mod scratch;
#[path = "throughput/server.rs"]
mod server;
#[path = "throughput/stats.rs"]
mod stats;
#[path = "throughput/template.rs"]
mod template;
#[path = "throughput/tenants.rs"]
mod tenants;

/// What every part returns: whatever went wrong is printed once, here.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    let args = args::Args::parse();
    let ended = match (&args.serve, &args.generate) {
        (Some(threads), _) => server::run(*threads).map(|()| true),
        (None, Some(job)) => generator::run(job).map(|()| true),
        (None, None) => rounds::run(&args),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("throughput: {error}");
            ExitCode::from(2)
        }
    }
}
