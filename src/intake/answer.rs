//! What becomes of a lead request, as far as its caller is concerned.
//!
//! **Invariant:** an answer that says 200 is only ever built after the request is durable.

use uuid::Uuid;

use crate::lead::Ending;

/// The answer to one lead request.
#[derive(Debug, Clone)]
pub struct Answer {
    /// For `x-lead-id`: the lead this request became, or the recorded one it repeats.
    pub lead_id: Uuid,
    /// For `x-lead-ending`: how it ended, once known.
    pub ending: Option<Ending>,
    /// 200, or why not.
    pub outcome: Result<Tracked, TurnedAway>,
}

impl Answer {
    /// Whether it promises nothing, and the request is to be repeated.
    pub(super) fn is_unavailable(&self) -> bool {
        matches!(self.outcome, Err(TurnedAway::Unavailable))
    }
}

/// What a 200 says.
#[derive(Debug, Clone)]
pub struct Tracked {
    /// The click as sent, or the customer's.
    pub click_id: String,
    /// Absent for a duplicate and while `PostgreSQL` is away.
    pub link: Option<TrackedLink>,
    /// The stored customer, or the one the request describes.
    pub customer: TrackedCustomer,
}

/// A link as far as an answer shows it.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the wire's own field names")]
pub struct TrackedLink {
    pub id: Uuid,
    pub domain: String,
    pub key: String,
    pub url: String,
    pub partner_id: Option<String>,
    pub program_id: Option<String>,
    pub tenant_id: Option<String>,
    pub external_id: Option<String>,
}

/// A customer as far as an answer shows it.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the wire's own field names")]
pub struct TrackedCustomer {
    pub name: Option<String>,
    pub email: Option<String>,
    pub avatar: Option<String>,
    pub external_id: String,
}

/// Why a request is not answered 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TurnedAway {
    /// 404: nobody knows the click.
    ClickNotFound {
        /// The click as sent.
        click_id: String,
    },
    /// 404: the click's link is gone.
    LinkNotFound {
        /// The click as sent.
        click_id: String,
    },
    /// 404: the click's link belongs to another workspace.
    LinkForeign {
        /// The click as sent.
        click_id: String,
        /// Its link.
        link_id: Uuid,
    },
    /// 404: the click's link is disabled.
    LinkDisabled {
        /// The click as sent.
        click_id: String,
        /// Its link.
        link_id: Uuid,
    },
    /// 400: a follow-up, and the customer never came with a click.
    CustomerNotFound,
    /// 503 with `Retry-After`: not durable or not known in time; it may still end, once. Repeating is safe.
    Unavailable,
}
