//! A long queue: how fast a worker that comes back works it off, and what it costs in memory.
//!
//! The queues are filled first; then API and worker start as two processes, a thousand idle
//! connections are opened to the API, and the clock runs until the last lead is counted. C is measured
//! on the same number of messages, because rows get dearer as indexes grow; both in turn in every round,
//! since RabbitMQ's share of the CPU differs from run to run.
//!
//! **Invariant:** the clock starts before the processes do: their start counts with the drain.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpStream;

use crate::Outcome;
use crate::args::Args;
use crate::ground::Ground;
use crate::ground::proc::{self, Cpu, Memory, Watched};
use crate::limit::{Bare, Plan};
use crate::ours::{Layout, Ours};
use crate::report::{of_series, rounded, save};
use crate::stats::{largest, median, spread};
use crate::targets::{self, verdict};

const IDLE_CONNECTIONS: usize = 1000;
const PLAN: Plan = Plan { window: 2048, batch: 512 };
const DRAINED_WITHIN: Duration = Duration::from_secs(900);

/// One queue worked off.
#[derive(Debug)]
struct Drained {
    per_s: f64,
    cpu: Cpu,
}

/// Measures, prints, and says whether the targets are met.
pub(super) async fn run(args: &Args, ground: &Ground) -> Outcome<bool> {
    let count = args.backlog;
    ground.ours_queues.declare().await?;
    let (mut bare, mut ours, mut memory) = (Vec::new(), Vec::new(), Memory::new());
    for round in 1..=args.rounds() {
        eprintln!("round {round} of {}", args.rounds());
        bare.push(c(ground, count).await?);
        ours.push(drain(args, ground, &mut memory).await?);
        for (name, series) in [("C", &bare), ("drained", &ours)] {
            eprintln!("  {name}: {:.0}/s", series.last().map_or(f64::NAN, |drained| drained.per_s));
        }
    }
    let [c, rate] = [&bare, &ours].map(|series| series.iter().map(|drained| drained.per_s).collect::<Vec<_>>());
    println!("C on {count} messages: {}; {}", said(&c), cost(&bare, count));
    println!("drained at {}; {}", said(&rate), cost(&ours, count));
    for (name, mib) in &memory {
        println!("memory of {name}: {mib:.1} MiB");
    }
    let of_c = median(&rate) / median(&c);
    let figures = json!({
        "messages": count, "c_per_s": of_series(&c), "drained_per_s": of_series(&rate), "of_c": rounded(of_c),
        "memory_mib": memory,
    });
    save("backlog", args, figures)?;
    let largest = largest(memory.iter().filter(|(name, _)| name.starts_with("leadline")).map(|(_, mib)| *mib));
    Ok(verdict(&[targets::BACKLOG.judge(of_c), targets::MEMORY.judge(largest)]))
}

async fn c(ground: &Ground, count: usize) -> Outcome<Drained> {
    let bare = Bare::on(ground);
    let own = [("bare loop".to_owned(), Watched::One(std::process::id()))];
    let watched: Vec<(String, Watched)> = ground.engines.watched().into_iter().chain(own).collect();
    bare.fill_anew(PLAN, count).await?;
    ground.bare_base.tidy().await?;
    let before = proc::cpu(&watched);
    let per_s = bare.drain_filled(PLAN, count).await?;
    Ok(Drained { per_s, cpu: proc::between(&before, &proc::cpu(&watched)) })
}

async fn drain(args: &Args, ground: &Ground, memory: &mut Memory) -> Outcome<Drained> {
    let (count, wanted) = (args.backlog, u64::try_from(args.backlog)?);
    ground.ours_base.empty().await?;
    Bare { scratch: &ground.ours_base, queues: &ground.ours_queues, seeds: &ground.seeds }.fill(PLAN, count).await?;
    ground.ours_base.tidy().await?;
    let (began, before) = (Instant::now(), proc::cpu(&ground.engines.watched()));
    let mut ours = Ours::start(ground, &args.amqp_url, Layout::Split(1)).await?;
    let mut idle = Vec::with_capacity(IDLE_CONNECTIONS);
    let job = ours.job(&ground.seeds, 1);
    for address in job.addresses.iter().cycle().take(IDLE_CONNECTIONS) {
        idle.push(TcpStream::connect(address).await?);
    }
    while ground.ours_base.counted().await? < wanted {
        if began.elapsed() > DRAINED_WITHIN {
            return Err(format!("not drained within {DRAINED_WITHIN:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let per_s = count as f64 / began.elapsed().as_secs_f64();
    let cpu = proc::between(&before, &proc::cpu(&ours.watched()));
    for (name, mib) in ours.memory() {
        memory.entry(name).and_modify(|most| *most = most.max(mib)).or_insert(mib);
    }
    drop(idle);
    ours.stop().await?;
    Ok(Drained { per_s, cpu })
}

fn said(per_s: &[f64]) -> String {
    format!("{:.0}/s (spread {:.0} %)", median(per_s), 100.0 * spread(per_s))
}

fn cost(series: &[Drained], count: usize) -> String {
    let rounds: Vec<_> = series.iter().map(|drained| (&drained.cpu, count as f64)).collect();
    let words: Vec<String> =
        proc::per_item(&rounds).iter().map(|(name, micros)| format!("{name} {micros:.1}")).collect();
    format!("CPU s per million: {}", words.join(", "))
}
