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
    /// 503.
    pub(super) fn unavailable(lead_id: Uuid, cause: Cause) -> Self {
        Self { lead_id, ending: None, outcome: Err(TurnedAway::Unavailable(cause)) }
    }

    /// Whether it promises nothing, and the request is to be repeated.
    pub(super) fn is_unavailable(&self) -> bool {
        matches!(self.outcome, Err(TurnedAway::Unavailable(_)))
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
    Unavailable(Cause),
}

/// What was missing when a request was answered 503.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A permit: too many leads are under way, in all or of its workspace.
    NoPermit,
    /// A place among those who wait for a reply.
    NoWaiter,
    /// Room in its queue.
    QueueFull,
    /// Room in the window of unconfirmed messages, in time.
    Crowded,
    /// The verdict, in time.
    NoVerdict,
    /// `RabbitMQ`, and only the queue can answer it.
    BrokerAway,
    /// `PostgreSQL`, and only a row can answer it.
    PostgresAway,
    /// Both engines.
    EnginesAway,
    /// The lead of the same request that it follows: that one was answered 503.
    Follows,
    /// A row: `PostgreSQL` refused it, and its caller waited for one.
    Buried,
}

impl Cause {
    /// The word in labels and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoPermit => "no_permit",
            Self::NoWaiter => "no_waiter",
            Self::QueueFull => "queue_full",
            Self::Crowded => "crowded",
            Self::NoVerdict => "no_verdict",
            Self::BrokerAway => "broker_away",
            Self::PostgresAway => "postgres_away",
            Self::EnginesAway => "engines_away",
            Self::Follows => "follows",
            Self::Buried => "buried",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::FAILURES;

    #[test]
    fn every_cause_is_a_kind_of_failure_and_the_other_way_round() {
        use Cause::{
            BrokerAway, Buried, Crowded, EnginesAway, Follows, NoPermit, NoVerdict, NoWaiter, PostgresAway, QueueFull,
        };
        let all =
            [NoPermit, NoWaiter, QueueFull, Crowded, NoVerdict, BrokerAway, PostgresAway, EnginesAway, Follows, Buried];
        let (_, kinds) = FAILURES.iter().find(|(room, _)| *room == "intake").unwrap();
        assert_eq!(all.map(Cause::as_str).as_slice(), *kinds);
    }
}
