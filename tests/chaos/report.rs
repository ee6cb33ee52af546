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
pub(crate) const FLOOR_REQUESTS: usize = 60;

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

/// Its line of the table, or that of several times the same fault.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    name: &'static str,
    /// How long each was on.
    on: Vec<Duration>,
    requests: usize,
    /// Of the requests: answered 200, answered 503, not answered.
    answers: [usize; 3],
    /// Of those that the floor counts: answered 200, and all.
    floor: Option<(usize, usize)>,
    /// Until everything was as before; none if that never came.
    recoveries: Vec<Option<Duration>>,
    stall: Duration,
    pub(crate) faults: Vec<String>,
}

/// Measures one fault.
pub(crate) fn line(done: &Done, entries: &[Entry]) -> Line {
    let until = done.recovered.as_ref().copied().unwrap_or(done.off);
    let load = |entry: &&Entry| !matches!(entry.kind, Kind::Planted | Kind::HungUp);
    let during: Vec<&Entry> =
        entries.iter().filter(load).filter(|e| e.began >= done.on && e.began < done.off).collect();
    let mut faults = Vec::new();
    let floor = done.floor.then(|| floor(done, &during, &mut faults));
    if let Err(why) = &done.evidence {
        faults.push(format!("{} did not bite: {why}", done.name));
    }
    if let Err(why) = &done.recovered {
        faults.push(format!("{}: no recovery: {why}", done.name));
    }
    Line {
        name: done.name,
        on: vec![done.off.duration_since(done.on)],
        requests: during.len(),
        answers: [200, 503, 0].map(|status| during.iter().filter(|e| e.line.status == status).count()),
        floor,
        recoveries: vec![done.recovered.as_ref().ok().map(|at| at.duration_since(done.off))],
        stall: longest_stall(entries, done.on, until),
        faults,
    }
}

/// The lines of each fault as one.
pub(crate) fn together(lines: &[Line]) -> Vec<Line> {
    let mut all: Vec<Line> = Vec::new();
    for line in lines {
        let Some(sum) = all.iter_mut().find(|sum| sum.name == line.name) else {
            all.push(line.clone());
            continue;
        };
        sum.on.extend(&line.on);
        sum.requests += line.requests;
        sum.answers = std::array::from_fn(|n| sum.answers[n] + line.answers[n]);
        sum.floor = sum.floor.zip(line.floor).map(|(a, b)| (a.0 + b.0, a.1 + b.1));
        sum.recoveries.extend(&line.recoveries);
        sum.stall = sum.stall.max(line.stall);
    }
    all
}

impl Line {
    fn cells(&self) -> [String; 9] {
        let [answered, refused, lost] = self.answers.map(|part| percent(part, self.requests));
        let times = if self.on.len() > 1 { format!("{} × ", self.on.len()) } else { String::new() };
        let recovered = match self.recoveries.iter().copied().collect::<Option<Vec<_>>>() {
            Some(times) => shown(times),
            None => "never".to_owned(),
        };
        [
            self.name.to_owned(),
            format!("{times}{}", shown(self.on.clone())),
            self.requests.to_string(),
            answered,
            refused,
            lost,
            self.floor.map_or("–".to_owned(), |(answered, held)| percent(answered, held)),
            recovered,
            format!("{:.1} s", self.stall.as_secs_f64()),
        ]
    }
}

/// One time, or the median of several and the longest.
fn shown(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let (median, longest) = (times[times.len() / 2].as_secs_f64(), times[times.len() - 1].as_secs_f64());
    if times.len() == 1 { format!("{median:.1} s") } else { format!("{median:.1} s, {longest:.1} s") }
}

/// Whether the floor of a fault that has been on since then counts this entry.
pub(crate) fn measures(entry: &Entry, on: Instant) -> bool {
    entry.kind == Kind::Click && entry.line.mode == Mode::Async && entry.began >= on + FLOOR_AFTER
}

fn floor(done: &Done, during: &[&Entry], faults: &mut Vec<String>) -> (usize, usize) {
    let held: Vec<_> = during.iter().filter(|entry| measures(entry, done.on)).collect();
    let answered = held.iter().filter(|e| e.line.status == 200).count();
    if held.len() < FLOOR_REQUESTS {
        faults.push(format!("{}: only {} requests to measure the floor by", done.name, held.len()));
    } else if (answered as f64) < FLOOR * held.len() as f64 {
        faults.push(format!("{}: the floor broke, {answered} of {} answered 200", done.name, held.len()));
    }
    (answered, held.len())
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

/// Prints what each fault showed.
pub(crate) fn evidence(done: &[Done]) {
    println!();
    for done in done {
        let (Ok(words) | Err(words)) = &done.evidence;
        println!("  {}: {words}", done.name);
    }
}

/// Prints the table, as Markdown; where a fault came more than once, its times are median and longest.
pub(crate) fn print(lines: &[Line]) {
    let head = ["fault", "on", "requests", "200", "503", "no answer", "floor", "recovered", "longest stall"];
    let rows: Vec<[String; 9]> = [head.map(str::to_owned)].into_iter().chain(lines.iter().map(Line::cells)).collect();
    let widths: Vec<usize> =
        (0..head.len()).map(|n| rows.iter().map(|row| row[n].chars().count()).max().unwrap_or(0)).collect();
    for (n, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        println!("| {} |", cells.join(" | "));
        if n == 0 {
            println!("| {} |", widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>().join(" | "));
        }
    }
}
