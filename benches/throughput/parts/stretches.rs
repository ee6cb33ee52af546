//! Stretches of load as all parts run them: fresh tables before, the ledger after.
//!
//! Enters: a running Leadline and jobs. Leaves: stretches, and the tally of what the ledger said.
//!
//! **Invariant:** no stretch's rows go before the ledger has seen its diary.

use crate::Outcome;
use crate::load::{Job, Load, Traffic};
use crate::ours::{Ours, Stretch};
use crate::targets::Line;

/// Connections that open loops and preparations may use.
pub(super) const PLENTY: usize = 256;
/// Preparations are bounded by a count; this is for a Leadline that stands still.
const PREPARED_WITHIN_S: f64 = 120.0;

/// What the ledger said so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    checks: u32,
    requests: u64,
    faults: Vec<String>,
    troubles: Vec<String>,
}

impl Tally {
    /// Runs a job, and notes what was not answered 200.
    pub(super) async fn run(&mut self, ours: &Ours<'_>, job: &Job) -> Outcome<Stretch> {
        let stretch = ours.measure(job).await?;
        self.note(job.traffic, &stretch.load);
        Ok(stretch)
    }

    /// Notes what was sent, and what of it was not answered 200.
    pub(super) fn note(&mut self, traffic: Traffic, load: &Load) {
        self.requests += load.sent();
        if let Some(trouble) = load.trouble() {
            self.troubles.push(format!("{}: {trouble}", traffic.name()));
        }
    }

    /// Holds everything since the tables were emptied against the diary.
    pub(super) async fn check(&mut self, ours: &Ours<'_>) -> Outcome<()> {
        self.checks += 1;
        if let Some(fault) = ours.ledger().await? {
            eprintln!("{fault}");
            self.faults.push(fault);
        }
        Ok(())
    }

    /// The same, and then empty tables again.
    pub(super) async fn check_and_empty(&mut self, ours: &Ours<'_>) -> Outcome<()> {
        self.check(ours).await?;
        ours.fresh().await
    }

    /// Defers so many customers, so that follow-ups have somebody to follow.
    pub(super) async fn defer(&mut self, ours: &Ours<'_>, job: &Job, count: u64) -> Outcome<()> {
        let traffic = Traffic::Deferred;
        let job = Job { traffic, count, rate: 0.0, seconds: PREPARED_WITHIN_S, connections: PLENTY, ..job.clone() };
        self.run(ours, &job).await.map(|_stretch| ())
    }

    /// What must hold besides the figures, and whether it does.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let Self { checks, requests, faults, troubles } = self;
        let mut troubles = troubles.clone();
        troubles.dedup();
        let books = match faults.len() {
            0 => format!("diary and books agree: {checks} ledgers, {requests} leads sent"),
            n => {
                format!("diary and books disagree in {n} of {checks} ledgers; see target/bench/diary-of-a-fault.ndjson")
            }
        };
        let answers = match troubles.as_slice() {
            [] => "every request answered 200".to_owned(),
            some => format!("every request answered 200: {}", some.join("; ")),
        };
        vec![(faults.is_empty(), books), (troubles.is_empty(), answers)]
    }

    /// Whether the books balanced, whatever the figures.
    pub(crate) fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }
}
