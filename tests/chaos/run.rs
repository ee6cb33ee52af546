//! A run: load on, faults one after another, load off, rest, check, verdict.
//!
//! Enters: a world and its faults. Leaves: the table on standard output, and every broken promise.
//!
//! **Invariant:** the check sees the whole run; nothing that broke is forgotten because something else did.

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use crate::check;
use crate::clock::pause;
use crate::faults::{Fault, Span};
use crate::load::Load;
use crate::report::{self, Done, Line};
use crate::world::World;

/// Before the first fault, and between two.
const WARM_UP: Duration = Duration::from_secs(2);
const CALM: Duration = Duration::from_millis(600);
const RECOVERY: Duration = Duration::from_secs(30);

/// How a run goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) rate: f64,
    /// How long a fault lasts that lasts as long as it is told.
    pub(crate) lasts: Duration,
}

/// What a run found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) faults: Vec<String>,
    pub(crate) requests: usize,
}

/// Runs faults in a world under load.
pub(crate) async fn run(world: &World, faults: &[Fault], plan: Plan) -> Found {
    let load = Load::start(&world.client, &world.tenants, plan.seed, plan.rate);
    pause(WARM_UP).await;
    let mut done = Vec::new();
    for fault in faults {
        done.push(once(world, fault, plan.lasts).await);
        pause(CALM).await;
    }
    let held_up = load.finish().await;
    let mut found = Found::default();
    let entries = world.diary.entries(0);
    found.requests = entries.len();
    let lines: Vec<Line> = done.iter().map(|done| report::line(done, &entries)).collect();
    report::print(&done, &lines);
    found.faults.extend(lines.into_iter().flat_map(|line| line.faults));
    println!("\n  {} requests, {held_up} beats held up because too many were under way", entries.len());
    for (name, size) in world.readings.sizes() {
        println!("  {name}: at most {} MiB, {} threads, {} files", size.rss_kib / 1024, size.threads, size.files);
    }
    found.faults.extend(settle(world).await);
    found
}

/// One fault, its recovery, and how it went.
async fn once(world: &World, fault: &Fault, lasts: Duration) -> Done {
    let began = Instant::now();
    let mut span = Span::new(lasts);
    let harm: BoxFuture<'_, _> = (fault.run)(world, &mut span);
    let evidence = harm.await;
    let off = span.off.unwrap_or_else(Instant::now);
    let recovered = world.recovered(RECOVERY).await.map(|()| Instant::now());
    let how = evidence.as_ref().err().map_or("bit", String::as_str);
    println!("{:>6.1} s  {:<28} {how}", began.elapsed().as_secs_f64(), fault.name);
    Done { name: fault.name, floor: fault.floor, on: span.on, off, recovered, evidence }
}

/// Rest, then every rule.
async fn settle(world: &World) -> Vec<String> {
    world.edges.calm();
    let mut faults = Vec::new();
    match check::rest(&world.pool, &world.queues).await {
        Ok(time) => println!("  at rest after {:.1} s", time.as_secs_f64()),
        Err(why) => faults.push(why),
    }
    let allowances = world.allowances.lock().unwrap().clone();
    match check::check(&world.pool, &world.diary, &allowances).await {
        Ok((broken, books)) => {
            println!("  {} rows checked, {} broken promises", books.leads.len(), broken.len());
            faults.extend(broken);
        }
        Err(why) => faults.push(why),
    }
    match check::ledger(&world.database, &world.folder.join("diary.ndjson")) {
        Ok(said) => println!("  leadline ledger --diary: {}", said.lines().next().unwrap_or_default()),
        Err(why) => faults.push(why),
    }
    faults
}
