//! What is written down after the load: the diary, and which customers were deferred.
//!
//! Enters: notes. Leaves: one line of `lead::diary` per lead sent; one customer per line in the other file.
//!
//! **Invariant:** lines are only appended, whole; whoever empties the tables empties these files.

use std::fs::File;
use std::io::{BufWriter, Write as _};

use super::Job;
use super::generator::Note;
use super::template::{Form, external_id};
use crate::Outcome;

/// Appends everything that was sent.
pub(super) fn write(job: &Job, clicks: &[String], notes: &[Note]) -> Outcome<()> {
    if job.diary.is_empty() {
        return Ok(());
    }
    let mut diary = open(&job.diary)?;
    for note in notes {
        let (wish, answer) = (&note.wish, &note.answer);
        let click = if wish.form == Form::FollowUp { None } else { clicks.get(wish.click) };
        let line = serde_json::json!({
            "lead_id": some(&answer.lead),
            "workspace_id": job.workspace,
            "customer": String::from_utf8_lossy(&external_id(wish.customer)),
            "event": wish.event_name(),
            "mode": wish.form.mode(),
            "click_id": click.map_or("", String::as_str),
            "quantity": 1,
            "status": answer.status,
            "ending": some(&answer.ending),
            "duplicate": answer.status == 200 && answer.link.is_none(),
            "link": answer.link,
            "at": note.sent_ms,
        });
        writeln!(diary, "{line}")?;
    }
    Ok(diary.flush()?)
}

/// Appends the customers whose deferred leads were answered 200.
pub(super) fn note_deferred(job: &Job, notes: &[Note]) -> Outcome<()> {
    if job.deferred.is_empty() {
        return Ok(());
    }
    let mut file = open(&job.deferred)?;
    for note in notes.iter().filter(|note| note.wish.form == Form::Deferred && note.answer.status == 200) {
        writeln!(file, "{:x}", note.wish.customer)?;
    }
    Ok(file.flush()?)
}

/// The customers that stretches before this one deferred.
pub(super) fn deferred(job: &Job) -> Outcome<Vec<u128>> {
    let customers = std::fs::read_to_string(&job.deferred)?;
    let customers = customers.lines().map(|line| u128::from_str_radix(line, 16));
    Ok(customers.collect::<Result<_, _>>()?)
}

/// A generator has the file to itself until it is done: several may write the same diary.
fn open(path: &str) -> Outcome<BufWriter<File>> {
    let file = File::options().append(true).create(true).open(path)?;
    file.lock()?;
    Ok(BufWriter::new(file))
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
