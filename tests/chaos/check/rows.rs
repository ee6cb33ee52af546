//! Every row against the diary and against the other rows.
//!
//! Enters: the books and all entries. Leaves: what is wrong with the tables.
//!
//! **Invariant:** a request explains at most one row, and every row needs one.

use std::collections::{HashMap, HashSet};

use leadline::lead::event_key;
use uuid::Uuid;

use super::answers::{difference, is_repeat};
use super::books::{Books, LeadRow};
use crate::diary::{Entry, Kind};

/// A request whose lead id nobody learned, as its row would show it.
type Wish = (Uuid, String, String, String, i32, Option<String>);

/// What is wrong with the tables.
pub(super) fn faults(books: &Books, entries: &[Entry], poison: &HashSet<String>) -> Vec<String> {
    let mut faults = unasked(books, entries);
    faults.extend(keys(books));
    faults.extend(attribution(books));
    faults.extend(counters(books));
    faults.extend(ended_twice(books));
    faults.extend(graves(books, poison));
    let never: HashSet<&str> =
        entries.iter().filter(|e| e.kind == Kind::Nobody).map(|e| e.line.customer.as_str()).collect();
    let nobody = books.leads.iter().filter(|row| row.ending == "recorded" && never.contains(row.customer.as_str()));
    faults.extend(nobody.map(|row| format!("recorded for a customer who never came: {row:?}")));
    faults
}

/// Rows that no request of the diary explains.
fn unasked(books: &Books, entries: &[Entry]) -> Vec<String> {
    let mut named: HashMap<Uuid, &Entry> = HashMap::new();
    let mut nameless: HashMap<Wish, i64> = HashMap::new();
    let mut repeats: HashMap<(Uuid, &str, String), Vec<&Entry>> = HashMap::new();
    for entry in entries {
        let line = &entry.line;
        let workspace = line.workspace_id.unwrap_or_default();
        match line.lead_id {
            Some(id) if !is_repeat(entry) => {
                named.insert(id, entry);
            }
            Some(_) => repeats.entry((workspace, &line.customer, event_key(&line.event))).or_default().push(entry),
            None if line.status == 0 || line.status >= 500 => {
                let click = (!line.click_id.is_empty()).then(|| line.click_id.clone());
                let mode = line.mode.as_str().to_owned();
                *nameless
                    .entry((workspace, line.customer.clone(), line.event.clone(), mode, line.quantity, click))
                    .or_default() += 1;
            }
            None => {}
        }
    }
    let mut faults = Vec::new();
    for row in &books.leads {
        if named.contains_key(&row.id) {
            continue;
        }
        let own = |entry: &&Entry| entry.line.lead_id == Some(row.id) && difference(entry, row).is_none();
        let repeat = repeats.get(&(row.workspace_id, row.customer.as_str(), row.event_key.clone()));
        if repeat.is_some_and(|entries| entries.iter().any(own)) || take(&mut nameless, row) {
            continue;
        }
        faults.push(format!("a row without a request: {row:?}"));
    }
    faults
}

fn take(nameless: &mut HashMap<Wish, i64>, row: &LeadRow) -> bool {
    let wish = |click: Option<String>| {
        (row.workspace_id, row.customer.clone(), row.event_name.clone(), row.mode.clone(), row.quantity, click)
    };
    let sent = if row.follow_up { None } else { row.click_id.clone() };
    match nameless.get_mut(&wish(sent)) {
        Some(left) if *left > 0 => {
            *left -= 1;
            true
        }
        _ => false,
    }
}

fn keys(books: &Books) -> Vec<String> {
    let mut faults = Vec::new();
    for (key, places) in books.recorded.iter().filter(|(_, places)| places.len() > 1) {
        faults.push(format!("{} recorded rows for one key: {key:?}", places.len()));
    }
    for row in &books.leads {
        if row.ending == "duplicate" && books.recorded(&row.key()).is_none() {
            faults.push(format!("a duplicate of nothing: {row:?}"));
        }
        if row.event_key != event_key(&row.event_name) {
            faults.push(format!("a row whose event key is not its event's: {row:?}"));
        }
    }
    faults
}

/// Clicks and customers: each row carries a click of its own or its customer's, with the right link.
fn attribution(books: &Books) -> Vec<String> {
    let mut faults = Vec::new();
    let mut brought: HashSet<(Uuid, &str, &str)> = HashSet::new();
    for row in books.leads.iter().filter(|row| row.ending == "recorded" || row.ending == "deferred") {
        let (Some(click), Some(link)) = (row.click_id.as_deref(), row.link_id) else {
            faults.push(format!("recorded without click or link: {row:?}"));
            continue;
        };
        if books.clicks.get(click) != Some(&link) {
            faults.push(format!("a row whose link is not its click's: {row:?}"));
        }
        brought.insert((row.workspace_id, &row.customer, click));
        match books.customers.get(&(row.workspace_id, row.customer.clone())) {
            Some((Some(own), Some(via))) if !row.follow_up || own == click && *via == link => {}
            other => faults.push(format!("a row whose customer has {other:?}: {row:?}")),
        }
    }
    for ((workspace, customer), (click, _)) in &books.customers {
        let click = click.as_deref().unwrap_or_default();
        if !brought.contains(&(*workspace, customer, click)) {
            faults.push(format!("customer {customer} has the click {click:?}, which no lead of theirs brought"));
        }
    }
    faults
}

fn counters(books: &Books) -> Vec<String> {
    let mut sums: HashMap<Uuid, i64> = HashMap::new();
    for row in books.leads.iter().filter(|row| row.ending == "recorded") {
        *sums.entry(row.link_id.unwrap_or_default()).or_default() += i64::from(row.quantity);
    }
    let sum = |link: &Uuid| sums.get(link).copied().unwrap_or_default();
    let wrong = books.counters.iter().filter(|(link, counted)| **counted != sum(link));
    wrong.map(|(link, counted)| format!("link {link} counts {counted}, its recorded rows {}", sum(link))).collect()
}

fn ended_twice(books: &Books) -> Vec<String> {
    let parked = books.parked.iter().map(|id| format!("still parked: {id}"));
    let twice = books.buried.iter().filter(|grave| grave.lead_id.is_some_and(|id| books.row(id).is_some()));
    parked.chain(twice.map(|grave| format!("ended twice, as a row and buried: {grave:?}"))).collect()
}

/// The graves are those of the planted poison, and all of it is there.
fn graves(books: &Books, poison: &HashSet<String>) -> Vec<String> {
    let found: HashSet<&str> = books.buried.iter().map(|grave| grave.identity.as_str()).collect();
    let innocent = books.buried.iter().filter(|grave| !poison.contains(&grave.identity));
    let missing = poison.iter().filter(|identity| !found.contains(identity.as_str()));
    innocent
        .map(|grave| format!("buried, and nobody planted it: {}, {}", grave.identity, grave.reason))
        .chain(missing.map(|identity| format!("poison that was not buried: {identity}")))
        .collect()
}
