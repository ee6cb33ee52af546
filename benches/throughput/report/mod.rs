//! The table for people, the figures for machines, the plots, and the verdict.
//!
//! Enters: what the rounds measured. Leaves: lines on standard output, files in `target/bench`, and
//! whether every target is met.
//!
//! **Invariant:** a figure that was not measured meets no target; with `--only` or `--modes` none is judged.

mod figures;
mod json;
mod plots;
mod table;

use serde_json::{Value, json};

pub(crate) use figures::{Cell, Figures, How};
pub(crate) use json::cell as cell_json;
pub(crate) use plots::{Panel, over_time as plot_over_time, workers as plot_workers};
pub(crate) use table::{Costs, print as print_cells};

use crate::Outcome;
use crate::args::Args;
use crate::ground::folder_of;
use crate::load::Traffic;
use crate::stats::{largest, median};
use crate::targets::{self, Line, verdict};

/// Prints and writes everything about the whole run; true when all targets are met.
pub(crate) fn conclude(args: &Args, figures: &Figures) -> Outcome<bool> {
    table::print_whole(figures);
    if !args.is_whole() {
        return Ok(verdict(&figures.checks));
    }
    save("throughput", args, json::whole(figures))?;
    plots::latency(&figures.cells)?;
    println!("plot:    target/bench/latency.svg");
    if args.quick {
        println!("\na quick run is a look: only the books decide its exit status");
    }
    let lines: Vec<Line> = judged(figures).into_iter().chain(figures.checks.iter().cloned()).collect();
    Ok(verdict(&lines))
}

fn judged(figures: &Figures) -> Vec<Line> {
    let of_l = |traffic| figures.peak(traffic) / figures.l();
    let (wait, bare) = (figures.wait_times(), figures.bare_times());
    let memory = figures.memory.iter().filter(|(name, _)| name.starts_with("leadline"));
    vec![
        targets::ASYNC.judge(of_l(Traffic::Async)),
        targets::MIX.judge(of_l(Traffic::Mix)),
        targets::WAIT_P50.judge(wait.p50 / bare.p50),
        targets::WAIT_P99.judge(wait.p99 / bare.p99),
        targets::MEMORY.judge(largest(memory.map(|(_, mib)| *mib))),
    ]
}

/// Writes a part's figures, with what they were measured on, to `target/bench/NAME.json`.
pub(crate) fn save(name: &str, args: &Args, figures: Value) -> Outcome<()> {
    save_in("bench", name, args, figures)
}

/// The same, to another folder under `target`.
pub(crate) fn save_in(place: &str, name: &str, args: &Args, mut figures: Value) -> Outcome<()> {
    if let Some(object) = figures.as_object_mut() {
        object.insert("rounds".to_owned(), json!(args.rounds()));
        object.insert("seconds".to_owned(), json!(args.seconds()));
        object.insert("quick".to_owned(), json!(args.quick));
        object.insert("machine".to_owned(), machine());
        let date = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        object.insert("date".to_owned(), json!(date));
        object.insert("commit".to_owned(), json!(commit()));
    }
    std::fs::write(folder_of(place)?.join(format!("{name}.json")), serde_json::to_string_pretty(&figures)? + "\n")?;
    println!("\nfigures: target/{place}/{name}.json");
    Ok(())
}

fn machine() -> Value {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name"));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    json!({ "cores": cores, "cpu": model.and_then(|line| line.split_once(": ")).map(|(_, name)| name) })
}

fn commit() -> Option<String> {
    let mut git = std::process::Command::new("git");
    git.args(["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"]);
    let output = git.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A figure with three digits after the point; what was not measured is null.
pub(crate) fn rounded(x: f64) -> Value {
    if x.is_finite() { json!((x * 1000.0).round() / 1000.0) } else { Value::Null }
}

/// A series as median and spread.
pub(crate) fn of_series(series: &[f64]) -> Value {
    json!({ "median": rounded(median(series)), "spread": rounded(crate::stats::spread(series)) })
}
