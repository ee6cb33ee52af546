//! The short way: a batch of which every lead is resolved and thought to be new, in one statement.
//!
//! Nearly every batch is one: repeats are answered at accept, and follow-ups are few. What the long way does in six round trips
//! the database then does in one; a lead that is not new fails the statement, and the batch goes the long way.
//!
//! **Invariant:** the short way ends a lead as the long way would, or not at all.

use std::collections::{HashMap, HashSet};

use super::attribute::{Attribution, arrivals, brought, decide};
use super::batch::Entry;
use super::keys::{Stored, sums};
use super::transaction::row;
use super::verdict::{Recorded, Verdict};
use crate::lead::Mode;
use crate::store::{NewLead, StoreError, Tx};

/// Whether the short way will do: no lead has to be looked for, and no two want the same key.
pub(super) fn will_do(entries: &[Entry]) -> bool {
    let mut keys = HashSet::with_capacity(entries.len());
    entries.iter().all(|entry| {
        let is_alone =
            entry.message.mode == Mode::Deferred || keys.insert((entry.customer(), entry.event_key.as_str()));
        is_alone && !entry.may_be_known()
    })
}

/// Records a batch for which [`will_do`]; returns also whether leads are parked for its customers.
pub(super) async fn record(tx: &mut Tx, entries: &[Entry]) -> Result<(Recorded, bool), StoreError> {
    let open: Vec<&Entry> = entries.iter().collect();
    let attributions: Vec<Attribution> = open.iter().map(|entry| decide(entry, &mut std::iter::empty())).collect();
    let (arrivals, nobodys) = (arrivals(&open, &attributions), HashMap::new());
    let rows = entries.iter().zip(&attributions).filter_map(|(entry, attribution)| row(entry, attribution, &nobodys));
    let mut rows: Vec<NewLead<'_>> = rows.collect();
    let mut stored = Stored::default();
    stored.all_new(&rows);
    let (links, quantities) = sums(stored.counted);
    let (waiting, before) = tx.record_new(&mut rows, &arrivals, (&links, &quantities)).await?;
    let verdicts = stored.endings.into_iter().map(|(id, ended)| (id, Verdict::Ended(ended)));
    let brought = brought(&arrivals, &before);
    Ok((Recorded { verdicts: verdicts.collect(), brought, woken: Vec::new() }, waiting))
}
