//! The three ways to track a lead.
//!
//! **Invariant:** the words are the wire's words; there is no fourth mode and no alias.

use serde::{Deserialize, Serialize};

/// When the caller is answered, and whether an event is recorded at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Answered once the request is durable.
    Async,
    /// Answered once the lead is committed.
    Wait,
    /// Customer and click are stored; the event comes with a later follow-up.
    Deferred,
}

impl Mode {
    /// All modes, in the order the contract lists them.
    pub const ALL: [Self; 3] = [Self::Async, Self::Wait, Self::Deferred];

    /// The word on the wire, in logs, labels and SQL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Async => "async",
            Self::Wait => "wait",
            Self::Deferred => "deferred",
        }
    }

    /// Reads the word; `None` for any other.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == word)
    }
}
