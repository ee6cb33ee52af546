//! One tenant floods, another must not notice.
//!
//! Tenant A sends as fast as the machine lets it, over more connections than it may have requests
//! under way; tenant B sends 50 requests per second, open loop, from a process of its own.
//!
//! **Invariant:** B's requests are due at fixed times, so a slow answer delays none of them unseen.

use crate::Outcome;
use crate::args::Args;
use crate::load::{self, Job};
use crate::ours::Ours;
use crate::proc::Watched;
use crate::queues::Queues;
use crate::scratch::{Scratch, Seeds};

/// Connections of A: more than one workspace may have requests under way (a third of `intake.max_in_flight`), and fewer than
/// `http.max_connections`, which know no tenants. Whoever is refused asks again at once, so A sends what it can.
const FLOOD: usize = 3000;
/// Connections of B, each with so many requests per second.
const CALM: usize = 25;
const CALM_PACE: f64 = 2.0;
/// B's slow end, in milliseconds.
const P99_MS: f64 = 500.0;

/// Measures, prints, and says whether the targets are met.
pub(crate) async fn run(
    args: &Args,
    (scratch, queues, seeds): (&Scratch, &Queues, &Seeds),
    engines: Vec<(String, Watched)>,
) -> Outcome<bool> {
    let calm = Seeds::new("calm")?;
    scratch.settle(&calm).await?;
    let mut ours = Ours::start((scratch, queues, seeds), &args.amqp_url, FLOOD, args.split, engines).await?;
    let seconds = f64::from(args.seconds);
    let flood = Job { seconds: seconds + 4.0, connections: FLOOD, ..ours.job().clone() };
    let b = calm.job(&flood.address, CALM);
    let b = Job { seconds, pace: CALM_PACE, ..b };
    let begun = async {
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        load::run(&b).await
    };
    let (a, b) = tokio::join!(load::run(&flood), begun);
    let (a, b) = (a?, b?);
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    let sent = a.by_status.values().sum::<u64>() as f64 / a.took_s;
    println!(
        "A: {FLOOD} connections, {sent:.0} sent and {:.0} answered 200 per second; {}",
        a.per_s(),
        words(a.trouble())
    );
    println!(
        "B: {:.0}/s, p50 {:.1} ms, p99 {:.1} ms (target {P99_MS}); {}",
        b.per_s(),
        b.p50_ms,
        b.p99_ms,
        words(b.trouble())
    );
    for (name, mib) in ours.memory_by_process() {
        println!("memory of {name}: {mib:.1} MiB at its largest");
    }
    let diary = ours.check_diary().await?;
    ours.stop().await?;
    let met = b.trouble().is_none() && b.ok() > 0 && b.p99_ms < P99_MS && diary;
    println!("{}", if met { "targets met" } else { "TARGET MISSED" });
    Ok(met)
}

fn words(trouble: Option<String>) -> String {
    trouble.unwrap_or_else(|| "every request answered 200".to_owned())
}
