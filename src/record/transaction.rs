//! The steps of one transaction, in order: known, attributed, arrived, woken, stored, counted, parked.
//!
//! Lock classes are taken in the order parked, customers, leads, links; parked rows are only ever
//! taken with SKIP LOCKED, so they can be part of no deadlock whenever they are looked at.
//!
//! **Invariant:** ids that have an ending leave before anything is resolved for them, and keep it.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::attribute::{Attribution, arrivals, attribute, brought, customers_clicks};
use super::batch::Entry;
use super::keys;
use super::recorder::{Limits, Taken};
use super::verdict::{Received, Recorded, Told, Verdict};
use crate::lead::{Ending, LeadMessage, Mode, Reason};
use crate::store::{Click, CustomerKey, Grave, Known, NewLead, NewParked, StoreError, Tx, Woken};

/// Records a batch: what is known leaves first, customers come before follow-ups, counters last.
///
/// `hopeful`: leads are taken to be new; a `Conflict` says that one is not.
pub(super) async fn record(
    tx: &mut Tx,
    entries: &[Entry],
    limits: Limits,
    (wake, hopeful): (bool, bool),
) -> Result<Recorded, StoreError> {
    let (workspaces, ids): (Vec<Uuid>, Vec<Uuid>) =
        entries.iter().filter(|e| e.may_be_known()).map(|e| (e.message.workspace_id, e.message.id)).unzip();
    let known = tx.known(&workspaces, &ids).await?;
    let mut recorded = Recorded::default();
    for (id, known) in &known {
        let verdict = match known {
            Known::Ended(ended) => Verdict::Ended(ended.clone()),
            Known::Parked => Verdict::Parked,
        };
        recorded.verdicts.insert(*id, verdict);
    }
    let open: Vec<&Entry> = entries.iter().filter(|entry| !known.contains_key(&entry.message.id)).collect();
    let attributions = attribute(tx, &open).await?;
    let arrivals = arrivals(&open, &attributions);
    let before = tx.arrive(&arrivals).await?;
    recorded.brought = brought(&arrivals, &before);
    let woken = if wake { tx.wake(&arrivals).await? } else { Vec::new() };
    drop(arrivals);
    let woken = decode(tx, woken).await?;
    let woken_as = vec![Attribution::Customer; woken.len()];
    let all: Vec<(&Entry, &Attribution)> =
        open.into_iter().zip(&attributions).chain(woken.iter().zip(&woken_as)).collect();
    let verdicts = finish(tx, &all, limits, hopeful).await?;
    recorded.woken = told(&woken, &verdicts);
    recorded.verdicts.extend(verdicts);
    Ok(recorded)
}

/// Ends what is parked for the customers of a batch that is recorded.
pub(super) async fn wake(tx: &mut Tx, entries: &[Entry], limits: Limits) -> Result<Vec<Told>, StoreError> {
    let open: Vec<&Entry> = entries.iter().collect();
    let attributions = attribute(tx, &open).await?;
    let woken = tx.wake(&arrivals(&open, &attributions)).await?;
    let woken = decode(tx, woken).await?;
    let woken_as = vec![Attribution::Customer; woken.len()];
    let all: Vec<(&Entry, &Attribution)> = woken.iter().zip(&woken_as).collect();
    let verdicts = finish(tx, &all, limits, false).await?;
    Ok(told(&woken, &verdicts))
}

/// Ends at most `most` parked leads: the ripe first, then the expired.
pub(super) async fn sweep(tx: &mut Tx, limits: Limits, most: i64, taken: &Taken) -> Result<Vec<Told>, StoreError> {
    let ripe = tx.take_ripe(most).await?;
    taken.note(ripe.last());
    let mut entries = decode(tx, ripe).await?;
    let mut attributions = vec![Attribution::Customer; entries.len()];
    let room = most - i64::try_from(entries.len()).unwrap_or(most);
    if room > 0 {
        let expired = tx.take_expired(room).await?;
        taken.note(expired.last());
        entries.extend(decode(tx, expired).await?);
        attributions.resize(entries.len(), Attribution::Rejected(Reason::CustomerNotFound, None));
    }
    let all: Vec<(&Entry, &Attribution)> = entries.iter().zip(&attributions).collect();
    let verdicts = finish(tx, &all, limits, false).await?;
    Ok(told(&entries, &verdicts))
}

/// Reads parked messages back; one that cannot be read any more is buried here and now.
async fn decode(tx: &mut Tx, woken: Vec<Woken>) -> Result<Vec<Entry>, StoreError> {
    let mut entries = Vec::with_capacity(woken.len());
    for Woken { workspace_id, id, message, reply_to } in woken {
        match LeadMessage::decode(&message) {
            Ok(message) => entries.push(Entry::new(Received { message, reply_to, again: true })),
            Err(error) => {
                let (identity, reason) = (id.to_string(), error.to_string());
                let (workspace_id, lead_id) = (Some(workspace_id), Some(id));
                tx.bury(&Grave { identity, workspace_id, lead_id, reason, message }).await?;
            }
        }
    }
    Ok(entries)
}

fn told(entries: &[Entry], verdicts: &BTreeMap<Uuid, Verdict>) -> Vec<Told> {
    let ended = |entry: &Entry| match verdicts.get(&entry.message.id) {
        Some(Verdict::Ended(ended)) => {
            Some(Told { message: entry.message.clone(), reply_to: entry.reply_to.clone(), ended: ended.clone() })
        }
        _ => None,
    };
    entries.iter().filter_map(ended).collect()
}

/// Stores the rows, moves the counters, parks the rest.
async fn finish(
    tx: &mut Tx,
    entries: &[(&Entry, &Attribution)],
    limits: Limits,
    hopeful: bool,
) -> Result<BTreeMap<Uuid, Verdict>, StoreError> {
    let asking = entries.iter().filter(|(_, a)| **a == Attribution::Customer).map(|(entry, _)| entry.customer());
    let clicks = customers_clicks(tx, asking).await?;
    let mut rows = Vec::with_capacity(entries.len());
    let mut parked = Vec::new();
    for (entry, attribution) in entries {
        match row(entry, attribution, &clicks) {
            Some(row) => rows.push(row),
            None => parked.push(parking(entry, limits)?),
        }
    }
    let stored = keys::store(tx, rows, hopeful).await?;
    let mut verdicts: BTreeMap<Uuid, Verdict> =
        stored.endings.into_iter().map(|(id, ended)| (id, Verdict::Ended(ended))).collect();
    if !parked.is_empty() {
        tx.park(&parked).await?;
        verdicts.extend(parked.iter().map(|row| (row.id, Verdict::Parked)));
    }
    let (links, quantities) = keys::sums(stored.counted);
    if !links.is_empty() {
        tx.count_leads(&links, &quantities).await?;
    }
    Ok(verdicts)
}

/// The row to be; `None` if it has to wait for its customer.
pub(super) fn row<'a>(
    entry: &'a Entry,
    attribution: &'a Attribution,
    clicks: &'a HashMap<CustomerKey, Click>,
) -> Option<NewLead<'a>> {
    let message = &entry.message;
    let (click, rejected) = match attribution {
        Attribution::Click(click) => (Some(click), None),
        Attribution::Rejected(reason, link_id) => (None, Some((*reason, *link_id))),
        Attribution::Customer => {
            let key = (message.workspace_id, message.customer_external_id.clone());
            (Some(clicks.get(&key)?), None)
        }
    };
    let ending = match (rejected, message.mode) {
        (Some(_), _) => Ending::Rejected,
        (None, Mode::Deferred) => Ending::Deferred,
        (None, Mode::Async | Mode::Wait) => Ending::Recorded,
    };
    Some(NewLead {
        workspace_id: message.workspace_id,
        id: message.id,
        customer_external_id: &message.customer_external_id,
        event_key: &entry.event_key,
        event_name: &message.event_name,
        mode: message.mode,
        ending,
        reason: rejected.map(|(reason, _)| reason),
        quantity: message.quantity,
        follow_up: message.is_follow_up(),
        click_id: click.map_or(message.click_id.as_deref(), |click| Some(&click.click_id)),
        link_id: click.map(|click| click.link_id).or(rejected.and_then(|(_, link_id)| link_id)),
        clicked_at: click.map(|click| click.clicked_at),
        country: click.and_then(|click| click.country.as_deref()),
        metadata: message.metadata.as_deref(),
        accepted_at: message.accepted_at,
    })
}

fn parking(entry: &Entry, limits: Limits) -> Result<NewParked<'_>, StoreError> {
    let message = &entry.message;
    let bytes = message.encode().map_err(|_| StoreError::Silent("the encoding of a message"))?;
    let stay = if message.awaited { limits.follow_up_wait } else { limits.park_max };
    Ok(NewParked {
        workspace_id: message.workspace_id,
        id: message.id,
        customer_external_id: &message.customer_external_id,
        message: bytes,
        reply_to: entry.reply_to.as_deref(),
        stay,
    })
}
