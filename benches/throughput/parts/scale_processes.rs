//! More processes on the same machine: 1, 2, 4, 8 APIs and as many workers. They cannot add cores, but they must
//! not get in each other's way either.
//!
//! Leads that travel together share what a message, a look-up and a transaction cost, and each process has company of its own only.
//! So it is measured with few connections, of which eight processes have eight each, and with as many as a peak is measured with.
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
const CONNECTIONS: [usize; 2] = [64, 256];

/// So many APIs and as many workers, under so many connections.
struct Spread {
    each: usize,
    connections: usize,
    cell: Cell,
}

impl Spread {
    fn of(each: usize, connections: usize) -> Self {
        let cell = Cell { traffic: Traffic::Async, how: How::Closed(connections), runs: Vec::new() };
        Self { each, connections, cell }
    }
}

/// Measures, prints, and says whether the targets are met.
pub(super) async fn run(args: &Args, ground: &Ground) -> Outcome<bool> {
    let mut spreads = CONNECTIONS.map(|connections| PROCESSES.map(|each| Spread::of(each, connections)));
    let mut tally = Tally::default();
    for round in 1..=args.rounds() {
        eprintln!("round {round} of {}", args.rounds());
        for Spread { each, connections, cell } in spreads.as_flattened_mut() {
            let mut ours = Ours::start(ground, &args.amqp_url, Layout::Split(*each)).await?;
            ours.fresh().await?;
            tally.run(&ours, &ours.job(&ground.seeds, *connections)).await?;
            tally.check_and_empty(&ours).await?;
            let job = Job { seconds: args.seconds(), ..ours.job(&ground.seeds, *connections) };
            cell.runs.push(tally.run(&ours, &job).await?);
            tally.check(&ours).await?;
            ours.stop().await?;
        }
    }
    let named = |one: &Spread| format!("{0} API, {0} worker, {1}", one.each, one.connections);
    let cells: Vec<_> = spreads.as_flattened().iter().map(|one| (named(one), &one.cell)).collect();
    print_cells(&cells);
    let worst = spreads.each_ref().map(|same| worst_of_best_before(same));
    let figures = spreads.as_flattened().iter().map(|one| {
        json!({ "processes_of_each_kind": one.each, "connections": one.connections, "load": cell_json(&one.cell) })
    });
    let figures: Vec<_> = figures.collect();
    save("scale-processes", args, json!({ "processes": figures, "worst_of_best_before": worst.map(rounded) }))?;
    let series = spreads.each_ref().map(|same| {
        let rates = |one: &Spread| (one.each, one.cell.each(|run| run.ended_per_s));
        (format!("{} connections", same[0].connections), same.iter().map(rates).collect())
    });
    plot_workers(&series)?;
    println!("plot:    target/bench/workers.svg");
    let lines = [targets::PROCESSES_FEW.judge(worst[0]), targets::PROCESSES_MANY.judge(worst[1])];
    Ok(verdict(&lines.into_iter().chain(tally.lines()).collect::<Vec<_>>()))
}

/// The least share of the best rate with fewer processes.
fn worst_of_best_before(spreads: &[Spread]) -> f64 {
    let (mut best, mut worst) = (0.0_f64, f64::NAN);
    for rate in spreads.iter().map(|one| one.cell.ended_per_s()) {
        if best > 0.0 {
            worst = worst.min(rate / best);
        }
        best = best.max(rate);
    }
    worst
}
