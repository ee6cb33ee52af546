//! Sends one batch until every lead of it is answered.
//!
//! Enters: a batch. Leaves: a verdict for each line. What is to come again (503, 429, no answer) does so after a
//! growing pause, no shorter than the server asks for; a body that is too large for it is sent in parts.
//!
//! A follow-up that is refused because nobody knows its customer is asked about once more when every line before
//! it is answered: one that is still on its way on another connection may have made him known.
//!
//! **Invariant:** a verdict is what the server said last.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::super::error::CliError;
use super::line::{Batch, Verdict};
use super::progress::Progress;
use super::server::{Server, Word};
use crate::lifecycle::{Delays, Stop};

const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// What batches are sent with.
#[derive(Debug)]
pub(super) struct Courier {
    pub(super) server: Server,
    /// How long one batch may go without any progress.
    pub(super) patience: Duration,
    /// Most leads in one request; shrinks when the server takes no more.
    pub(super) most: AtomicUsize,
    pub(super) stop: Stop,
    /// The first batch that is not answered yet.
    pub(super) frontier: watch::Receiver<u64>,
}

impl Courier {
    /// Sends a batch; `None` when the stop came first.
    ///
    /// # Errors
    /// [`CliError`] naming the lines, for an answer that no repetition changes, or when patience is at an end.
    pub(super) async fn deliver(&self, batch: &Batch, progress: &Progress) -> Result<Option<Vec<Verdict>>, CliError> {
        let own = batch.lines.iter().map(|line| line.lead.as_ref().err().cloned().map(Verdict::Refused));
        let mut verdicts: Vec<Option<Verdict>> = own.collect();
        let mut frontier = self.frontier.clone();
        let settled = *frontier.borrow() >= batch.number;
        if !self.send(batch, &mut verdicts, progress).await? {
            return Ok(None);
        }
        let early = |verdict: &&mut Option<Verdict>| matches!(verdict, Some(Verdict::Refused(why)) if why.of_nobody);
        if !settled && verdicts.iter_mut().filter(early).map(|verdict| *verdict = None).count() > 0 {
            let reached = self.stop.unless_asked(frontier.wait_for(|next| *next >= batch.number)).await.is_some();
            if !reached || !self.send(batch, &mut verdicts, progress).await? {
                return Ok(None);
            }
        }
        Ok(Some(verdicts.into_iter().flatten().collect()))
    }

    /// Sends what has no verdict until it has one; `false` when the stop came first.
    async fn send(
        &self,
        batch: &Batch,
        verdicts: &mut [Option<Verdict>],
        progress: &Progress,
    ) -> Result<bool, CliError> {
        let mut delays = Delays::new(PAUSE_MIN, PAUSE_MAX);
        let mut since = Instant::now();
        loop {
            let mut open: Vec<(&str, &mut Option<Verdict>)> = (batch.lines.iter().zip(verdicts.iter_mut()))
                .filter(|(_, verdict)| verdict.is_none())
                .filter_map(|(line, verdict)| Some((line.lead.as_deref().ok()?, verdict)))
                .take(self.most.load(Ordering::Relaxed))
                .collect();
            if open.is_empty() {
                return Ok(true);
            }
            let leads: Vec<&str> = open.iter().map(|(lead, _)| *lead).collect();
            let (pause, why) = match self.server.post(&leads).await.map_err(|error| named(batch, &error))? {
                Word::Fewer(most) => {
                    self.most.fetch_min(most, Ordering::Relaxed);
                    continue;
                }
                Word::Later(pause, why) => (pause, why),
                Word::Told(told, pause) => {
                    let mut settled = 0;
                    for ((_, verdict), told) in open.iter_mut().zip(told) {
                        **verdict = told.verdict();
                        settled += usize::from(verdict.is_some());
                    }
                    if settled > 0 {
                        since = Instant::now();
                        delays.reset();
                    }
                    if settled == leads.len() {
                        continue;
                    }
                    (pause, "some were answered 503".to_owned())
                }
            };
            if since.elapsed() > self.patience {
                return Err(named(batch, &CliError::said(format!("given up after {:?}: {why}", self.patience))));
            }
            progress.note(&format!("{}: trying again: {why}", batch.name()));
            if self.stop.unless_asked(sleep(delays.next().max(pause))).await.is_none() {
                return Ok(false);
            }
        }
    }
}

fn named(batch: &Batch, error: &CliError) -> CliError {
    CliError::said(format!("{}: {error}", batch.name()))
}
