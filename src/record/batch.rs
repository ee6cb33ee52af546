//! The batch as the transaction sees it: each lead once.
//!
//! Enters: received messages, copies included. Leaves: entries, the first of each id in the order received.
//!
//! **Invariant:** two entries of one batch never have the same lead id.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::verdict::Received;
use crate::lead::{LeadMessage, event_key};

/// One lead of the batch.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) message: LeadMessage,
    pub(super) event_key: String,
    pub(super) reply_to: Option<String>,
    again: bool,
}

impl Entry {
    pub(super) fn new(received: Received) -> Self {
        let event_key = event_key(&received.message.event_name);
        Self { message: received.message, event_key, reply_to: received.reply_to, again: received.again }
    }

    /// Whether an earlier ending has to be looked for before anything else. A first delivery whose click was resolved at
    /// accept needs no look: nothing is decided for it anew, and an ending it may have is found by its own id.
    pub(super) fn may_be_known(&self) -> bool {
        self.again || self.message.resolved.is_none()
    }

    pub(super) fn customer(&self) -> (Uuid, &str) {
        (self.message.workspace_id, &self.message.customer_external_id)
    }
}

/// Messages to record together, each lead once; recording it again costs no copy.
#[derive(Debug, Clone)]
pub struct Batch(Arc<[Entry]>);

impl Batch {
    /// Collapses copies of one message.
    #[must_use]
    pub fn new(received: Vec<Received>) -> Self {
        Self(collapse(received).into())
    }

    /// How many leads it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each lead with the reply queue of whoever waits for its verdict.
    pub fn leads(&self) -> impl Iterator<Item = (&LeadMessage, Option<&str>)> {
        self.0.iter().map(|entry| (&entry.message, entry.reply_to.as_deref()))
    }

    pub(super) fn entries(&self) -> Arc<[Entry]> {
        Arc::clone(&self.0)
    }
}

/// Keeps the first of each lead id; a copy's reply address survives if the first had none.
fn collapse(batch: Vec<Received>) -> Vec<Entry> {
    let mut places = HashMap::with_capacity(batch.len());
    let mut entries: Vec<Entry> = Vec::with_capacity(batch.len());
    for received in batch {
        let place = *places.entry(received.message.id).or_insert(entries.len());
        match entries.get_mut(place) {
            Some(first) => {
                first.reply_to = first.reply_to.take().or(received.reply_to);
                first.again |= received.again;
            }
            None => entries.push(Entry::new(received)),
        }
    }
    entries
}
