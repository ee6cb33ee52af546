//! What is published, and to whom.
//!
//! **Invariant:** what a letter carries never shows in `Debug`.

use std::fmt;

use uuid::Uuid;

use super::Queue;
use crate::lead::Trace;

/// One message to publish.
pub struct Letter {
    /// Where to.
    pub to: Address,
    /// Message id; the correlation id of a reply.
    pub id: Uuid,
    /// The bytes.
    pub body: Vec<u8>,
    /// The reply queue on which its sender waits, if anybody does.
    pub reply_to: Option<String>,
    /// Where it stands in a trace: headers of a message that it alone makes. What travels in a pack says so in its bytes.
    pub trace: Option<Box<Trace>>,
}

/// Where a letter goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A queue of the topology: persistent, confirmed by a quorum.
    Queue(Queue),
    /// A reply queue, by its name: transient, dropped by the broker if the queue is gone.
    Reply(String),
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letter").field("to", &self.to).field("id", &self.id).finish_non_exhaustive()
    }
}
