//! What a lead costs while the tables grow: CPU of all processes per lead with 10⁴, 10⁵, 10⁶ rows (and more,
//! with `--rows`) already in leads and in customers, for sequential and for random external ids.
//!
//! Every measurement is of the same number of leads, in a closed loop. Where these are more than a tenth
//! of the rows, the tables are emptied and filled anew for every round. Before each there are a VACUUM
//! ANALYZE and a checkpoint, so full-page images show in the log's bytes per lead; the table says how many.
//!
//! Filling millions of rows takes minutes, and what a lead costs on a busy machine differs more between one minute and the
//! next than between one size and the next: even the API, which has no rows, was seen to take a third more. So each size has 10⁴ rows
//! measured beside it, in turns, by another Leadline on another database of the same server.
//!
//! **Invariant:** rows are filled in the order the load's ids will have; indexes are as migrated.

use serde_json::json;

use crate::Outcome;
use crate::args::Args;
use crate::ground::fill::Order;
use crate::ground::{Ground, Scratch, Seeds};
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
    let sizes: Vec<u64> = std::iter::successors(Some(SMALLEST * 10), |rows| Some(rows * 10))
        .take_while(|rows| *rows < args.rows)
        .chain([args.rows])
        .collect();
    let base = (&ground.bare_base, &ground.beside_queues);
    let mut many = Ours::start(ground, &args.amqp_url, layout(args)).await?;
    let mut few = Ours::start_on(base, ground.engines, &args.amqp_url, layout(args), "few-").await?;
    let mut tally = Tally::default();
    for ours in [&many, &few] {
        ours.fresh().await?;
        let warm = Job { seconds: 2.0, ..ours.job(&ground.seeds, CONNECTIONS) };
        tally.run(ours, &warm).await?;
    }
    let mut series = Vec::new();
    for order in [Order::Sequential, Order::Random] {
        let [mut grown, mut small] = [(&many, &ground.ours_base), (&few, &ground.bare_base)]
            .map(|(ours, base)| Table { seeds: &ground.seeds, base, ours, order, rows: 0 });
        tally.check_and_empty(&many).await?;
        tally.check_and_empty(&few).await?;
        for rows in &sizes {
            let mut runs = (Vec::new(), Vec::new());
            for _ in 0..args.rounds() {
                runs.0.push(small.measure(SMALLEST, &mut tally).await?);
                runs.1.push(grown.measure(*rows, &mut tally).await?);
            }
            let pair = Pair { order, rows: *rows, few: cell(runs.0), many: cell(runs.1) };
            eprintln!("  {}", pair.line());
            series.push(pair);
        }
    }
    for ours in [&mut many, &mut few] {
        tally.check(ours).await?;
        ours.stop().await?;
    }
    conclude(args, &series, &tally)
}

fn cell(runs: Vec<Stretch>) -> Cell {
    Cell { traffic: Traffic::Async, how: How::Closed(CONNECTIONS), runs }
}

/// What leads cost with many rows, and with few in the same minutes.
struct Pair {
    order: Order,
    rows: u64,
    few: Cell,
    many: Cell,
}

impl Pair {
    /// CPU µs per lead with few rows, and with many.
    fn costs(&self) -> (f64, f64) {
        (Costs::of(&self.few).cpu_together(), Costs::of(&self.many).cpu_together())
    }

    fn ratio(&self) -> f64 {
        let (few, many) = self.costs();
        many / few
    }

    fn line(&self) -> String {
        let (few, many) = self.costs();
        let (name, rows, ratio) = (name(self.order), self.rows, self.ratio());
        format!("{name} ids, {rows} rows: {many:.1} CPU µs per lead, {ratio:.3} of the {few:.1} with {SMALLEST}")
    }
}

/// The tables as they stand while one order of ids is measured.
struct Table<'a> {
    seeds: &'a Seeds,
    base: &'a Scratch,
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
            self.base.fill(self.seeds, self.order, self.rows, rows).await?;
            self.rows = rows;
        }
        let ids = match self.order {
            Order::Sequential => Ids::Sequential(self.rows),
            Order::Random => Ids::Random,
        };
        let job = Job { seconds: WITHIN_S, count: LEADS, ids, ..self.ours.job(self.seeds, CONNECTIONS) };
        let stretch = tally.run(self.ours, &job).await?;
        self.rows += LEADS;
        Ok(stretch)
    }
}

fn conclude(args: &Args, series: &[Pair], tally: &Tally) -> Outcome<bool> {
    let cells = series.iter().flat_map(|pair| {
        let (rows, ids) = (pair.rows, name(pair.order));
        [(format!("{SMALLEST:>10} {ids}"), &pair.few), (format!("{rows:>10} {ids}"), &pair.many)]
    });
    print_cells(&cells.collect::<Vec<_>>());
    println!();
    let mut lines = Vec::new();
    let mut json_of = Vec::new();
    for (order, target) in [(Order::Sequential, targets::SEQUENTIAL), (Order::Random, targets::RANDOM)] {
        let mut ratio = f64::NAN;
        for pair in series.iter().filter(|pair| pair.order == order) {
            ratio = pair.ratio();
            println!("{}", pair.line());
            let (few, many) = pair.costs();
            json_of.push(json!({
                "ids": name(order), "rows": pair.rows, "cpu_us_per_lead": rounded(many), "with_few_rows": rounded(few),
                "ratio": rounded(ratio), "load": cell_json(&pair.many), "load_with_few_rows": cell_json(&pair.few),
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
