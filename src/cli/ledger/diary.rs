//! Reads a diary in chunks and holds every request against `PostgreSQL`.
//!
//! Enters: NDJSON files. Leaves: a [`Report`]. First every line is judged by the rows of its lead id and
//! key, chunk by chunk; then every row of the time of the diary must be explained by a line.
//!
//! **Invariant:** memory is bounded by a chunk and by a few bytes per request.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, BufReader};
use uuid::Uuid;

use crate::lead::{DiaryLine, LeadKey, Promise, event_key};
use crate::store::{LedgerRow, Store};

use super::super::error::CliError;
use super::books::Books;
use super::judge::{Found, difference, judge, names_itself};
use super::report::{Offence, Report};

const CHUNK: usize = 2000;

/// How strictly, and for whom.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheckOptions {
    /// Whose the lines are that name no workspace.
    pub workspace: Option<Uuid>,
    /// Nothing is under way any more: parked is an offence.
    pub settled: bool,
    /// Check rows of any time, not only of the time of the diary.
    pub whole: bool,
}

/// Checks diaries, all together, against the books.
///
/// # Errors
/// [`CliError`] when a file cannot be read, a line is none, or `PostgreSQL` does not answer.
pub async fn check(store: &Store, files: &[PathBuf], options: CheckOptions) -> Result<Report, CliError> {
    let mut checker =
        Checker { store, options, books: Books::default(), crowded: HashSet::new(), report: Report::default() };
    for file in files {
        checker.read(file).await?;
    }
    let Checker { books, mut report, .. } = checker;
    books.check(store, options.whole, &mut report).await?;
    Ok(report)
}

struct Checker<'a> {
    store: &'a Store,
    options: CheckOptions,
    books: Books,
    /// Keys already accused of several recorded rows.
    crowded: HashSet<LeadKey>,
    report: Report,
}

/// A line with its workspace.
type Request = (Uuid, DiaryLine);

/// What a chunk's lead ids and keys have in `PostgreSQL`.
struct Chunk {
    rows: HashMap<(Uuid, Uuid), LedgerRow>,
    parked: HashSet<Uuid>,
    buried: HashSet<Uuid>,
    recorded: HashMap<LeadKey, i64>,
}

impl Checker<'_> {
    async fn read(&mut self, path: &Path) -> Result<(), CliError> {
        let name = path.display().to_string();
        let file = |error| CliError::File(name.clone(), error);
        let mut lines = BufReader::new(File::open(path).await.map_err(file)?).lines();
        let mut chunk = Vec::with_capacity(CHUNK);
        let mut number = 0_u64;
        while let Some(text) = lines.next_line().await.map_err(file)? {
            number += 1;
            if text.trim().is_empty() {
                continue;
            }
            let line =
                DiaryLine::parse(&text).map_err(|error| CliError::said(format!("{name}, line {number}: {error}")))?;
            let workspace = line.workspace_id.or(self.options.workspace).ok_or_else(|| {
                CliError::said(format!("{name}, line {number}: names no workspace_id; say --workspace"))
            })?;
            chunk.push((workspace, line.trimmed()));
            if chunk.len() == CHUNK {
                self.check_chunk(&chunk).await?;
                chunk.clear();
            }
        }
        self.check_chunk(&chunk).await
    }

    async fn check_chunk(&mut self, requests: &[Request]) -> Result<(), CliError> {
        let held = self.look_up(requests).await?;
        for (key, rows) in held.recorded.iter().filter(|(_, rows)| **rows > 1) {
            if self.crowded.insert(key.clone()) {
                self.report.accuse(Offence {
                    lead_id: None,
                    key: Some((key.customer_external_id.clone(), key.event_key.clone())),
                    what: format!("has {rows} recorded rows for one key"),
                });
            }
        }
        for (workspace, line) in requests {
            self.check_line(*workspace, line, &held);
        }
        Ok(())
    }

    async fn look_up(&self, requests: &[Request]) -> Result<Chunk, CliError> {
        let named: HashSet<(Uuid, Uuid)> =
            requests.iter().filter_map(|(workspace, line)| Some((*workspace, line.lead_id?))).collect();
        let (workspaces, ids): (Vec<Uuid>, Vec<Uuid>) = named.into_iter().unzip();
        let keys: HashSet<LeadKey> = requests.iter().map(|(workspace, line)| key(*workspace, line)).collect();
        let keys: Vec<LeadKey> = keys.into_iter().collect();
        let rows = self.store.ledger_rows(&workspaces, &ids).await?;
        Ok(Chunk {
            rows: rows.into_iter().map(|row| ((row.workspace_id, row.id), row)).collect(),
            parked: self.store.parked_among(&workspaces, &ids).await?.into_iter().collect(),
            buried: self.store.buried_among(&ids).await?.into_iter().collect(),
            recorded: self.store.recorded_per_key(&keys).await?.into_iter().collect(),
        })
    }

    fn check_line(&mut self, workspace: Uuid, line: &DiaryLine, held: &Chunk) {
        self.books.note_time(workspace, line.at);
        self.report.requests += 1;
        match line.promise() {
            Promise::Kept => self.report.kept += 1,
            Promise::Refused => self.report.refused += 1,
            Promise::Unknown => self.report.unknown += 1,
        }
        let found = Found {
            row: line.lead_id.and_then(|lead| held.rows.get(&(workspace, lead))),
            parked: line.lead_id.is_some_and(|lead| held.parked.contains(&lead)),
            buried: line.lead_id.is_some_and(|lead| held.buried.contains(&lead)),
            recorded: held.recorded.contains_key(&key(workspace, line)),
        };
        let mut verdict = judge(line, found, self.options.settled);
        self.report.under_way += u64::from(verdict.under_way);
        if self.claim(workspace, line, found.row) {
            verdict.faults.push("is the lead id of two requests".to_owned());
        }
        for what in verdict.faults {
            self.report.accuse(Offence {
                lead_id: line.lead_id,
                key: Some((line.customer.clone(), line.event.clone())),
                what,
            });
        }
    }

    /// Notes which row the line explains; whether another line explains the same for certain.
    fn claim(&mut self, workspace: Uuid, line: &DiaryLine, row: Option<&LedgerRow>) -> bool {
        match line.lead_id {
            Some(lead) if names_itself(line) => self.books.own(lead, true),
            Some(lead) if row.is_some_and(|row| difference(line, row).is_none()) => self.books.own(lead, false),
            None if line.promise() == Promise::Unknown => {
                self.books.may_own(workspace, line);
                false
            }
            _ => false,
        }
    }
}

fn key(workspace: Uuid, line: &DiaryLine) -> LeadKey {
    LeadKey { workspace_id: workspace, customer_external_id: line.customer.clone(), event_key: event_key(&line.event) }
}
