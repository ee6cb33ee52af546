//! Throughput: the whole walk of a lead, HTTP to commit, beside the most this machine could do.
//!
//! Everything shares the same cores, so the yardstick is a limit measured in the same run, rounds
//! interleaved: H, a bare HTTP server that answers the same body; P, a bare loop publish, confirm,
//! consume, insert the same rows; C, P on a pre-filled queue; L = 1/(1/H + 1/P). One load generator
//! drives H and us alike: our own rather than wrk, because the run's diary has to say what each
//! request was and got, which wrk cannot; its share of the CPU is printed. `--help` explains every part.
//!
//! **Invariant:** exits non-zero when a figure misses its target or the diary's books do not balance.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command for people: its table is its output")]

use std::process::ExitCode;

use clap::Parser;

#[path = "throughput/args.rs"]
mod args;
#[path = "throughput/ground/mod.rs"]
mod ground;
#[path = "throughput/limit/mod.rs"]
mod limit;
#[path = "throughput/load/mod.rs"]
mod load;
#[path = "throughput/ours/mod.rs"]
mod ours;
#[path = "throughput/parts/mod.rs"]
mod parts;
#[path = "../tests/it/harness/port.rs"]
mod port;
#[path = "throughput/report/mod.rs"]
mod report;
#[path = "throughput/stats.rs"]
mod stats;
#[path = "throughput/targets.rs"]
mod targets;

/// As Leadline has it, so that the limit is not held down by another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What every part returns: whatever went wrong is printed once, here.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    let args = args::Args::parse();
    // Thousands of connections; where they are not allowed, opening them says so.
    drop(rlimit::increase_nofile_limit(u64::MAX));
    let ended = match args.serve {
        Some(threads) => limit::serve(threads).map(|()| true),
        None if args.generate => load::generate().map(|()| true),
        None => parts::run(&args),
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
