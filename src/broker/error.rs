//! The broker's failures, told apart by what the caller can do about them.
//!
//! Enters: lapin's errors. Leaves: [`BrokerError`] (permanent or worth another attempt) and
//! [`PublishError`] (what is known about one message).
//!
//! **Invariant:** decisions follow reply codes and variants, never the text of an error.

use lapin::ErrorKind;
use lapin::protocol::AMQPError;
use thiserror::Error;

/// Reply code of a login or permission that was refused.
const ACCESS_REFUSED: u16 = 403;
/// Reply code of a queue or exchange that does not exist.
const NOT_FOUND: u16 = 404;
/// Reply code of arguments that differ from those of the existing queue or exchange.
pub(super) const PRECONDITION_FAILED: u16 = 406;
/// Reply code of a virtual host that does not exist or may not be used.
const NOT_ALLOWED: u16 = 530;

/// Why the broker did not do what it should.
#[derive(Debug, Error)]
pub enum BrokerError {
    /// It cannot be reached, or ended the connection or channel.
    #[error("RabbitMQ does not serve: {0}")]
    Away(#[source] lapin::Error),
    /// It did not answer in time; the connection is given up.
    #[error("RabbitMQ did not answer {0} in time")]
    Silent(&'static str),
    /// The connection, channel or consumer this belonged to is no more.
    #[error("{0} is gone")]
    Gone(&'static str),
    /// A queue or exchange exists with other arguments. Nothing was changed or deleted.
    #[error("{queue} exists with other arguments; ours: {ours}; RabbitMQ says: {said}")]
    Mismatch {
        /// Name of the queue or exchange.
        queue: String,
        /// What we declared.
        ours: String,
        /// The broker's sentence.
        said: String,
    },
    /// User, password, permission or virtual host were refused.
    #[error("RabbitMQ refuses access: {0}")]
    Refused(String),
    /// `broker.url` cannot be used.
    #[error("broker.url: {0}")]
    Address(String),
    /// A file of certificates or keys cannot be used.
    #[error("{key}: {why}")]
    File {
        /// The setting that names it.
        key: &'static str,
        /// Path and reason.
        why: String,
    },
    /// What answers at this address is no broker of this protocol.
    #[error("what answers there does not speak AMQP 0-9-1: {0}")]
    Stranger(&'static str),
    /// Who answers has no certificate of a trusted CA for the name in `broker.url`; nothing was said to them.
    #[error("RabbitMQ's TLS certificate is refused: {reason}; {advice}")]
    Untrusted {
        /// What is wrong with it.
        reason: String,
        /// The setting to look at.
        advice: &'static str,
    },
}

impl BrokerError {
    /// Whether another attempt with the same configuration would fail alike.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Mismatch { .. }
            | Self::Refused(_)
            | Self::Address(_)
            | Self::File { .. }
            | Self::Stranger(_)
            | Self::Untrusted { .. } => true,
            Self::Away(_) | Self::Silent(_) | Self::Gone(_) => false,
        }
    }

    /// The word in labels.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Away(_) => "away",
            Self::Silent(_) => "silent",
            Self::Gone(_) => "gone",
            Self::Mismatch { .. } => "mismatch",
            Self::Refused(_) => "refused",
            Self::Untrusted { .. } => "untrusted",
            Self::Address(_) | Self::File { .. } | Self::Stranger(_) => "setting",
        }
    }

    /// Whether the arguments of a queue or exchange differ from ours.
    pub(super) fn is_mismatch(&self) -> bool {
        matches!(self, Self::Mismatch { .. })
    }

    /// Whether a queue or exchange does not exist.
    pub(super) fn is_missing(&self) -> bool {
        self.code() == Some(NOT_FOUND)
    }

    /// Whether RabbitMQ found fault with the values of a request, as opposed to the right to make it.
    pub(super) fn is_precondition(&self) -> bool {
        self.code() == Some(PRECONDITION_FAILED)
    }

    fn code(&self) -> Option<u16> {
        match self {
            Self::Away(source) => said(source).map(AMQPError::get_id),
            _ => None,
        }
    }
}

impl From<lapin::Error> for BrokerError {
    fn from(error: lapin::Error) -> Self {
        if let Some(untrusted) = super::tls::untrusted(&error) {
            return untrusted;
        }
        match said(&error) {
            Some(sentence) if [ACCESS_REFUSED, NOT_ALLOWED].contains(&sentence.get_id()) => {
                Self::Refused(sentence.get_message().to_string())
            }
            _ => Self::Away(error),
        }
    }
}

/// The broker's own sentence, if the error is one.
pub(super) fn said(error: &lapin::Error) -> Option<&AMQPError> {
    match error.kind() {
        ErrorKind::ProtocolError(sentence) => Some(sentence),
        _ => None,
    }
}

/// What is known about a message that was not confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PublishError {
    /// It never left: no connection, or a blocked one.
    #[error("the message was not handed to RabbitMQ")]
    Away,
    /// It never left: no room in the window in time. The broker is away, or more comes than it takes.
    #[error("too many messages wait for RabbitMQ's confirm")]
    Crowded,
    /// It left, and neither confirm nor refusal came in time: it may arrive.
    #[error("RabbitMQ did not confirm the message in time")]
    Unconfirmed,
    /// The queue is full: RabbitMQ refused it.
    #[error("the queue is full")]
    Full,
}

impl PublishError {
    /// The word in labels and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Crowded => "crowded",
            Self::Unconfirmed => "unconfirmed",
            Self::Full => "nacked",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::FAILURES;

    #[test]
    fn every_kind_is_a_label_that_is_there_from_the_start() {
        let text = String::new;
        let all = [
            BrokerError::Silent("a test"),
            BrokerError::Gone("a test"),
            BrokerError::Mismatch { queue: text(), ours: text(), said: text() },
            BrokerError::Refused(text()),
            BrokerError::Untrusted { reason: text(), advice: "" },
            BrokerError::Address(text()),
            BrokerError::File { key: "", why: text() },
        ];
        let (_, kinds) = FAILURES.iter().find(|(room, _)| *room == "broker").unwrap();
        let found = all.iter().map(BrokerError::kind).collect::<Vec<_>>();
        assert_eq!(found, ["silent", "gone", "mismatch", "refused", "untrusted", "setting", "setting"]);
        assert!(found.iter().all(|kind| kinds.contains(kind)));
    }
}
