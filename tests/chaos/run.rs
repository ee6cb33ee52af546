//! A run: load on, faults one after another, load off, rest, check, verdict.
//!
//! Enters: a world and its faults. Leaves: the table on standard output, and every broken promise.
//!
//! **Invariant:** the check sees the whole run; nothing that broke is forgotten because something else did.

use std::time::{Duration, Instant};

use chrono::Utc;
use futures_util::future::{join, join_all};
use rand::Rng;
use rand::seq::SliceRandom;

use crate::check;
use crate::clock::pause;
use crate::diary::{Entry, Kind};
use crate::faults::{Fault, Span};
use crate::load::{Load, Pace};
use crate::report::{self, Done, Line};
use crate::world::World;

/// Before the first fault, and between two.
const WARM_UP: Duration = Duration::from_secs(2);
const CALM: Duration = Duration::from_millis(300);
/// At most this many broken promises of a world are spelt out.
const SPELT: usize = 30;
/// How long recovery is waited for: a long run leaves a backlog of a minute at 70 % of the peak.
const RECOVERY: Duration = Duration::from_secs(120);

/// How long the most that a world bears is measured, after as long a start.
const PEAK: Duration = Duration::from_secs(8);
/// More than any machine answers, so that the load is held back by the answers alone, with so many journeys under way that
/// both engines get their batches and nobody has to wait for long.
const BEYOND: Pace = Pace { rate: 50_000.0, most: 128 };
/// Of the peak, in a long run.
const SHARE: f64 = 0.7;
/// What a process may take, in KiB.
const MEMORY_KIB: u64 = 128 * 1024;

/// How a run goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Requests a second; none: [`SHARE`] of what the world bears, measured first.
    pub(crate) rate: Option<f64>,
    /// How long a fault lasts in a short run, where that is a matter of choice.
    pub(crate) lasts: Duration,
    /// How long a long run goes on drawing faults; none: each fault once.
    pub(crate) time: Option<Duration>,
    /// The load goes on after the last fault until so many requests were made.
    pub(crate) least: usize,
}

/// What a run found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) faults: Vec<String>,
    /// What each fault cost.
    pub(crate) lines: Vec<Line>,
    /// Attempts over HTTP.
    pub(crate) requests: usize,
    /// Faults done.
    pub(crate) done: usize,
}

impl Found {
    /// Adds what another world found.
    pub(crate) fn add(&mut self, other: Self) {
        self.faults.extend(other.faults);
        self.lines.extend(other.lines);
        self.requests += other.requests;
        self.done += other.done;
    }
}

/// Runs faults in a world under load.
pub(crate) async fn run(world: &World, faults: &[Fault], plan: Plan) -> Found {
    let rate = match plan.rate {
        Some(rate) => rate,
        None => SHARE * peak(world, plan.seed).await,
    };
    let load = Load::start(&world.client, &world.tenants, plan.seed, Pace::of(rate));
    pause(WARM_UP).await;
    let done = match plan.time {
        None => each(world, faults, plan.lasts).await,
        Some(time) => drawn(world, faults, time).await,
    };
    while requests(&world.diary.entries(0)) < plan.least {
        pause(CALM).await;
    }
    let held_up = load.finish().await;
    let entries = world.diary.entries(0);
    let requests = requests(&entries);
    let lines: Vec<Line> = done.iter().map(|done| report::line(done, &entries)).collect();
    println!("\nworld {}, {:.0} requests a second wished for:\n", world.ground.kind.as_str(), rate);
    report::print(&lines);
    report::evidence(&done);
    let faults = lines.iter().flat_map(|line| line.faults.clone()).collect();
    let mut found = Found { faults, lines, requests, done: done.len() };
    println!("\n  {requests} requests, {held_up} beats held up because too many were under way");
    for (name, size) in world.readings.sizes() {
        println!("  {name}: at most {} MiB, {} threads, {} files", size.rss_kib / 1024, size.threads, size.files);
        if size.rss_kib > MEMORY_KIB {
            found.faults.push(format!("{name} took {} MiB, more than {}", size.rss_kib / 1024, MEMORY_KIB / 1024));
        }
    }
    found.faults.extend(settle(world).await);
    for fault in found.faults.iter().take(SPELT) {
        println!("BROKEN: {fault}");
    }
    found
}

fn requests(entries: &[Entry]) -> usize {
    entries.iter().filter(|entry| entry.kind != Kind::Planted).count()
}

/// Requests a second that get a 200 when the next is sent as soon as one is answered.
async fn peak(world: &World, seed: u64) -> f64 {
    let load = Load::start(&world.client, &world.tenants, seed.rotate_left(32), BEYOND);
    pause(PEAK).await;
    let since = Instant::now();
    pause(PEAK).await;
    let until = Instant::now();
    load.finish().await;
    let entries = world.diary.entries(0);
    let answered = entries.iter().filter(|e| e.line.status == 200 && e.ended >= since && e.ended < until).count();
    let peak = answered as f64 / PEAK.as_secs_f64();
    println!("  {:<10} answers at most {peak:.0} requests a second", world.ground.kind.as_str());
    if let Err(why) = check::rest(&world.pool, &world.ground.rabbit).await {
        println!("  {:<10} {why}", world.ground.kind.as_str());
    }
    peak
}

/// Every fault once, in turn; beside them those that have processes of their own.
async fn each(world: &World, faults: &[Fault], lasts: Duration) -> Vec<Done> {
    let (aside, turns): (Vec<&Fault>, Vec<&Fault>) = faults.iter().partition(|fault| fault.aside);
    let in_turn = async {
        let mut done = Vec::new();
        for fault in turns {
            done.push(once(world, fault, lasts).await);
            pause(CALM).await;
        }
        done
    };
    let (mut done, beside) = join(in_turn, join_all(aside.iter().map(|fault| once(world, fault, lasts)))).await;
    done.extend(beside);
    done
}

/// Faults in an order drawn from the seed, each once before any comes again, as long as it takes, with gaps between them.
async fn drawn(world: &World, faults: &[Fault], time: Duration) -> Vec<Done> {
    let (until, mut done, mut left) = (Instant::now() + time, Vec::new(), Vec::new());
    while Instant::now() < until {
        let (fault, lasts, gap) = world.draw(|dice| {
            if left.is_empty() {
                left.extend_from_slice(faults);
                left.shuffle(dice);
            }
            let fault = left.pop().unwrap();
            let lasts =
                if dice.random_bool(0.2) { dice.random_range(20.0..60.0) } else { dice.random_range(5.0..20.0) };
            (fault, Duration::from_secs_f64(lasts), Duration::from_secs_f64(dice.random_range(0.5..8.0)))
        });
        done.push(once(world, &fault, lasts).await);
        pause(gap).await;
    }
    done
}

/// One fault, its recovery, and how it went.
async fn once(world: &World, fault: &Fault, lasts: Duration) -> Done {
    let (began, at, since) = (Instant::now(), Utc::now(), world.diary.len());
    let (mut span, over) = Span::new(lasts);
    let harm = async {
        let evidence = (fault.run)(world, &mut span).await;
        span.ends();
        evidence
    };
    let recovery = async {
        over.await.ok();
        world.recovered(since, RECOVERY).await.map(|()| Instant::now())
    };
    let (evidence, recovered) = join(harm, recovery).await;
    let off = span.off.unwrap_or(began);
    let how = evidence.as_ref().err().map_or("bit", String::as_str);
    let (kind, took) = (world.ground.kind.as_str(), began.elapsed().as_secs_f64());
    println!("  {} {kind:<10} {:<28} {took:>5.1} s  {how}", at.format("%T%.3f"), fault.name);
    Done { name: fault.name, floor: fault.floor, on: span.on, off, recovered, evidence }
}

/// Rest, then every rule.
async fn settle(world: &World) -> Vec<String> {
    world.edges.calm();
    let mut faults = Vec::new();
    match check::rest(&world.pool, &world.ground.rabbit).await {
        Ok(time) => println!("  at rest after {:.1} s", time.as_secs_f64()),
        Err(why) => faults.push(why),
    }
    let poison = world.poison.lock().unwrap().clone();
    match check::check(&world.pool, &world.diary, &poison).await {
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
