//! `queues`: how far behind it is: what waits in each queue, what is parked, what is buried, who works on it.
//!
//! Enters: nothing, or the address of the management plugin. Leaves: a table. Either engine may be away: what the other one
//! knows is shown, and the failure is said.
//!
//! **Invariant:** a number that nobody told is shown as none, never as 0.

use serde_json::{Value, json};

use super::args::QueuesArgs;
use super::error::CliError;
use super::management::Management;
use super::moment::length;
use super::open;
use super::out::Out;
use crate::broker::{BrokerError, Depth, Node, Queue, Topology};
use crate::config::Config;
use crate::store::{Behind, UnderWay};

/// One queue as it stands.
struct Row {
    queue: Queue,
    name: String,
    depth: Option<Depth>,
    unacknowledged: Option<u64>,
}

/// `queues`; returns the exit code: 1 when an engine could not be asked.
///
/// # Errors
/// [`CliError`] when nothing could be asked, or standard output is gone.
pub(super) async fn queues(config: &Config, args: QueuesArgs, out: Out) -> Result<u8, CliError> {
    let (rows, tables) = tokio::join!(rows(config, args.management.as_deref()), tables(config));
    out.value(&json(&rows, &tables))?;
    let mut failures = Vec::new();
    match &rows {
        Ok(rows) => tabulate(rows, out)?,
        Err(error) => failures.push(error.to_string()),
    }
    match &tables {
        Ok((behind, under_way)) => pairs(behind, under_way, out)?,
        Err(error) => failures.push(error.to_string()),
    }
    if failures.is_empty() { Ok(0) } else { Err(CliError::said(failures.join("; "))) }
}

async fn rows(config: &Config, management: Option<&str>) -> Result<Vec<Row>, CliError> {
    let management = management.map(|url| Management::at(url, &config.broker)).transpose()?;
    let depths = depths(&config.broker).await.map_err(|error| CliError::said(error.to_string()))?;
    let topology = Topology::new(&config.broker);
    let mut rows = Vec::new();
    for (queue, depth) in depths {
        let name = topology.queue_name(queue);
        let unacknowledged = match &management {
            Some(management) if depth.is_some() => Some(management.unacknowledged(&name).await?),
            _ => None,
        };
        rows.push(Row { queue, name, depth, unacknowledged });
    }
    Ok(rows)
}

/// Asks the first node that lets us in.
async fn depths(config: &crate::config::Broker) -> Result<Vec<(Queue, Option<Depth>)>, BrokerError> {
    let mut last = BrokerError::Address("empty".to_owned());
    for node in Node::all(config)? {
        match node.visit().await {
            Ok(visit) => {
                let mut depths = Vec::new();
                for queue in Queue::ALL {
                    depths.push((queue, visit.depth(queue).await?));
                }
                visit.close().await;
                return Ok(depths);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn tables(config: &Config) -> Result<(Behind, UnderWay), CliError> {
    let store = open::store(config).await?;
    Ok((store.behind().await?, store.under_way(None).await?))
}

fn tabulate(rows: &[Row], out: Out) -> Result<(), CliError> {
    let or_dash = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let line = |row: &Row| {
        let (ready, consumers) =
            (row.depth.map(|depth| depth.ready.into()), row.depth.map(|depth| depth.consumers.into()));
        vec![row.queue.as_str().to_owned(), or_dash(ready), or_dash(row.unacknowledged), or_dash(consumers)]
    };
    let mut lines: Vec<Vec<String>> = rows.iter().map(line).collect();
    let unacknowledged = rows.iter().map(|row| row.unacknowledged).sum::<Option<u64>>();
    lines.push(vec!["all".to_owned(), or_dash(Some(ready(rows))), or_dash(unacknowledged), "-".to_owned()]);
    out.table(&["queue", "ready", "unacknowledged", "consumers"], &lines)?;
    out.line("")?;
    Ok(())
}

fn ready(rows: &[Row]) -> u64 {
    rows.iter().filter_map(|row| row.depth).map(|depth| u64::from(depth.ready)).sum()
}

fn pairs(behind: &Behind, under_way: &UnderWay, out: Out) -> Result<(), CliError> {
    let ago = |seconds: Option<f64>| seconds.map(|seconds| format!("{} ago", length(seconds)));
    let newest = ago(behind.newest_age).map_or_else(|| "none yet".to_owned(), |ago| format!("accepted {ago}"));
    let oldest = ago(behind.oldest_parked).map(|ago| format!(", the oldest {ago}")).unwrap_or_default();
    let UnderWay { parked, buried, replayed, suspects, .. } = under_way;
    out.pairs(&[
        ("newest lead", format!("{newest} (of those that have ended)")),
        ("parked", format!("{parked} (follow-ups whose customer has no click yet{oldest})")),
        (
            "buried",
            format!("{buried} ({} of them wait for a person: leadline buried list --waiting)", buried - replayed),
        ),
        ("suspects", format!("{suspects} (messages that came back and are counted)")),
        ("workers", format!("{} (that PostgreSQL has heard of lately)", behind.workers)),
    ])?;
    Ok(())
}

fn json(rows: &Result<Vec<Row>, CliError>, tables: &Result<(Behind, UnderWay), CliError>) -> Value {
    let row = |row: &Row| {
        json!({
            "queue": row.queue.as_str(), "name": row.name, "ready": row.depth.map(|depth| depth.ready),
            "unacknowledged": row.unacknowledged, "consumers": row.depth.map(|depth| depth.consumers),
        })
    };
    let (behind, under_way) =
        tables.as_ref().map_or((None, None), |(behind, under_way)| (Some(behind), Some(under_way)));
    json!({
        "queues": rows.as_ref().ok().map(|rows| rows.iter().map(row).collect::<Vec<_>>()),
        "ready": rows.as_ref().ok().map(|rows| ready(rows)),
        "newestAcceptedAt": behind.and_then(|behind| behind.newest_accepted),
        "parked": under_way.map(|all| all.parked), "parkedSince": under_way.and_then(|all| all.parked_since),
        "buried": under_way.map(|all| all.buried), "replayed": under_way.map(|all| all.replayed),
        "suspects": under_way.map(|all| all.suspects), "workers": behind.map(|behind| behind.workers),
    })
}
