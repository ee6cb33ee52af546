//! One lead of a file, what became of it, and where in the file reading goes on.
//!
//! **Invariant:** what is sent is one JSON value, so a batch has as many leads as were put into it.

use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

/// Longest line, or record, in bytes: more than any server takes, and little enough to hold.
pub(super) const LINE_MAX: usize = 1 << 20;

/// One lead.
#[derive(Debug)]
pub(super) struct Line {
    /// Where it begins, counted from 1.
    pub(super) number: u64,
    /// What is sent, or why it cannot be.
    pub(super) lead: Result<String, Refusal>,
}

/// What became of a lead.
#[derive(Debug)]
pub(super) enum Verdict {
    Accepted { duplicate: bool },
    Refused(Refusal),
}

/// Why a lead is not taken, in the contract's words.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// The `error` object.
    pub(super) error: Box<RawValue>,
    /// A follow-up whose customer nobody knew: one more line before it may make him known.
    pub(super) of_nobody: bool,
}

impl Refusal {
    /// A refusal of our own, for what is not worth sending.
    pub(super) fn own(status: u16, message: &str) -> Self {
        let error = json!({"code": "bad_request", "message": message});
        let error = serde_json::value::to_raw_value(&error).unwrap_or_default();
        Self { status, error, of_nobody: false }
    }
}

/// Where reading goes on: everything before it is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) byte: u64,
    /// Lines before it, as the reader of the file counts them.
    pub(super) line: u64,
    /// The same of records.
    pub(super) record: u64,
}

/// Lines that are sent together.
#[derive(Debug)]
pub(super) struct Batch {
    /// Counted from 0, in the order of the file.
    pub(super) number: u64,
    pub(super) lines: Vec<Line>,
    /// Where the next one begins.
    pub(super) end: Place,
}

impl Batch {
    /// `lines 1 to 500`, for people.
    pub(super) fn name(&self) -> String {
        let number = |line: Option<&Line>| line.map_or(0, |line| line.number);
        format!("lines {} to {}", number(self.lines.first()), number(self.lines.last()))
    }
}
