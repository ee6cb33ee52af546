//! The table for people.
//!
//! Enters: figures. Leaves: lines on standard output, a row per kind of load and way of putting it on.
//!
//! **Invariant:** what was not measured shows as `n/a`, never as a number.

use crate::ground::proc::Cpu;
use crate::limit::BODY;
use crate::stats::{Times, median, spread};

use super::{Cell, Figures, How};

/// Whose CPU time has a column, in the order of the walk.
const PROCESSES: [(&str, &str); 6] = [
    ("leadline all", "all"),
    ("leadline api", "api"),
    ("leadline worker", "worker"),
    ("rabbitmq", "rabbitmq"),
    ("postgres", "postgres"),
    ("generator", "generator"),
];

/// Everything the whole run measured.
pub(super) fn print_whole(f: &Figures) {
    println!("\n{:<46}{:>12}{:>9}", "the limit, medians", "", "spread");
    row("H  bare HTTP server, same body", &f.h_per_s(), "/s");
    row("P  publish, confirm, consume, insert", &f.p, "/s");
    row("C  consume, insert (queue filled before)", &f.c, "/s");
    row("L  = 1/(1/H + 1/P)", &[f.l()], "/s");
    for (name, cpu) in [("H", f.h_cpu()), ("P", f.p_cpu())] {
        if !cpu.is_empty() {
            println!("CPU s per million, {name}: {}", words(&cpu));
        }
    }
    let mut rows: Vec<(String, &Cell)> = f.cells.iter().map(|cell| (label(cell), cell)).collect();
    rows.sort_by_key(|(_, cell)| cell.traffic);
    print(&rows);
    print_wait(f);
    if !f.memory.is_empty() {
        let each: Vec<String> = f.memory.iter().map(|(name, mib)| format!("{name} {mib:.1}")).collect();
        println!("\nresident memory, MiB (ours: the largest ever; the engines': at the end): {}", each.join(", "));
    }
    let [h, ours] = f.generator_shares();
    let shares = [(h, "H"), (ours, "Leadline")].into_iter().filter(|(share, _)| share.is_finite());
    let shares: Vec<String> = shares.map(|(share, under)| format!("{share:.0} % of one core under {under}")).collect();
    if !shares.is_empty() {
        println!("load generator: at most {}", shares.join(", "));
    }
    if let Some(run) = f.cells.first().and_then(|cell| cell.runs.last()) {
        println!("body of an answer: {} bytes (H: {})", run.load.body_bytes, BODY.len());
    }
    let ratio = f.cpu_ratio();
    if !ratio.is_nan() {
        println!(
            "CPU of H and P / CPU of an async lead: {ratio:.3} (other load on the machine moves it less than the rates)"
        );
    }
}

/// Rows under one head. Rates are per second, times in milliseconds, CPU in seconds per million leads.
pub(crate) fn print(rows: &[(String, &Cell)]) {
    let Some((_, first)) = rows.first() else { return };
    let shown: Vec<(&str, &str)> =
        PROCESSES.into_iter().filter(|(name, _)| first.runs.iter().any(|run| run.cpu.contains_key(*name))).collect();
    let columns: String = shown.iter().map(|(_, title)| format!("{title:>10}")).collect();
    println!(
        "\n{:<24}{:>9}{:>9}{:>8} |{:^24}|{:^24}|{:^width$}|{:^16}|{:^14}",
        "",
        "accepted",
        "recorded",
        "",
        "answer, ms",
        "accept to commit, ms",
        "CPU s per million leads",
        "bytes per lead",
        "mean batch",
        width = columns.len() + 1,
    );
    println!(
        "{:<24}{:>9}{:>9}{:>8} |{heads}|{heads}|{columns} |{:>7}{:>9}|{:>7}{:>7}",
        "medians",
        "/s",
        "/s",
        "spread",
        "WAL",
        "RabbitMQ",
        "record",
        "look-up",
        heads = format!("{:>7}{:>8}{:>9}", "p50", "p99", "p99.9"),
    );
    for (label, cell) in rows {
        let costs = Costs::of(cell);
        let cpu: String =
            shown.iter().map(|(name, _)| format!("{:>10}", number(costs.cpu.get(*name).copied(), 1))).collect();
        println!(
            "{label:<24}{:>9}{:>9}{:>8} |{}|{}|{cpu} |{:>7}{:>9}|{:>7}{:>7}",
            number(Some(costs.accepted), 0),
            number(Some(costs.ended), 0),
            percent(costs.spread),
            times(costs.answer),
            times(costs.commit),
            number(Some(costs.wal), 0),
            number(Some(costs.rabbitmq), 0),
            number(Some(costs.recorded_at_once), 1),
            number(Some(costs.resolved_at_once), 1),
        );
    }
    println!(
        "recorded/s counts from the first request to the last commit (deferred leads and duplicates end too); accept to\n\
         commit is recorded_at - accepted_at of the rows, which ends where the transaction begins, plus the mean transaction"
    );
}

fn print_wait(f: &Figures) {
    let Some(rate) = f.wait_rate else { return };
    println!("\n{:<46}{}", format!("open loop at {rate:.0}/s, ms"), times_head());
    println!("{:<46}{}", "wait", times(f.wait_times()));
    println!("{:<46}{}", "bare round trip", times(f.bare_times()));
}

/// What a row shows of a cell.
#[derive(Debug)]
pub(crate) struct Costs {
    pub(crate) accepted: f64,
    pub(crate) ended: f64,
    pub(crate) spread: f64,
    pub(crate) answer: Times,
    pub(crate) commit: Times,
    pub(crate) cpu: Cpu,
    pub(crate) wal: f64,
    pub(crate) rabbitmq: f64,
    pub(crate) recorded_at_once: f64,
    pub(crate) resolved_at_once: f64,
}

impl Costs {
    /// The medians of a cell.
    pub(crate) fn of(cell: &Cell) -> Self {
        let [answer, commit] = cell.times();
        let [wal, rabbitmq] = cell.bytes();
        let ended = cell.each(|run| run.ended_per_s);
        Self {
            accepted: median(&cell.each(|run| run.load.per_s())),
            ended: median(&ended),
            spread: spread(&ended),
            answer,
            commit,
            cpu: cell.cpu(),
            wal,
            rabbitmq,
            recorded_at_once: median(&cell.each(|run| run.batches.recorded)),
            resolved_at_once: median(&cell.each(|run| run.batches.resolved)),
        }
    }

    /// CPU seconds per million leads of all processes but the generator.
    pub(crate) fn cpu_together(&self) -> f64 {
        self.cpu.iter().filter(|(name, _)| *name != "generator").map(|(_, cpu)| cpu).sum()
    }
}

fn label(cell: &Cell) -> String {
    let how = match cell.how {
        How::Closed(connections) => format!("{connections} conn."),
        How::Open { share, rate } => format!("{:.0} %: {rate:.0}/s", 100.0 * share),
    };
    format!("{:<10} {how:>13}", cell.traffic.name())
}

fn row(name: &str, series: &[f64], unit: &str) {
    if !series.is_empty() && !median(series).is_nan() {
        let spread = if series.len() > 1 { percent(spread(series)) } else { String::new() };
        println!("{name:<46}{:>12}{spread:>9}", format!("{:.0}{unit}", median(series)));
    }
}

fn times_head() -> String {
    format!("{:>7}{:>8}{:>9}", "p50", "p99", "p99.9")
}

fn times(times: Times) -> String {
    let [p50, p99, p999] = [times.p50, times.p99, times.p999].map(|ms| number(Some(ms), 2));
    format!("{p50:>7}{p99:>8}{p999:>9}")
}

fn percent(share: f64) -> String {
    if share.is_nan() { "n/a".to_owned() } else { format!("{:.0} %", 100.0 * share) }
}

fn number(x: Option<f64>, digits: usize) -> String {
    x.filter(|x| x.is_finite()).map_or("n/a".to_owned(), |x| format!("{x:.digits$}"))
}

fn words(cpu: &Cpu) -> String {
    let words: Vec<String> = cpu.iter().map(|(name, s)| format!("{name} {s:.1}")).collect();
    format!("{}; together {:.1}", words.join(", "), cpu.values().sum::<f64>())
}
