//! What comes in and what goes out: received messages, verdicts, and whom to tell.
//!
//! **Invariant:** there is no verdict for "the world failed": that is an error, and the batch is held.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use crate::lead::LeadMessage;
use crate::store::Ended;

/// A message as it was received.
#[derive(Debug, Clone)]
pub struct Received {
    /// The lead.
    pub message: LeadMessage,
    /// The reply queue of whoever waits for its verdict.
    pub reply_to: Option<String>,
    /// Whether it may have been handled before.
    pub again: bool,
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It has its ending, now or since an earlier delivery.
    Ended(Ended),
    /// It waits for its customer's click.
    Parked,
    /// `PostgreSQL` refuses its row; bury it, with this reason.
    Bury(String),
}

/// A lead that got its ending without being in the batch: it had been parked.
#[derive(Debug, Clone)]
pub struct Told {
    /// The lead.
    pub message: LeadMessage,
    /// The reply queue of whoever waits for its verdict.
    pub reply_to: Option<String>,
    /// Its ending.
    pub ended: Ended,
}

/// The outcome of a batch.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    /// By lead id; copies of one message share a verdict.
    pub verdicts: HashMap<Uuid, Verdict>,
    /// Leads that somebody waits for and whose customer is new, stored as they describe him.
    pub brought: HashSet<Uuid>,
    /// Parked leads that this batch woke.
    pub woken: Vec<Told>,
}
