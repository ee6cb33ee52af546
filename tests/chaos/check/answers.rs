//! Every answer against the tables: was it allowed, was it true, is what it promised there?
//!
//! Enters: one entry of the diary and the books. Leaves: what is wrong with it.
//!
//! **Invariant:** pure; written from the promise, not from the service or from `leadline ledger`.

use std::collections::HashMap;

use leadline::lead::{Ending, Mode, event_key};

use super::books::{Books, Key, LeadRow};
use crate::diary::{Entry, Kind};

/// What is wrong with one entry.
pub(super) fn faults(entry: &Entry, books: &Books) -> Vec<String> {
    let line = &entry.line;
    let row = line.lead_id.and_then(|id| books.row(id));
    let mut faults = Vec::new();
    if !allowed(entry) {
        faults.push(format!("answered {} to {:?}", line.status, entry.kind));
    }
    match line.status {
        200 => faults.extend(kept(entry, row, books)),
        400..=499 => {
            if let Some(row) = row.filter(|row| row.ending != "rejected") {
                faults.push(format!("refused with {}, and its row says {}", line.status, row.ending));
            }
        }
        _ => {}
    }
    if let Some(row) = row
        && !is_repeat(entry)
        && let Some(difference) = difference(entry, row)
    {
        faults.push(format!("its own row has another {difference}: {row:?}"));
    }
    faults
}

/// Which answers a kind of request may get at all.
fn allowed(entry: &Entry) -> bool {
    let (status, kind) = (entry.line.status, entry.kind);
    matches!((status, kind), (0 | 200 | 503, _) | (400, Kind::Before | Kind::Nobody) | (404, Kind::Unknown))
}

/// A 200 without link names either its own lead or the recorded one it repeats.
pub(super) fn is_repeat(entry: &Entry) -> bool {
    entry.line.status == 200 && entry.line.link.is_none() && entry.line.mode != Mode::Deferred
}

/// In which field a row differs from the request; `None` if it may be this request's.
pub(super) fn difference(entry: &Entry, row: &LeadRow) -> Option<&'static str> {
    let line = &entry.line;
    let click = (!line.click_id.is_empty()).then_some(line.click_id.as_str());
    let clicked =
        click.is_none() || row.click_id.as_deref() == click || row.ending == "rejected" || row.ending == "duplicate";
    let fields = [
        (Some(row.workspace_id) == line.workspace_id, "workspace"),
        (row.customer == line.customer, "customer"),
        (row.event_name == line.event, "event"),
        (row.event_key == event_key(&line.event), "event key"),
        (row.mode == line.mode.as_str(), "mode"),
        (row.quantity == line.quantity, "quantity"),
        (row.follow_up == click.is_none(), "kind"),
        (clicked, "click"),
    ];
    fields.into_iter().find(|(same, _)| !same).map(|(_, name)| name)
}

fn kept(entry: &Entry, row: Option<&LeadRow>, books: &Books) -> Option<String> {
    let line = &entry.line;
    let Some(lead_id) = line.lead_id else {
        return Some("answered 200 without a lead id".to_owned());
    };
    let Some(row) = row else {
        let buried = books.buried.iter().any(|grave| grave.lead_id == Some(lead_id));
        return Some(format!("answered 200 and has no row{}", if buried { ": buried" } else { "" }));
    };
    let key: Key = (line.workspace_id?, line.customer.clone(), event_key(&line.event));
    if row.key() != key {
        return Some(format!("answered 200 with the id of another key's lead: {row:?}"));
    }
    let own = difference(entry, row).is_none();
    let fits = match (line.mode, row.ending.as_str()) {
        (Mode::Deferred, "deferred") | (Mode::Async | Mode::Wait, "recorded") => true,
        (Mode::Async, "duplicate") => own,
        // Told so: without a link in the answer.
        (Mode::Wait, "duplicate") => own && line.link.is_none(),
        // Accepted unresolved, while PostgreSQL was away.
        (Mode::Async | Mode::Deferred, "rejected") => own && line.link.is_none() && may_be_rejected(entry),
        _ => false,
    };
    if !fits {
        return Some(format!("answered 200, and ended {}", row.ending));
    }
    let said = line.ending.map(Ending::as_str);
    let repeated = said == Some("duplicate") && row.ending == "recorded" && is_repeat(entry);
    if said.is_some_and(|said| said != row.ending) && !repeated {
        return Some(format!("answered {said:?}, and its row says {}", row.ending));
    }
    if line.mode == Mode::Wait {
        return untrue(entry, &key, books);
    }
    None
}

/// Answers "duplicate" that name a recorded lead which no other request can have brought.
pub(super) fn false_duplicates(entries: &[Entry], books: &Books) -> Vec<String> {
    let key = |entry: &Entry| (entry.line.workspace_id, entry.line.customer.clone(), event_key(&entry.line.event));
    let mut by_key: HashMap<_, Vec<&Entry>> = HashMap::new();
    for entry in entries {
        by_key.entry(key(entry)).or_default().push(entry);
    }
    let told = |entry: &&Entry| {
        let row = entry.line.lead_id.and_then(|id| books.row(id));
        entry.line.ending == Some(Ending::Duplicate) && row.is_some_and(|row| row.ending == "recorded")
    };
    let explained = |entry: &Entry| {
        let rivals = by_key.get(&key(entry)).into_iter().flatten().filter(|rival| !std::ptr::eq(**rival, entry));
        let mut brought = rivals.filter(|rival| rival.line.lead_id.is_none_or(|id| Some(id) == entry.line.lead_id));
        brought.any(|rival| rival.began <= entry.ended)
    };
    let lies = entries.iter().filter(told).filter(|entry| !explained(entry));
    lies.map(|entry| format!("told that it repeats a lead that is its own: {entry:?}")).collect()
}

/// A lead that was answered 200 unseen may turn out to be wrong, but only if it was wrong.
fn may_be_rejected(entry: &Entry) -> bool {
    matches!(entry.kind, Kind::Unknown | Kind::Nobody | Kind::Before)
}

/// `wait` answered 200: the key's recorded row stood when the answer was read.
fn untrue(entry: &Entry, key: &Key, books: &Books) -> Option<String> {
    match books.recorded(key) {
        None => Some("wait answered 200, and its key has no recorded row".to_owned()),
        Some(row) if row.recorded_at.timestamp_micros() > entry.ended_at => {
            Some(format!("wait answered 200 before its row was written: {row:?}"))
        }
        Some(_) => None,
    }
}
