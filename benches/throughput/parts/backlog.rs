//! A long queue: how fast a worker that comes back works it off, and what it costs in memory.
//!
//! The queues are filled first; then API and worker start as two processes, a thousand idle
//! connections are opened to the API, and the clock runs until the last lead is counted. C is measured
//! on the same number of messages, because rows get dearer as indexes grow.
//!
//! **Invariant:** the clock starts before the processes do: their start counts with the drain.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpStream;

use crate::Outcome;
use crate::args::Args;
use crate::ground::Ground;
use crate::ground::proc::{self, Cpu, Watched};
use crate::limit::{Bare, Plan};
use crate::ours::{Layout, Ours};
use crate::report::{rounded, save};
use crate::stats::largest;
use crate::targets::{self, verdict};

const IDLE_CONNECTIONS: usize = 1000;
const PLAN: Plan = Plan { window: 2048, batch: 512 };
const DRAINED_WITHIN: Duration = Duration::from_secs(900);

/// Measures, prints, and says whether the targets are met.
pub(super) async fn run(args: &Args, ground: &Ground) -> Outcome<bool> {
    let count = args.backlog;
    let bare = Bare::on(ground);
    let own = [("bare loop".to_owned(), Watched::One(std::process::id()))];
    let watched: Vec<(String, Watched)> = ground.engines.watched().into_iter().chain(own).collect();
    bare.fill_anew(PLAN, count).await?;
    let before = proc::cpu(&watched);
    let c = bare.drain_filled(PLAN, count).await?;
    println!("C on {count} messages: {c:.0}/s; {}", cost(&before, &proc::cpu(&watched), count));
    ground.ours_queues.declare().await?;
    Bare { scratch: &ground.ours_base, queues: &ground.ours_queues, seeds: &ground.seeds }.fill(PLAN, count).await?;
    println!("{count} messages are queued");
    let (began, before) = (Instant::now(), proc::cpu(&ground.engines.watched()));
    let mut ours = Ours::start(ground, &args.amqp_url, Layout::Split(1)).await?;
    let mut idle = Vec::with_capacity(IDLE_CONNECTIONS);
    let job = ours.job(&ground.seeds, 1);
    for address in job.addresses.iter().cycle().take(IDLE_CONNECTIONS) {
        idle.push(TcpStream::connect(address).await?);
    }
    let wanted = u64::try_from(count)?;
    while ground.ours_base.counted().await? < wanted {
        if began.elapsed() > DRAINED_WITHIN {
            return Err(format!("not drained within {DRAINED_WITHIN:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let rate = count as f64 / began.elapsed().as_secs_f64();
    let cpu = cost(&before, &proc::cpu(&ours.watched()), count);
    println!("drained at {rate:.0}/s; {cpu}");
    let memory = ours.memory();
    for (name, mib) in &memory {
        println!("memory of {name}: {mib:.1} MiB");
    }
    drop(idle);
    ours.stop().await?;
    let figures = json!({
        "messages": count, "c_per_s": rounded(c), "drained_per_s": rounded(rate), "of_c": rounded(rate / c),
        "memory_mib": memory,
    });
    save("backlog", args, figures)?;
    let largest = largest(memory.iter().filter(|(name, _)| name.starts_with("leadline")).map(|(_, mib)| *mib));
    Ok(verdict(&[targets::BACKLOG.judge(rate / c), targets::MEMORY.judge(largest)]))
}

fn cost(before: &Cpu, after: &Cpu, count: usize) -> String {
    let used = proc::between(before, after);
    let words: Vec<String> =
        used.iter().map(|(name, used)| format!("{name} {:.1}", used * 1e6 / count as f64)).collect();
    format!("CPU s per million: {}", words.join(", "))
}
