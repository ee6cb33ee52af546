//! What a fault cost: measured from the diary, printed as a table.
//!
//! Enters: the entries of a run and when each fault was on. Leaves: one line per fault, and what broke
//! the floor.
//!
//! **Invariant:** shares are of attempts, so that a client's repeats cannot hide a refusal.

use std::time::{Duration, Instant};

use leadline::lead::Mode;

use crate::diary::{Entry, Kind};

/// The floor: with one engine away, this share of async requests with a click is answered 200 …
const FLOOR: f64 = 0.99;
/// … from this long after the fault on.
const FLOOR_AFTER: Duration = Duration::from_secs(3);
/// Fewer requests say nothing about a share.
const FLOOR_REQUESTS: usize = 60;

/// One fault that was done.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    pub(crate) name: &'static str,
    pub(crate) floor: bool,
    pub(crate) on: Instant,
    pub(crate) off: Instant,
    pub(crate) recovered: Result<Instant, String>,
    pub(crate) evidence: Result<String, String>,
}

/// Its line of the table.
#[derive(Debug)]
pub(crate) struct Line {
    cells: [String; 9],
    pub(crate) faults: Vec<String>,
}

/// Measures one fault.
pub(crate) fn line(done: &Done, entries: &[Entry]) -> Line {
    let until = done.recovered.as_ref().copied().unwrap_or(done.off);
    let load = |entry: &&Entry| !matches!(entry.kind, Kind::Planted | Kind::HungUp);
    let during: Vec<&Entry> =
        entries.iter().filter(load).filter(|e| e.began >= done.on && e.began < done.off).collect();
    let share = |status: u16| percent(during.iter().filter(|e| e.line.status == status).count(), during.len());
    let mut faults = Vec::new();
    let floor = if done.floor { floor(done, &during, &mut faults) } else { "–".to_owned() };
    if let Err(why) = &done.evidence {
        faults.push(format!("{} did not bite: {why}", done.name));
    }
    if let Err(why) = &done.recovered {
        faults.push(format!("{}: no recovery: {why}", done.name));
    }
    let recovery = match &done.recovered {
        Ok(at) => format!("{:.1} s", at.duration_since(done.off).as_secs_f64()),
        Err(_) => "never".to_owned(),
    };
    let cells = [
        done.name.to_owned(),
        format!("{:.1} s", done.off.duration_since(done.on).as_secs_f64()),
        during.len().to_string(),
        share(200),
        share(503),
        share(0),
        floor,
        recovery,
        format!("{:.1} s", longest_stall(entries, done.on, until).as_secs_f64()),
    ];
    Line { cells, faults }
}

fn floor(done: &Done, during: &[&Entry], faults: &mut Vec<String>) -> String {
    let counts = |e: &&&Entry| e.kind == Kind::Click && e.line.mode == Mode::Async && e.began >= done.on + FLOOR_AFTER;
    let held: Vec<_> = during.iter().filter(counts).collect();
    let answered = held.iter().filter(|e| e.line.status == 200).count();
    if held.len() < FLOOR_REQUESTS {
        faults.push(format!("{}: only {} requests to measure the floor by", done.name, held.len()));
    } else if (answered as f64) < FLOOR * held.len() as f64 {
        faults.push(format!("{}: the floor broke, {answered} of {} answered 200", done.name, held.len()));
    }
    percent(answered, held.len())
}

/// The longest time without any 200.
fn longest_stall(entries: &[Entry], from: Instant, until: Instant) -> Duration {
    let answered = |e: &&Entry| e.line.status == 200 && e.kind != Kind::Planted && e.ended >= from && e.ended <= until;
    let mut moments: Vec<Instant> = entries.iter().filter(answered).map(|entry| entry.ended).collect();
    moments.extend([from, until]);
    moments.sort_unstable();
    moments.windows(2).map(|pair| pair[1].duration_since(pair[0])).max().unwrap_or_default()
}

fn percent(part: usize, whole: usize) -> String {
    if whole == 0 { "–".to_owned() } else { format!("{:.1} %", 100.0 * part as f64 / whole as f64) }
}

/// Prints the table, as Markdown, with the evidence below it.
pub(crate) fn print(done: &[Done], lines: &[Line]) {
    let head = ["fault", "on", "requests", "200", "503", "no answer", "floor", "recovered", "longest stall"];
    let mut rows: Vec<Vec<&str>> = vec![head.to_vec()];
    rows.extend(lines.iter().map(|line| line.cells.iter().map(String::as_str).collect()));
    let widths: Vec<usize> =
        (0..head.len()).map(|n| rows.iter().map(|row| row[n].chars().count()).max().unwrap_or(0)).collect();
    for (n, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        println!("| {} |", cells.join(" | "));
        if n == 0 {
            println!("| {} |", widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>().join(" | "));
        }
    }
    println!();
    for done in done {
        let (Ok(words) | Err(words)) = &done.evidence;
        println!("  {}: {words}", done.name);
    }
}
