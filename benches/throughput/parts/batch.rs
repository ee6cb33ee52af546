//! Leads by the body: `POST /track/lead/batch` with 1 000 and with 100 leads each, beside P.
//!
//! P and every size of body with every number of connections, in turn in every round.
//!
//! **Invariant:** a lead counts when its row is committed, as everywhere; the body's answer alone says nothing.

use serde_json::json;

use crate::Outcome;
use crate::args::Args;
use crate::ground::Ground;
use crate::limit::Bare;
use crate::load::{Job, Traffic};
use crate::ours::Ours;
use crate::report::{self, Figures, How, of_series, rounded, save};
use crate::stats::{largest, median};
use crate::targets::{self, verdict};

use super::layout;
use super::stretches::Tally;

/// Leads in a body: the most allowed, which is judged, and a tenth of it.
const SIZES: [usize; 2] = [1000, 100];
const CONNECTIONS: [usize; 3] = [1, 4, 16];

/// Measures, prints, and says whether the target is met.
pub(super) async fn run(args: &Args, ground: &Ground) -> Outcome<bool> {
    let bare = Bare::on(ground);
    let (plan, rate) = bare.sweep(args.quick).await?;
    let mut ours = Ours::start(ground, &args.amqp_url, layout(args)).await?;
    let (mut figures, mut tally) = (Figures::default(), Tally::default());
    for round in 1..=args.rounds() {
        eprintln!("round {round} of {}", args.rounds());
        figures.p.push(bare.through(plan, (rate * args.seconds()) as usize).await?);
        for (size, connections) in SIZES.iter().flat_map(|size| CONNECTIONS.map(|n| (*size, n))) {
            ours.fresh().await?;
            let traffic = Traffic::Bulk(size);
            let job = Job { seconds: args.seconds(), traffic, ..ours.job(&ground.seeds, connections) };
            let stretch = tally.run(&ours, &job).await?;
            tally.check(&ours).await?;
            figures.note(traffic, How::Closed(connections), stretch);
        }
    }
    let memory = ours.memory();
    ours.stop().await?;
    let p = median(&figures.p);
    println!("P: {p:.0}/s");
    let named = |cell: &report::Cell| match cell.how {
        How::Closed(connections) => format!("{:<14} {connections:>3} conn.", cell.traffic.name()),
        How::Open { .. } => cell.traffic.name(),
    };
    report::print_cells(&figures.cells.iter().map(|cell| (named(cell), cell)).collect::<Vec<_>>());
    let of_p = |size| figures.peak(Traffic::Bulk(size)) / p;
    let [most, tenth] = SIZES;
    println!("best with bodies of {tenth}: {:.3} P", of_p(tenth));
    for (name, mib) in &memory {
        println!("memory of {name}: {mib:.1} MiB");
    }
    let cells: Vec<_> = figures.cells.iter().map(report::cell_json).collect();
    let of_p_each = json!({ most.to_string(): rounded(of_p(most)), tenth.to_string(): rounded(of_p(tenth)) });
    let all = json!({ "p_per_s": of_series(&figures.p), "load": cells, "of_p": of_p_each, "memory_mib": memory });
    save("batch", args, all)?;
    let ours = memory.iter().filter(|(name, _)| name.starts_with("leadline")).map(|(_, mib)| *mib);
    let lines = [targets::BATCH.judge(of_p(most)), targets::MEMORY.judge(largest(ours))];
    Ok(verdict(&lines.into_iter().chain(tally.lines()).collect::<Vec<_>>()))
}
