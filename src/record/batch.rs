//! The batch as the transaction sees it: each lead once.
//!
//! Enters: received messages, copies included. Leaves: entries, the first of each id in the order received.
//!
//! **Invariant:** two entries of one batch never have the same lead id.

use std::collections::HashSet;

use uuid::Uuid;

use super::verdict::Received;
use crate::lead::{LeadMessage, event_key};

/// One lead of the batch.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) message: LeadMessage,
    pub(super) event_key: String,
    pub(super) reply_to: Option<String>,
}

impl Entry {
    pub(super) fn new(received: Received) -> Self {
        let event_key = event_key(&received.message.event_name);
        Self {
            message: received.message,
            event_key,
            reply_to: received.reply_to,
        }
    }

    pub(super) fn customer(&self) -> (Uuid, &str) {
        (
            self.message.workspace_id,
            &self.message.customer_external_id,
        )
    }
}

/// Keeps the first of each lead id; a copy's reply address survives if the first had none.
pub(super) fn collapse(batch: Vec<Received>) -> Vec<Entry> {
    let mut seen = HashSet::with_capacity(batch.len());
    let mut entries: Vec<Entry> = Vec::with_capacity(batch.len());
    for received in batch {
        if seen.insert(received.message.id) {
            entries.push(Entry::new(received));
        } else if let Some(first) = entries
            .iter_mut()
            .find(|entry| entry.message.id == received.message.id)
        {
            first.reply_to = first.reply_to.take().or(received.reply_to);
        }
    }
    entries
}
