//! What is imported, and the thread that reads it.
//!
//! Enters: a path, or `-`. Leaves: batches of lines, one after another, as fast as they are taken; the files
//! beside it; and where an interrupted import of it stopped.
//!
//! **Invariant:** one batch is read ahead, and no more.

use std::fs::File;
use std::io::{self, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use super::super::error::CliError;
use super::line::{Batch, Line, Place};
use super::ndjson::Ndjson;
use super::state::{Identity, State, beside};
use super::table::Table;

/// Bytes at which a batch is full: with a last line of the longest kind it is still below what a server takes.
const BATCH_BYTES: usize = 2 << 20;
/// Bytes read at once.
const BUFFER: usize = 64 * 1024;

/// A file about to be read.
pub(super) struct Source {
    lines: Lines,
    /// A failure in the middle of a batch, until that batch is handed on.
    failed: Option<CliError>,
    /// What it is called.
    pub(super) name: String,
    /// Where its state is kept, and what it says; `None` for what can be read but once.
    pub(super) state: Option<(PathBuf, State)>,
    /// Where refused lines go.
    pub(super) refused: PathBuf,
}

enum Lines {
    Ndjson(Ndjson),
    Table(Box<Table>),
}

impl Source {
    /// Opens a file, at the place that its state names, or standard input.
    ///
    /// # Errors
    /// [`CliError`] when it cannot be read, is of no known kind, or is not the one that its state belongs to.
    pub(super) fn open(path: &Path) -> Result<Self, CliError> {
        if path == Path::new("-") {
            let lines = Lines::Ndjson(Ndjson::new(Box::new(BufReader::new(io::stdin())), Place::default()));
            let (name, refused) = ("standard input".to_owned(), PathBuf::from("stdin.refused.ndjson"));
            return Ok(Self { lines, failed: None, name, state: None, refused });
        }
        let name = path.display().to_string();
        let unread = |error| CliError::File(name.clone(), error);
        let mut file = File::open(path).map_err(unread)?;
        let mut state = None;
        if file.metadata().map_err(unread)?.is_file() {
            let kept = beside(path, ".import-state");
            let identity = Identity::of(&mut file).map_err(unread)?;
            let stands = State::read(&kept, &identity)?.unwrap_or_else(|| State::new(identity));
            state = Some((kept, stands));
        }
        let place = state.as_ref().map(|(_, state)| state.place).filter(|place| place.byte > 0);
        let lines = match path.extension().and_then(|ending| ending.to_str()) {
            Some("ndjson" | "jsonl") => {
                let place = place.unwrap_or_default();
                if place.byte > 0 {
                    file.seek(SeekFrom::Start(place.byte)).map_err(unread)?;
                }
                Lines::Ndjson(Ndjson::new(Box::new(BufReader::with_capacity(BUFFER, file)), place))
            }
            Some("csv") => {
                let mut table = Table::open(file, &name)?;
                place.map_or(Ok(()), |place| table.go_on(place))?;
                Lines::Table(Box::new(table))
            }
            _ => return Err(CliError::said(format!("{name}: the name of the file must end in .ndjson or .csv"))),
        };
        Ok(Self { lines, failed: None, state, refused: beside(path, ".refused.ndjson"), name })
    }

    /// Its length, if it has one.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.state.as_ref().map(|(_, state)| state.file.bytes)
    }

    /// Reads to the end, or until nobody takes batches any more. Blocks.
    pub(super) fn read(mut self, size: usize, batches: &mpsc::Sender<Result<Batch, CliError>>) {
        for number in 0.. {
            let Some(batch) = self.batch(number, size).transpose() else { return };
            let last = batch.is_err();
            if batches.blocking_send(batch).is_err() || last {
                return;
            }
        }
    }

    fn batch(&mut self, number: u64, size: usize) -> Result<Option<Batch>, CliError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let (mut lines, mut bytes) = (Vec::with_capacity(size), 0);
        while lines.len() < size && bytes < BATCH_BYTES {
            match self.next() {
                Ok(None) => break,
                Ok(Some(line)) => {
                    bytes += line.lead.as_ref().map_or(0, String::len);
                    lines.push(line);
                }
                Err(error) if lines.is_empty() => return Err(error),
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        let end = match &self.lines {
            Lines::Ndjson(file) => file.place(),
            Lines::Table(table) => table.place(),
        };
        Ok((!lines.is_empty()).then_some(Batch { number, lines, end }))
    }

    fn next(&mut self) -> Result<Option<Line>, CliError> {
        match &mut self.lines {
            Lines::Ndjson(file) => file
                .next()
                .map_err(|error| CliError::File(format!("{}, line {}", self.name, file.place().line + 1), error)),
            Lines::Table(table) => table.next(),
        }
    }
}
