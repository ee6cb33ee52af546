//! The five endings of an accepted request, and why one was rejected.
//!
//! **Invariant:** an ending never changes once stored; there is no sixth.

use serde::{Deserialize, Serialize};

/// How an accepted request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// The lead is stored and counted.
    Recorded,
    /// Customer and click are stored, no event.
    Deferred,
    /// Another request had already recorded the same key.
    Duplicate,
    /// It can never be recorded; a [`Reason`] says why.
    Rejected,
    /// Undecodable, or a row that `PostgreSQL` itself refuses; kept with bytes and reason.
    Buried,
}

impl Ending {
    /// All endings, in the order the promise lists them.
    pub const ALL: [Self; 5] = [Self::Recorded, Self::Deferred, Self::Duplicate, Self::Rejected, Self::Buried];

    /// The word in JSON, logs, labels and SQL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Deferred => "deferred",
            Self::Duplicate => "duplicate",
            Self::Rejected => "rejected",
            Self::Buried => "buried",
        }
    }

    /// Reads the word; `None` for any other.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ending| ending.as_str() == word)
    }
}

/// Why a request was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Nobody knows the click.
    ClickNotFound,
    /// The click's link is gone.
    LinkNotFound,
    /// The click's link belongs to another workspace.
    LinkForeign,
    /// The click's link is disabled.
    LinkDisabled,
    /// A follow-up of a customer who never came with a click.
    CustomerNotFound,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 5] =
        [Self::ClickNotFound, Self::LinkNotFound, Self::LinkForeign, Self::LinkDisabled, Self::CustomerNotFound];

    /// The word in JSON, logs and SQL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClickNotFound => "click_not_found",
            Self::LinkNotFound => "link_not_found",
            Self::LinkForeign => "link_foreign",
            Self::LinkDisabled => "link_disabled",
            Self::CustomerNotFound => "customer_not_found",
        }
    }

    /// Reads the word; `None` for any other.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}
