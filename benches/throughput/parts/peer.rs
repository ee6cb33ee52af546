//! A service with the same contract, given by URL, under the same load.
//!
//! Enters: its URL, the name of the variable that holds its key, clicks it knows. Leaves: leads accepted per
//! second and the answers' times, which is what an HTTP client sees; what it records, and what that
//! costs, only its own books could say. No target is judged.
//!
//! **Invariant:** the key travels from the environment to the requests and stands in no command line, file or line of output.

use serde_json::json;

use crate::Outcome;
use crate::args::Args;
use crate::ground::folder;
use crate::load::{self, Ids, Job, Load, Traffic};
use crate::report::{rounded, save};
use crate::stats::{Times, median, spread};

use super::stretches::PLENTY;

struct Row {
    traffic: Traffic,
    how: String,
    rate: Option<f64>,
    runs: Vec<Load>,
}

/// Measures and prints.
pub(super) async fn run(args: &Args) -> Outcome<bool> {
    let first = job(args)?;
    let kinds = args.traffic();
    let mut rows: Vec<Row> = Vec::new();
    for round in 1..=args.rounds() {
        eprintln!("round {round} of {}", args.rounds());
        for connections in args.connections() {
            for traffic in &kinds {
                let job = Job { connections, traffic: *traffic, seconds: args.seconds(), ..first.clone() };
                if *traffic == Traffic::FollowUp && !kinds.contains(&Traffic::Deferred) {
                    forget(&job)?;
                    load::run(&Job { traffic: Traffic::Deferred, ..job.clone() }).await?;
                } else if *traffic == Traffic::Deferred {
                    forget(&job)?;
                }
                note(&mut rows, *traffic, format!("{connections} conn."), None, load::run(&job).await?);
            }
        }
        for (traffic, share) in kinds.iter().flat_map(|traffic| args.shares().iter().map(|share| (*traffic, *share))) {
            let how = format!("{:.0} %", 100.0 * share);
            let decided = rows.iter().find(|row| row.traffic == traffic && row.how == how).and_then(|row| row.rate);
            let rate = decided.unwrap_or_else(|| share * peak(&rows, traffic));
            let job = Job { connections: PLENTY, traffic, rate, seconds: args.seconds(), ..first.clone() };
            if traffic == Traffic::FollowUp {
                forget(&job)?;
                let count = (rate * args.seconds()).ceil() as u64;
                let seconds = 40.0 * args.seconds();
                load::run(&Job { traffic: Traffic::Deferred, rate: 0.0, count, seconds, ..job.clone() }).await?;
            }
            note(&mut rows, traffic, how, Some(rate), load::run(&job).await?);
        }
    }
    print(&rows);
    save("peer", args, json!({ "load": rows.iter().map(figures).collect::<Vec<_>>() }))?;
    Ok(true)
}

fn job(args: &Args) -> Outcome<Job> {
    let url = url::Url::parse(args.peer.as_deref().unwrap_or_default())?;
    if url.scheme() != "http" {
        return Err("--peer takes http:// only: measure behind whatever ends TLS".into());
    }
    let host = url.host_str().ok_or("--peer names no host")?;
    let variable = args.peer_key_env.as_deref().unwrap_or_default();
    let key = std::env::var_os(variable).and_then(|key| key.into_string().ok()).filter(|key| !key.is_empty());
    let clicks = folder()?.join("peer-clicks.txt");
    std::fs::write(&clicks, args.peer_click.join("\n"))?;
    Ok(Job {
        addresses: vec![format!("{host}:{}", url.port_or_known_default().unwrap_or(80))],
        prefix: url.path().trim_end_matches('/').to_owned(),
        connections: 1,
        seconds: 1.0,
        count: 0,
        rate: 0.0,
        traffic: Traffic::Async,
        ids: Ids::Random,
        key: key.ok_or_else(|| format!("the environment has no {variable}"))?,
        workspace: String::new(),
        clicks: clicks.to_string_lossy().into_owned(),
        diary: String::new(),
        deferred: folder()?.join("deferred.txt").to_string_lossy().into_owned(),
    })
}

/// Nobody is deferred.
fn forget(job: &Job) -> Outcome<()> {
    Ok(std::fs::write(&job.deferred, "")?)
}

fn note(rows: &mut Vec<Row>, traffic: Traffic, how: String, rate: Option<f64>, load: Load) {
    match rows.iter_mut().find(|row| row.traffic == traffic && row.how == how) {
        Some(row) => row.runs.push(load),
        None => rows.push(Row { traffic, how, rate, runs: vec![load] }),
    }
}

impl Row {
    fn accepted(&self) -> Vec<f64> {
        self.runs.iter().map(Load::per_s).collect()
    }

    fn times(&self) -> Times {
        Times::medians(&self.runs.iter().map(|load| load.times).collect::<Vec<_>>())
    }
}

fn peak(rows: &[Row], traffic: Traffic) -> f64 {
    let closed = rows.iter().filter(|row| row.traffic == traffic && row.rate.is_none());
    crate::stats::largest(closed.map(|row| median(&row.accepted())))
}

fn print(rows: &[Row]) {
    println!(
        "\n{:<26}{:>11}{:>8}{:>10}{:>10}{:>10}",
        "medians", "accepted/s", "spread", "p50 ms", "p99 ms", "p99.9 ms"
    );
    for row in rows {
        let (accepted, Times { p50, p99, p999 }) = (row.accepted(), row.times());
        let how = row.rate.map_or(row.how.clone(), |rate| format!("{}: {rate:.0}/s", row.how));
        println!(
            "{:<10} {how:>15}{:>11.0}{:>8}{p50:>10.2}{p99:>10.2}{p999:>10.2}",
            row.traffic.name(),
            median(&accepted),
            format!("{:.0} %", 100.0 * spread(&accepted)),
        );
        row.runs.iter().filter_map(Load::trouble).for_each(|trouble| println!("  attention: {trouble}"));
    }
}

fn figures(row: &Row) -> serde_json::Value {
    let Times { p50, p99, p999 } = row.times();
    json!({
        "traffic": row.traffic.name(), "how": row.how, "rate_per_s": row.rate.map(rounded),
        "accepted_per_s": rounded(median(&row.accepted())), "spread": rounded(spread(&row.accepted())),
        "answer_ms": { "p50": rounded(p50), "p99": rounded(p99), "p99_9": rounded(p999) },
    })
}
