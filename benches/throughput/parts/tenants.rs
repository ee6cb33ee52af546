//! One tenant floods, another must not notice.
//!
//! Tenant A sends as fast as the machine lets it, over more connections than it may have requests
//! under way; tenant B sends 50 requests per second, open loop, from a process of its own.
//!
//! **Invariant:** B's requests are timed from when they were due, so a slow answer hides no other.

use std::time::Duration;

use serde_json::json;

use crate::Outcome;
use crate::args::Args;
use crate::ground::{Ground, Seeds};
use crate::load::{self, Job, Load};
use crate::ours::Ours;
use crate::report::{rounded, save};
use crate::targets::{self, verdict};

use super::layout;

/// Connections of A: more than one workspace may have leads under way (a third of `intake.max_in_flight`), and fewer than
/// `http.max_connections`, which know no tenants. Whoever is refused asks again at once, so A sends what it can.
const FLOOD: usize = 3000;
/// Connections of B, and its requests per second.
const CALM: usize = 25;
const CALM_RATE: f64 = 50.0;
/// A floods so long before B begins, and so much longer in all.
const AHEAD: Duration = Duration::from_secs(3);
const LONGER_S: f64 = 4.0;

/// Measures, prints, and says whether the targets are met.
pub(super) async fn run(args: &Args, ground: &Ground) -> Outcome<bool> {
    let calm = Seeds::new("calm")?;
    ground.ours_base.settle(&calm).await?;
    let mut ours = Ours::start(ground, &args.amqp_url, layout(args)).await?;
    ours.fresh().await?;
    // Long enough for a p99.
    let seconds = 2.0 * args.seconds();
    let flood = Job { seconds: seconds + LONGER_S, ..ours.job(&ground.seeds, FLOOD) };
    let b = Job { seconds, rate: CALM_RATE, ..ours.job(&calm, CALM) };
    let begun = async {
        tokio::time::sleep(AHEAD).await;
        load::run(&b).await
    };
    let (a, b) = tokio::join!(load::run(&flood), begun);
    let (a, b) = (a?, b?);
    println!("A: {FLOOD} connections, {:.0} answered 200 per second; {}", a.per_s(), words(&a));
    let times = b.times;
    println!("B: {:.0}/s, p50 {:.1} ms, p99 {:.1} ms; {}", b.per_s(), times.p50, times.p99, words(&b));
    let memory = ours.memory();
    for (name, mib) in &memory {
        println!("memory of {name}: {mib:.1} MiB");
    }
    let fault = ours.ledger().await?;
    ours.stop().await?;
    let figures = json!({
        "flood_accepted_per_s": rounded(a.per_s()), "calm_per_s": rounded(b.per_s()),
        "calm_p50_ms": rounded(times.p50), "calm_p99_ms": rounded(times.p99), "memory_mib": memory,
    });
    save("tenants", args, figures)?;
    Ok(verdict(&[
        targets::TENANT.judge(times.p99),
        (b.trouble().is_none() && b.ok() > 0, format!("the calm tenant: {}", words(&b))),
        (fault.is_none(), fault.unwrap_or_else(|| "diary and books agree".to_owned())),
    ]))
}

fn words(load: &Load) -> String {
    load.trouble().unwrap_or_else(|| "every request answered 200".to_owned())
}
