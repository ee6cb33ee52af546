//! What can be measured, one file each; this one chooses.
//!
//! Enters: the arguments. Leaves: whether every target of what was asked for is met.
//!
//! **Invariant:** databases and queues are removed, also after a failure or Ctrl-C.

mod backlog;
mod batch;
mod peer;
mod scale_links;
mod scale_processes;
mod scale_rows;
mod scale_workers;
mod stretches;
mod tenants;
mod whole;

use crate::Outcome;
use crate::args::{Args, Part};
use crate::ground::Ground;
use crate::ours::Layout;

/// Measures, prints, and says whether every target is met.
pub(crate) fn run(args: &Args) -> Outcome<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        if args.peer.is_some() {
            return or_interrupted(peer::run(args)).await;
        }
        let ground = Ground::prepare(args).await?;
        let met = or_interrupted(part(args, &ground)).await;
        let cleared = ground.clear().await;
        let met = met?;
        cleared.map(|()| met)
    })
}

async fn part(args: &Args, ground: &Ground) -> Outcome<bool> {
    match args.only {
        Some(Part::Backlog) => Box::pin(backlog::run(args, ground)).await,
        Some(Part::Tenants) => Box::pin(tenants::run(args, ground)).await,
        Some(Part::ScaleRows) => Box::pin(scale_rows::run(args, ground)).await,
        Some(Part::ScaleLinks) => Box::pin(scale_links::run(args, ground)).await,
        Some(Part::ScaleProcesses) => Box::pin(scale_processes::run(args, ground)).await,
        Some(Part::ScaleWorkers) => Box::pin(scale_workers::run(args, ground)).await,
        Some(Part::Batch) => Box::pin(batch::run(args, ground)).await,
        None | Some(Part::H | Part::P | Part::C | Part::Ours | Part::Wait) => Box::pin(whole::run(args, ground)).await,
    }
}

async fn or_interrupted(part: impl Future<Output = Outcome<bool>>) -> Outcome<bool> {
    tokio::select! {
        met = part => met,
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
    }
}

/// Which processes the arguments ask for.
fn layout(args: &Args) -> Layout {
    if args.all { Layout::All } else { Layout::Split(1) }
}
