//! A long queue: how fast a worker that comes back works it off, and what it costs in memory.
//!
//! The queues are filled first; then API and worker start as two processes, a thousand idle
//! connections are opened to the API, and the clock runs until the last lead is counted. C is measured
//! on the same number of messages, because rows get dearer as indexes grow.
//!
//! **Invariant:** the clock starts before the processes do: their start counts with the drain.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::Outcome;
use crate::args::Args;
use crate::bare::{Bare, Plan};
use crate::ours::Ours;
use crate::proc::{self, Cpu, Watched};
use crate::queues::Queues;
use crate::scratch::{Scratch, Seeds};

/// Drain rate as a share of C.
const RATIO: f64 = 0.7;
/// Resident memory of each process.
const MEMORY_MIB: f64 = 128.0;
const IDLE_CONNECTIONS: usize = 1000;
const PLAN: Plan = Plan { window: 2048, batch: 512 };
const DRAINED_WITHIN: Duration = Duration::from_secs(900);

/// Measures, prints, and says whether the targets are met.
pub(crate) async fn run(
    args: &Args,
    bare: &Bare<'_>,
    (scratch, queues, seeds): (&Scratch, &Queues, &Seeds),
    engines: Vec<(String, Watched)>,
) -> Outcome<bool> {
    let count = args.backlog;
    let own = [("bare loop".to_owned(), Watched::One(std::process::id()))];
    let watched: Vec<(String, Watched)> = engines.iter().cloned().chain(own).collect();
    bare.fill_anew(PLAN, count).await?;
    let before = proc::cpu(&watched);
    let c = bare.drain_filled(PLAN, count).await?;
    println!("C on {count} messages: {c:.0}/s; {}", cost(&before, &proc::cpu(&watched), count));
    queues.declare().await?;
    Bare { scratch, queues, seeds }.fill(PLAN, count).await?;
    println!("{count} messages are queued");
    let (began, before) = (Instant::now(), proc::cpu(&engines));
    let mut ours = Ours::start((scratch, queues, seeds), &args.amqp_url, args.connections, true, engines).await?;
    let mut idle = Vec::with_capacity(IDLE_CONNECTIONS);
    for _ in 0..IDLE_CONNECTIONS {
        idle.push(TcpStream::connect(&ours.job().address).await?);
    }
    while scratch.recorded().await? < i64::try_from(count)? {
        if began.elapsed() > DRAINED_WITHIN {
            return Err(format!("not drained within {DRAINED_WITHIN:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of messages")]
    let rate = count as f64 / began.elapsed().as_secs_f64();
    let cpu = cost(&before, &proc::cpu(&ours.watched()), count);
    println!("drained at {rate:.0}/s = {:.2} C (target {RATIO}); {cpu}", rate / c);
    let mut met = rate >= RATIO * c;
    for (name, mib) in ours.memory_by_process() {
        println!("memory of {name}: {mib:.1} MiB at its largest (target {MEMORY_MIB})");
        met &= mib <= MEMORY_MIB;
    }
    drop(idle);
    ours.stop().await?;
    println!("{}", if met { "targets met" } else { "TARGET MISSED" });
    Ok(met)
}

fn cost(before: &Cpu, after: &Cpu, count: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a count of messages")]
    let each = |used: &f64| used * 1e6 / count as f64;
    let used = proc::between(before, after);
    let words: Vec<String> = used.iter().map(|(name, used)| format!("{name} {:.1}", each(used))).collect();
    format!("µs of CPU each: {}", words.join(", "))
}
