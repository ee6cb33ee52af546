//! More processes on the same machine: 1, 2, 4, 8 APIs and as many workers. They cannot add cores, but they must
//! not get in each other's way either.
//!
//! **Invariant:** connections are spread evenly over the APIs; the load is the same whatever their number.

use serde_json::json;

use crate::Outcome;
use crate::args::Args;
use crate::ground::Ground;
use crate::load::{Job, Traffic};
use crate::ours::{Layout, Ours};
use crate::report::{Cell, How, cell_json, plot_workers, print_cells, rounded, save};
use crate::targets::{self, verdict};

use super::stretches::Tally;

const PROCESSES: [usize; 4] = [1, 2, 4, 8];
const CONNECTIONS: usize = 64;

/// Measures, prints, and says whether the target is met.
pub(super) async fn run(args: &Args, ground: &Ground) -> Outcome<bool> {
    let cell = || Cell { traffic: Traffic::Async, how: How::Closed(CONNECTIONS), runs: Vec::new() };
    let mut cells = PROCESSES.map(|each| (each, cell()));
    let mut tally = Tally::default();
    for round in 1..=args.rounds() {
        eprintln!("round {round} of {}", args.rounds());
        for (each, cell) in &mut cells {
            let mut ours = Ours::start(ground, &args.amqp_url, Layout::Split(*each)).await?;
            ours.fresh().await?;
            tally.run(&ours, &ours.job(&ground.seeds, CONNECTIONS)).await?;
            tally.check_and_empty(&ours).await?;
            let job = Job { seconds: args.seconds(), ..ours.job(&ground.seeds, CONNECTIONS) };
            cell.runs.push(tally.run(&ours, &job).await?);
            tally.check(&ours).await?;
            ours.stop().await?;
        }
    }
    let named = |each: &usize| format!("{each} API, {each} worker");
    print_cells(&cells.iter().map(|(each, cell)| (named(each), cell)).collect::<Vec<_>>());
    let (mut best, mut worst) = (0.0_f64, f64::NAN);
    for (_, cell) in &cells {
        let rate = cell.ended_per_s();
        if best > 0.0 {
            worst = worst.min(rate / best);
        }
        best = best.max(rate);
    }
    let figures: Vec<_> =
        cells.iter().map(|(each, cell)| json!({ "processes_of_each_kind": each, "load": cell_json(cell) })).collect();
    save("scale-processes", args, json!({ "processes": figures, "worst_of_best_before": rounded(worst) }))?;
    let series: Vec<(usize, Vec<f64>)> =
        cells.iter().map(|(each, cell)| (*each, cell.each(|run| run.ended_per_s))).collect();
    plot_workers(&series)?;
    println!("plot:    target/bench/workers.svg");
    let lines = [targets::PROCESSES.judge(worst)];
    Ok(verdict(&lines.into_iter().chain(tally.lines()).collect::<Vec<_>>()))
}
