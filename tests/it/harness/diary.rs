//! Every lead request a test made, with what it was told: what the tables are checked against.
//!
//! **Invariant:** an entry is written for every answer, also for refusals and for no answer at all.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use leadline::lead::{LeadMessage, Schema, TrackLead};
use serde_json::Value;
use uuid::Uuid;

use super::client::Answer;

/// One request and what became of it, as far as its caller knows.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) workspace_id: Uuid,
    /// The wish, if the body held one.
    pub(crate) lead: Option<TrackLead>,
    /// `x-lead-id`.
    pub(crate) id: Option<Uuid>,
    /// `x-lead-ending`.
    pub(crate) ending: Option<String>,
    /// 200, 4xx, 503; 0 for a message put into a queue directly, which must end like a 200.
    pub(crate) status: u16,
}

impl Entry {
    /// Whether this request must have an ending.
    pub(crate) fn accepted(&self) -> bool {
        matches!(self.status, 0 | 200)
    }
}

/// The diary of one test; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Diary {
    entries: Arc<Mutex<Vec<Entry>>>,
    strangers: Arc<Mutex<BTreeSet<String>>>,
}

impl Diary {
    /// Notes a request and its answer.
    pub(crate) fn note(&self, workspace_id: Uuid, body: &Value, schema: Schema, answer: &Answer) {
        self.push(Entry {
            workspace_id,
            lead: TrackLead::parse(body.to_string().as_bytes(), schema).ok(),
            id: answer.lead_id(),
            ending: answer.ending().map(str::to_owned),
            status: answer.status,
        });
    }

    /// Notes a message that was put into a queue without any API.
    pub(crate) fn note_message(&self, message: &LeadMessage) {
        self.push(Entry {
            workspace_id: message.workspace_id,
            lead: Some(TrackLead {
                click_id: message.click_id.clone(),
                event_name: message.event_name.clone(),
                customer_external_id: message.customer_external_id.clone(),
                customer_name: message.customer_name.clone(),
                customer_email: message.customer_email.clone(),
                customer_avatar: message.customer_avatar.clone(),
                mode: message.mode,
                quantity: message.quantity,
                metadata: message.metadata.clone(),
            }),
            id: Some(message.id),
            ending: None,
            status: 0,
        });
    }

    /// Notes a customer for whom requests may have ended that nobody was answered about.
    pub(crate) fn note_stranger(&self, customer: &str) {
        self.strangers.lock().unwrap().insert(customer.to_owned());
    }

    /// Whether rows of this customer need no entry.
    pub(crate) fn is_stranger(&self, customer: &str) -> bool {
        self.strangers.lock().unwrap().contains(customer)
    }

    /// Forgets a request that a restore took back, with whatever was told about it.
    pub(crate) fn forget(&self, id: Uuid) {
        self.entries.lock().unwrap().retain(|entry| entry.id != Some(id));
    }

    /// A copy of all entries.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap().clone()
    }

    fn push(&self, entry: Entry) {
        self.entries.lock().unwrap().push(entry);
    }
}
