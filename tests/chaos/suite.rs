//! The whole suite: reads the arguments, runs the worlds one after another, says what came of it.
//!
//! **Invariant:** the last line says how to repeat the run, and the exit code is 0 only if all was well.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures_util::future::join;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::Args;
use crate::faults::{self, Fault};
use crate::ground::{Ground, Kind};
use crate::process::fresh_folder;
use crate::report;
use crate::run::{Found, Plan, run};
use crate::world::World;

const WORLDS: [Kind; 3] = [Kind::Single, Kind::Cluster, Kind::Spare];
/// Together what two slow cores bear, with three worlds' engines on them.
const SHORT_RATE: f64 = 110.0;
const SHORT_RATE_BESIDE: f64 = 90.0;
/// Enough for the floor to be measured in the last third.
const LASTS: Duration = Duration::from_millis(4800);
/// What the short run promises to send.
const SHORT_REQUESTS: usize = 20_000;

/// Runs what the arguments ask for.
pub(crate) fn main() -> ExitCode {
    let args = Args::read();
    if args.list {
        for (kind, fault) in WORLDS.iter().flat_map(|kind| faults::of(*kind).into_iter().map(move |f| (kind, f))) {
            println!("{:<11} {:<28} {}", kind.as_str(), fault.name, fault.does);
        }
        return ExitCode::SUCCESS;
    }
    if args.filtered_out() {
        println!("chaos: filtered out");
        return ExitCode::SUCCESS;
    }
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
    // Dropped when interrupted, the worlds take their processes and engines with them.
    let sound = runtime.block_on(async {
        tokio::select! {
            sound = worlds(&args) => sound,
            () = interrupted() => {
                println!("chaos: interrupted");
                false
            }
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn interrupted() {
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    let mut interrupt = signal(SignalKind::interrupt()).unwrap();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

async fn worlds(args: &Args) -> bool {
    let (began, seed) = (Instant::now(), args.seed_or_fresh());
    println!("chaos: seed {seed}");
    let folder = args.folder.clone().unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("chaos"));
    let folder = folder.join(seed.to_string());
    let found = Box::pin(stages(args, seed, &folder)).await;
    if args.minutes.is_some() {
        println!("\nall worlds, a line for each fault; times are median and longest:\n");
        report::print(&report::together(&found.lines));
    }
    let verdict = if found.faults.is_empty() { "passed" } else { "FAILED" };
    println!(
        "\nchaos: {verdict}: seed {seed}, {} requests, {} faults, {} broken promises, {:.0} s; logs in {}\nchaos: again: {}",
        found.requests,
        found.done,
        found.faults.len(),
        began.elapsed().as_secs_f64(),
        folder.display(),
        args.again(seed)
    );
    found.faults.is_empty()
}

/// A short run has the single world, and beside it the other two one after another; engines start while others are at work.
/// In a long one each world has the machine to itself, since what it bears is measured: the single one half of the time.
async fn stages(args: &Args, seed: u64, folder: &Path) -> Found {
    let plan = |rate, share: f64| {
        let least = if args.wants_all() { (SHORT_REQUESTS as f64 * share).ceil() as usize } else { 0 };
        Plan { seed, rate: args.rate.or(Some(rate)), lasts: LASTS, time: None, least }
    };
    if args.minutes.is_some() {
        let mut found = Found::default();
        for (kind, share) in [(Kind::Single, 0.5), (Kind::Spare, 0.25), (Kind::Cluster, 0.25)] {
            let plan = Plan { rate: args.rate, time: args.time(share), ..plan(0.0, 0.0) };
            found.add(Box::pin(world(args, ground(args, kind, folder).await, plan, folder)).await);
        }
        return found;
    }
    let one = async { world(args, ground(args, Kind::Single, folder).await, plan(SHORT_RATE, 0.6), folder).await };
    let beside = async {
        let spare = ground(args, Kind::Spare, folder).await;
        let second = Box::pin(world(args, spare, plan(SHORT_RATE_BESIDE, 0.2), folder));
        let (mut found, cluster) = join(second, ground(args, Kind::Cluster, folder)).await;
        found.add(world(args, cluster, plan(SHORT_RATE_BESIDE, 0.2), folder).await);
        found
    };
    let (mut found, others) = join(Box::pin(one), Box::pin(beside)).await;
    found.add(others);
    if args.wants_all() && found.requests < SHORT_REQUESTS {
        let few = format!("only {} requests were sent, {SHORT_REQUESTS} are promised", found.requests);
        println!("BROKEN: {few}");
        found.faults.push(few);
    }
    found
}

fn wanted(args: &Args, kind: Kind) -> Vec<Fault> {
    faults::of(kind).into_iter().filter(|fault| args.wants(kind.as_str(), fault.name)).collect()
}

/// The engines of a world, unless nothing is wanted of it; the error says that they did not come up.
#[expect(clippy::disallowed_methods, reason = "joined at once: engines that fail us must not hide what others showed")]
async fn ground(args: &Args, kind: Kind, folder: &Path) -> Result<Option<Ground>, String> {
    if wanted(args, kind).is_empty() {
        return Ok(None);
    }
    let (folder, began, long) = (folder.join(kind.as_str()), Instant::now(), args.minutes.is_some());
    fresh_folder(&folder);
    let ground = tokio::spawn(async move { Ground::start(kind, &folder, long).await }).await;
    let ground = ground.map_err(|_| format!("the engines of world {} did not come up", kind.as_str()))?;
    println!("  {:<10} engines up after {:.1} s", kind.as_str(), began.elapsed().as_secs_f64());
    Ok(Some(ground))
}

async fn world(args: &Args, ground: Result<Option<Ground>, String>, plan: Plan, folder: &Path) -> Found {
    let ground = match ground {
        Ok(Some(ground)) => ground,
        Ok(None) => return Found::default(),
        Err(why) => {
            println!("BROKEN: {why}");
            return Found { faults: vec![why], ..Found::default() };
        }
    };
    let kind = ground.kind;
    let world = World::start(&folder.join(kind.as_str()), ground, plan.seed, plan.time.is_some()).await;
    let faults: Vec<Fault> = wanted(args, kind).into_iter().filter(|f| world.ground.bears(f.name)).collect();
    let found = run(&world, &faults, plan).await;
    world.end();
    found
}
