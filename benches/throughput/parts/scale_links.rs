//! Shapes of a workspace: few links, many links, one hot link, one hot customer.
//!
//! Each shape is a tenant of its own in one database, all under the same processes and the same closed
//! loop. The counter of a link is one row that every batch has to move, so hot ones are where lanes meet.
//!
//! **Invariant:** shapes differ in nothing but what their name says.

use serde_json::json;

use crate::Outcome;
use crate::args::Args;
use crate::ground::{Ground, Seeds};
use crate::load::{Job, Traffic};
use crate::ours::Ours;
use crate::report::{Cell, Costs, How, cell_json, print_cells, save};
use crate::targets::verdict;

use super::layout;
use super::stretches::Tally;

const CONNECTIONS: usize = 64;
const CLICKS: usize = 10_000;
/// Beside which shape the others are shown.
const USUAL: &str = "1 000 links";

struct Shape {
    name: &'static str,
    seeds: Seeds,
    traffic: Traffic,
    cell: Cell,
}

/// Measures and prints; there is no target but clean books.
pub(super) async fn run(args: &Args, ground: &Ground) -> Outcome<bool> {
    let mut shapes = Vec::new();
    for (name, label, links, hot, traffic) in [
        ("1 link", "one-link", 1, false, Traffic::Async),
        (USUAL, "thousand-links", 1000, false, Traffic::Async),
        ("100 000 links", "many-links", 100_000, false, Traffic::Async),
        ("1 000 links, half on one", "hot-link", 1000, true, Traffic::Async),
        ("one hot customer", "hot-customer", 1000, false, Traffic::HotCustomer),
    ] {
        let seeds = Seeds::shaped(label, links, CLICKS.max(links), hot)?;
        ground.ours_base.settle(&seeds).await?;
        let cell = Cell { traffic, how: How::Closed(CONNECTIONS), runs: Vec::new() };
        shapes.push(Shape { name, seeds, traffic, cell });
    }
    let mut ours = Ours::start(ground, &args.amqp_url, layout(args)).await?;
    let mut tally = Tally::default();
    for round in 0..=args.rounds() {
        eprintln!("round {round} of {}{}", args.rounds(), if round == 0 { ", to get warm" } else { "" });
        for shape in &mut shapes {
            ours.fresh().await?;
            let job = ours.job(&shape.seeds, CONNECTIONS);
            let job = Job { seconds: args.seconds(), traffic: shape.traffic, ..job };
            let stretch = tally.run(&ours, &job).await?;
            tally.check(&ours).await?;
            if round > 0 {
                shape.cell.runs.push(stretch);
            }
        }
    }
    ours.stop().await?;
    print_cells(&shapes.iter().map(|shape| (shape.name.to_owned(), &shape.cell)).collect::<Vec<_>>());
    let cost = |shape: &Shape| Costs::of(&shape.cell).cpu_together();
    let usual = shapes.iter().find(|shape| shape.name == USUAL).map_or(f64::NAN, cost);
    println!();
    for shape in &shapes {
        println!("{}: {:.1} CPU µs per lead, {:.3} of that with {USUAL}", shape.name, cost(shape), cost(shape) / usual);
    }
    let figures: Vec<_> =
        shapes.iter().map(|shape| json!({ "shape": shape.name, "load": cell_json(&shape.cell) })).collect();
    save("scale-links", args, json!({ "shapes": figures }))?;
    Ok(verdict(&tally.lines()))
}
