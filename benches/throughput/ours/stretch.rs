//! One stretch of load on Leadline, and everything it cost.
//!
//! The rate is leads ended over the time from the first request until the last is committed, so what
//! still stands in the queue when the load ends counts with its drain. A repeat that was answered as a
//! duplicate has ended with its answer; every other lead answered 200 must have its row.
//!
//! **Invariant:** only commits count: rows are counted in Postgres, not answers.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use super::Ours;
use super::scrape::Scrape;
use crate::Outcome;
use crate::ground::proc::{self, Cpu};
use crate::load::{self, Job, Load};
use crate::stats::Times;

const DRAINED_WITHIN: Duration = Duration::from_secs(120);
/// How long the rows are left alone between two counts.
const COUNTED_EVERY: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(250)];

/// What a stretch of load came to.
#[derive(Debug, Clone)]
pub(crate) struct Stretch {
    /// Leads ended per second, first request to last commit.
    pub(crate) ended_per_s: f64,
    pub(crate) ended: u64,
    pub(crate) load: Load,
    /// CPU seconds by process.
    pub(crate) cpu: Cpu,
    /// Write-ahead log and RabbitMQ's writes, in bytes.
    pub(crate) wal: f64,
    pub(crate) rabbitmq: Option<f64>,
    pub(crate) batches: Batches,
    /// From accept to the commit of the ending.
    pub(crate) commit: Times,
}

/// Mean sizes of what is done together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batches {
    /// Leads per recording transaction, lanes of the shards and of the wait queue.
    pub(crate) recorded: f64,
    /// Requests per look-up statement.
    pub(crate) resolved: f64,
    /// One recording transaction, in milliseconds.
    pub(crate) transaction_ms: f64,
}

struct Reading {
    cpu: Cpu,
    wal: f64,
    rabbitmq: Option<f64>,
    scrape: Scrape,
}

impl Ours<'_> {
    /// Runs a stretch of load and waits until every lead of it has ended.
    pub(crate) async fn measure(&self, job: &Job) -> Outcome<Stretch> {
        let (since, before) = (first_id(), self.reading().await?);
        let load = load::run(job).await?;
        let began = UNIX_EPOCH + Duration::from_secs_f64(load.began_at);
        let rows = self.all_rows(since, load.ok() - load.repeats, began).await?;
        let took = SystemTime::now().duration_since(began)?.as_secs_f64();
        let after = self.reading().await?;
        let mut cpu = proc::between(&before.cpu, &after.cpu);
        cpu.insert("generator".to_owned(), load.cpu_s);
        let said = after.scrape.since(&before.scrape);
        let batches = Batches {
            recorded: said.mean("leadline_batch_leads", ""),
            resolved: said.mean("leadline_resolve_batch_requests", ""),
            transaction_ms: 1000.0 * said.mean("leadline_batch_seconds", "committed"),
        };
        let ended = rows + load.repeats;
        Ok(Stretch {
            ended_per_s: ended as f64 / took,
            ended,
            cpu,
            wal: after.wal - before.wal,
            rabbitmq: after.rabbitmq.zip(before.rabbitmq).map(|(after, before)| after - before),
            batches,
            commit: self.scratch.accept_to_begin(since).await?.and(batches.transaction_ms),
            load,
        })
    }

    async fn reading(&self) -> Outcome<Reading> {
        Ok(Reading {
            scrape: Scrape::read(self.processes.iter().map(|process| process.metrics)).await?,
            cpu: proc::cpu(&self.watched()),
            wal: self.scratch.wal_bytes().await?,
            rabbitmq: self.engines.rabbitmq_written(),
        })
    }

    /// Counts rows until there are as many as leads were accepted. It counts seldom while many are missing, so that the
    /// counting costs next to nothing.
    pub(crate) async fn all_rows(&self, since: Uuid, accepted: u64, began: SystemTime) -> Outcome<u64> {
        let until = Instant::now() + DRAINED_WITHIN;
        loop {
            let rows = self.scratch.ended(since).await?;
            if rows >= accepted {
                return Ok(rows);
            }
            if Instant::now() > until {
                return Err(format!("{accepted} leads were answered 200 but only {rows} have ended").into());
            }
            let missing = (accepted - rows) as f64 / rows.max(1) as f64;
            let left = SystemTime::now().duration_since(began)?.as_secs_f64() * missing;
            let [soon, late] = COUNTED_EVERY;
            tokio::time::sleep(Duration::from_secs_f64(left.clamp(soon.as_secs_f64(), late.as_secs_f64()))).await;
        }
    }
}

/// The smallest id that a lead accepted from now on may have.
fn first_id() -> Uuid {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Uuid::from_u128(now.as_millis() << 80)
}
