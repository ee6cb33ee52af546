//! The whole suite: reads the arguments, runs the worlds one after another, says what came of it.
//!
//! **Invariant:** the last line says how to repeat the run, and the exit code is 0 only if all was well.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;

use crate::args::Args;
use crate::faults;
use crate::run::{Plan, run};
use crate::world::World;

const SHORT_RATE: f64 = 220.0;
/// At most this many broken promises are spelt out.
const SPELT: usize = 40;

/// Runs what the arguments ask for.
pub(crate) fn main() -> ExitCode {
    let args = Args::read();
    if args.list {
        for fault in faults::all() {
            println!("{:<28} {}", fault.name, fault.does);
        }
        return ExitCode::SUCCESS;
    }
    if args.filtered_out() {
        println!("chaos: filtered out");
        return ExitCode::SUCCESS;
    }
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
    let sound = runtime.block_on(worlds(&args));
    runtime.shutdown_timeout(Duration::from_secs(1));
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn worlds(args: &Args) -> bool {
    let (began, seed) = (Instant::now(), args.seed_or_fresh());
    println!("chaos: seed {seed}");
    let folder = args.folder.clone().unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("chaos"));
    let folder = folder.join(seed.to_string());
    let faults: Vec<_> = faults::all().into_iter().filter(|fault| args.wants(fault.name)).collect();
    let plan = Plan { seed, rate: args.rate.unwrap_or(SHORT_RATE), lasts: Duration::from_millis(5500) };
    let world =
        World::start(&folder.join("single"), &required("TEST_DATABASE_URL"), &required("TEST_AMQP_URL"), seed).await;
    let found = run(&world, &faults, plan).await;
    world.end();
    for fault in found.faults.iter().take(SPELT) {
        println!("BROKEN: {fault}");
    }
    let verdict = if found.faults.is_empty() { "passed" } else { "FAILED" };
    println!(
        "\nchaos: {verdict}: seed {seed}, {} requests, {} faults, {} broken promises, {:.0} s; logs in {}\nchaos: again: {}",
        found.requests,
        faults.len(),
        found.faults.len(),
        began.elapsed().as_secs_f64(),
        folder.display(),
        args.again(seed)
    );
    found.faults.is_empty()
}

#[expect(clippy::disallowed_methods, reason = "the tests' own engines, as deploy/dev names them")]
fn required(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: use deploy/dev chaos"))
}
