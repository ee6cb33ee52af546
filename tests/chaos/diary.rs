//! Every request of the storm with what it was told: what the tables are held against.
//!
//! Enters: one entry per attempt, refusals and lost connections included. Leaves: the entries, and the
//! NDJSON file that `leadline ledger --diary` reads.
//!
//! **Invariant:** an entry says only what its sender saw.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use leadline::lead::DiaryLine;

use crate::process::create;

/// What kind of request it was, as far as its sender knew beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// With a click that exists.
    Click,
    /// A follow-up sent after its deferred lead was answered 200.
    After,
    /// A follow-up sent before that, or of a customer who comes at the same time.
    Before,
    /// A follow-up of a customer who never comes.
    Nobody,
    /// With a click that does not exist.
    Unknown,
    /// The client hung up on purpose.
    HungUp,
    /// A message that the suite itself put into a queue.
    Planted,
}

/// One attempt.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) line: DiaryLine,
    pub(crate) kind: Kind,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    /// By the machine's clock, in microseconds since 1970.
    pub(crate) ended_at: i64,
    /// Whether the answer bore `Retry-After`.
    pub(crate) retry_after: bool,
}

/// The diary; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Diary {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    entries: Vec<Entry>,
    faults: Vec<String>,
    file: BufWriter<File>,
}

impl Diary {
    /// A diary that also writes itself to a file.
    pub(crate) fn at(path: &Path) -> Self {
        let inner = Inner { entries: Vec::new(), faults: Vec::new(), file: BufWriter::new(create(path)) };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Notes an attempt that is over.
    pub(crate) fn note(&self, entry: Entry) {
        let mut inner = self.inner.lock().unwrap();
        inner.file.write_all(entry.line.line().unwrap().as_bytes()).unwrap();
        inner.entries.push(entry);
    }

    /// The number of the first entry that ended since then.
    pub(crate) fn first_since(&self, moment: Instant) -> usize {
        let inner = self.inner.lock().unwrap();
        inner.entries.iter().rposition(|entry| entry.ended < moment).map_or(0, |last| last + 1)
    }

    /// Notes a promise that was seen broken while the storm was on.
    pub(crate) fn accuse(&self, fault: String) {
        self.inner.lock().unwrap().faults.push(fault);
    }

    /// What was seen broken.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.inner.lock().unwrap().faults.clone()
    }

    /// How many attempts there are.
    pub(crate) fn len(&self) -> usize {
        self.inner.lock().unwrap().entries.len()
    }

    /// A copy of the entries from the n-th on; the file is complete up to them.
    pub(crate) fn entries(&self, from: usize) -> Vec<Entry> {
        let mut inner = self.inner.lock().unwrap();
        inner.file.flush().unwrap();
        inner.entries.get(from..).unwrap_or_default().to_vec()
    }
}
