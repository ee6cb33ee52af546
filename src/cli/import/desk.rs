//! What is answered, in the order of the file: the count, the refused lines, the state.
//!
//! Enters: answered batches, in whatever order they are answered. Leaves: the file of refused lines, whose lines
//! stand in the order of the imported one, and the state, written about once a second.
//!
//! **Invariant:** the state never names a place before which a line is not answered.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::error::CliError;
use super::line::{Batch, Refusal, Verdict};
use super::progress::Progress;
use super::state::{State, Totals};

const SAVED_EVERY: Duration = Duration::from_secs(1);

/// The books of one import.
#[derive(Debug)]
pub(super) struct Desk {
    /// Answered, but not everything before them is.
    waiting: BTreeMap<u64, (Batch, Vec<Verdict>)>,
    frontier: watch::Sender<u64>,
    pub(super) totals: Totals,
    state: Option<(PathBuf, State)>,
    saved: Instant,
    refused: Refused,
}

/// The file of refused lines; there is none before there is a line.
#[derive(Debug)]
struct Refused {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    bytes: u64,
}

/// One line of it.
#[derive(Serialize)]
struct RefusedLine<'a> {
    line: u64,
    status: u16,
    error: &'a RawValue,
    /// As it was sent; null where it could not be.
    lead: Option<&'a RawValue>,
}

impl Desk {
    /// Opens the books where the state left them; without one, an older file of refused lines is removed.
    ///
    /// # Errors
    /// [`CliError`] when that file cannot be touched.
    pub(super) fn open(state: Option<(PathBuf, State)>, refused: PathBuf) -> Result<Self, CliError> {
        let (totals, bytes) = state.as_ref().map_or_else(Default::default, |(_, s)| (s.totals, s.refused_bytes));
        let mut refused = Refused { path: refused, file: None, bytes };
        refused.go_on().map_err(|error| refused.failed(error))?;
        let frontier = watch::Sender::new(0);
        Ok(Self { waiting: BTreeMap::new(), frontier, totals, state, saved: Instant::now(), refused })
    }

    /// The number of the first batch that is not answered yet.
    pub(super) fn frontier(&self) -> watch::Receiver<u64> {
        self.frontier.subscribe()
    }

    /// How many leads were refused, and where they stand.
    pub(super) fn refused(&self) -> Option<&PathBuf> {
        (self.totals.refused > 0).then_some(&self.refused.path)
    }

    /// Up to which byte everything is answered, of those that were read before this process began.
    pub(super) fn byte(&self) -> u64 {
        self.state.as_ref().map_or(0, |(_, state)| state.place.byte)
    }

    /// Up to which line everything is answered, if that is kept.
    pub(super) fn line(&self) -> Option<u64> {
        self.state.as_ref().map(|(_, state)| state.line)
    }

    /// Takes an answered batch.
    ///
    /// # Errors
    /// [`CliError`] when a file cannot be written.
    pub(super) fn take(&mut self, batch: Batch, verdicts: Vec<Verdict>, progress: &Progress) -> Result<(), CliError> {
        self.waiting.insert(batch.number, (batch, verdicts));
        let mut next = *self.frontier.borrow();
        while let Some((batch, verdicts)) = self.waiting.remove(&next) {
            for (line, verdict) in batch.lines.iter().zip(&verdicts) {
                match verdict {
                    Verdict::Accepted { duplicate } => {
                        self.totals.accepted += 1;
                        self.totals.duplicates += u64::from(*duplicate);
                    }
                    Verdict::Refused(why) => {
                        self.totals.refused += 1;
                        let lead = line.lead.as_deref().ok();
                        self.refused.write(line.number, why, lead).map_err(|error| self.refused.failed(error))?;
                    }
                }
            }
            if let Some((_, state)) = &mut self.state {
                state.place = batch.end;
                state.line = batch.lines.last().map_or(state.line, |line| line.number);
            }
            progress.moved(batch.end.byte, self.totals);
            next += 1;
        }
        self.frontier.send_replace(next);
        if self.saved.elapsed() >= SAVED_EVERY { self.save() } else { Ok(()) }
    }

    /// Writes down how far it has come.
    ///
    /// # Errors
    /// [`CliError`] when a file cannot be written.
    pub(super) fn save(&mut self) -> Result<(), CliError> {
        self.refused.flush().map_err(|error| self.refused.failed(error))?;
        self.saved = Instant::now();
        let Some((path, state)) = &mut self.state else { return Ok(()) };
        state.totals = self.totals;
        state.refused_bytes = self.refused.bytes;
        state.write(path)
    }

    /// Everything is answered: the state has served.
    ///
    /// # Errors
    /// [`CliError`] when it cannot be removed.
    pub(super) fn close(&mut self) -> Result<(), CliError> {
        self.refused.flush().map_err(|error| self.refused.failed(error))?;
        match &self.state {
            Some((path, _)) => {
                gone(fs::remove_file(path)).map_err(|error| CliError::File(path.display().to_string(), error))
            }
            None => Ok(()),
        }
    }
}

impl Refused {
    /// Cuts off what the state knows nothing of: those lines are answered once more.
    fn go_on(&mut self) -> io::Result<()> {
        if self.bytes == 0 {
            return gone(fs::remove_file(&self.path));
        }
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&self.path)?;
        if file.metadata()?.len() > self.bytes {
            file.set_len(self.bytes)?;
        }
        self.bytes = file.seek(SeekFrom::End(0))?;
        self.file = Some(BufWriter::new(file));
        Ok(())
    }

    fn write(&mut self, line: u64, why: &Refusal, lead: Option<&str>) -> io::Result<()> {
        let lead = lead.map(serde_json::from_str::<&RawValue>).transpose()?;
        let line = serde_json::to_string(&RefusedLine { line, status: why.status, error: &why.error, lead })?;
        // A line feed between the tokens of a value would make two lines of it; inside a text none can stand.
        let line = line.replace(['\n', '\r'], " ") + "\n";
        let file = match self.file.take() {
            Some(file) => file,
            None => BufWriter::new(OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?),
        };
        self.file.insert(file).write_all(line.as_bytes())?;
        self.bytes += u64::try_from(line.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }

    fn failed(&self, error: io::Error) -> CliError {
        CliError::File(self.path.display().to_string(), error)
    }
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
