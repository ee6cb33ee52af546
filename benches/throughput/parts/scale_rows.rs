//! What a lead costs while the tables grow: CPU of all processes per lead with 10⁴, 10⁵, 10⁶ rows (and more,
//! with `--rows`) already in leads and in customers, for sequential and for random external ids.
//!
//! Every measurement is of the same number of leads, in a closed loop. Where these are more than a tenth
//! of the rows, the tables are emptied and filled anew for every round. Before each there are a VACUUM
//! ANALYZE and a checkpoint, so full-page images show in the log's bytes per lead; the table says how many.
//!
//! **Invariant:** rows are filled in the order the load's ids will have; indexes are as migrated.

use serde_json::json;

use crate::Outcome;
use crate::args::Args;
use crate::ground::Ground;
use crate::ground::fill::Order;
use crate::load::{Ids, Job, Traffic};
use crate::ours::{Ours, Stretch};
use crate::report::{Cell, Costs, How, cell_json, print_cells, rounded, save};
use crate::targets::{self, verdict};

use super::layout;
use super::stretches::Tally;

const SMALLEST: u64 = 10_000;
/// Leads of one measurement.
const LEADS: u64 = 10_000;
const CONNECTIONS: usize = 64;
/// Bounded by the number of leads; this is for a Leadline that stands still.
const WITHIN_S: f64 = 120.0;

/// Measures, prints, and says whether the targets are met.
pub(super) async fn run(args: &Args, ground: &Ground) -> Outcome<bool> {
    let sizes: Vec<u64> = std::iter::successors(Some(SMALLEST), |rows| Some(rows * 10))
        .take_while(|rows| *rows < args.rows)
        .chain([args.rows])
        .collect();
    let mut ours = Ours::start(ground, &args.amqp_url, layout(args)).await?;
    let mut tally = Tally::default();
    ours.fresh().await?;
    let warm = Job { seconds: 2.0, ..ours.job(&ground.seeds, CONNECTIONS) };
    tally.run(&ours, &warm).await?;
    let mut series = Vec::new();
    for (order, name) in [(Order::Sequential, "sequential"), (Order::Random, "random")] {
        let mut table = Table { ground, ours: &ours, order, rows: 0 };
        tally.check_and_empty(&ours).await?;
        for rows in &sizes {
            let mut runs = Vec::new();
            for _ in 0..args.rounds() {
                runs.push(table.measure(*rows, &mut tally).await?);
            }
            let cell = Cell { traffic: Traffic::Async, how: How::Closed(CONNECTIONS), runs };
            eprintln!("  {rows} rows, {name} ids: {:.1} CPU µs per lead", Costs::of(&cell).cpu_together());
            series.push((order, *rows, cell));
        }
    }
    tally.check(&ours).await?;
    ours.stop().await?;
    conclude(args, &series, &tally)
}

/// The tables as they stand while one order of ids is measured.
struct Table<'a> {
    ground: &'a Ground,
    ours: &'a Ours<'a>,
    order: Order,
    rows: u64,
}

impl Table<'_> {
    /// Brings the tables to so many rows, and measures the leads that follow.
    async fn measure(&mut self, rows: u64, tally: &mut Tally) -> Outcome<Stretch> {
        if self.rows > rows + rows / 10 {
            tally.check_and_empty(self.ours).await?;
            self.rows = 0;
        }
        if self.rows < rows {
            self.ground.ours_base.fill(&self.ground.seeds, self.order, self.rows, rows).await?;
            self.rows = rows;
        }
        let ids = match self.order {
            Order::Sequential => Ids::Sequential(self.rows),
            Order::Random => Ids::Random,
        };
        let job = Job { seconds: WITHIN_S, count: LEADS, ids, ..self.ours.job(&self.ground.seeds, CONNECTIONS) };
        let stretch = tally.run(self.ours, &job).await?;
        self.rows += LEADS;
        Ok(stretch)
    }
}

fn conclude(args: &Args, series: &[(Order, u64, Cell)], tally: &Tally) -> Outcome<bool> {
    let rows = series.iter().map(|(order, rows, cell)| (format!("{rows:>10} {}", name(*order)), cell));
    print_cells(&rows.collect::<Vec<_>>());
    println!();
    let mut lines = Vec::new();
    let mut json_of = Vec::new();
    for (order, target) in [(Order::Sequential, targets::SEQUENTIAL), (Order::Random, targets::RANDOM)] {
        let of_order: Vec<(u64, &Cell)> =
            series.iter().filter(|(o, ..)| *o == order).map(|(_, rows, cell)| (*rows, cell)).collect();
        let cost = |cell: &Cell| Costs::of(cell).cpu_together();
        let least = of_order.first().map_or(f64::NAN, |(_, cell)| cost(cell));
        let mut ratio = f64::NAN;
        for (rows, cell) in of_order {
            ratio = cost(cell) / least;
            println!(
                "{} ids, {rows} rows: {:.1} CPU µs per lead, {ratio:.3} of that with {SMALLEST}",
                name(order),
                cost(cell)
            );
            json_of.push(json!({
                "ids": name(order), "rows": rows, "cpu_us_per_lead": rounded(cost(cell)), "of_smallest": rounded(ratio),
                "load": cell_json(cell),
            }));
        }
        lines.push(target.judge(ratio));
    }
    save("scale-rows", args, json!({ "sizes": json_of }))?;
    lines.extend(tally.lines());
    Ok(verdict(&lines))
}

fn name(order: Order) -> &'static str {
    match order {
        Order::Sequential => "sequential",
        Order::Random => "random",
    }
}
