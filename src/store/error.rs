//! Whose fault it is: the row's or the world's, told by SQLSTATE where the error enters.
//!
//! Only classes 22 (data exception) and 23 (integrity violation) can condemn a row, 23505 (unique
//! violation) never does, and every other code, unknown ones included, is the world's failure: hold.
//!
//! **Invariant:** no decision is ever made on the text of an error.

use thiserror::Error;

/// Why a statement did not do what it should.
#[derive(Debug, Error)]
pub enum StoreError {
    /// `PostgreSQL` is away, overloaded, read-only, or answers something nobody planned: try again later.
    #[error("PostgreSQL does not serve: {0}")]
    Away(#[source] sqlx::Error),
    /// Who answers has no certificate of a trusted CA for the name in `store.url`; nothing was said to them.
    #[error("PostgreSQL's TLS certificate is refused: {reason}; {advice}")]
    Untrusted {
        /// What is wrong with it.
        reason: String,
        /// The setting to look at.
        advice: &'static str,
        /// The driver's error.
        #[source]
        source: sqlx::Error,
    },
    /// `store.url` asks for something that this build or this machine does not have.
    #[error("store.url: {0}")]
    Setting(String),
    /// Nothing came back in time; the transaction may or may not have been committed.
    #[error("PostgreSQL did not answer {0} in time")]
    Silent(&'static str),
    /// The server answers, and takes no writes: a standby, or one that is read-only by default.
    #[error("PostgreSQL takes no writes here")]
    ReadOnly,
    /// `PostgreSQL` refuses the row itself.
    #[error("PostgreSQL refuses the row ({code})")]
    Refused {
        /// SQLSTATE.
        code: String,
        /// The driver's error.
        #[source]
        source: sqlx::Error,
    },
    /// A unique constraint already has such a row.
    #[error("constraint {constraint} has such a row already")]
    Conflict {
        /// The constraint's name.
        constraint: String,
        /// The driver's error.
        #[source]
        source: sqlx::Error,
    },
}

impl StoreError {
    /// Classifies a driver's error.
    #[must_use]
    pub fn classify(source: sqlx::Error) -> Self {
        let Some(database) = source.as_database_error() else {
            return match super::tls::untrusted(&source) {
                Some((reason, advice)) => Self::Untrusted { reason, advice, source },
                None => Self::Away(source),
            };
        };
        let code = database.code().unwrap_or_default().into_owned();
        match code.as_str() {
            "23505" => Self::Conflict { constraint: database.constraint().unwrap_or_default().to_owned(), source },
            other if other.starts_with("22") || other.starts_with("23") => Self::Refused { code, source },
            _ => Self::Away(source),
        }
    }

    /// What `PostgreSQL` calls it: its SQLSTATE, if it answered at all.
    #[must_use]
    pub fn code(&self) -> Option<String> {
        match self {
            Self::Away(source) | Self::Refused { source, .. } | Self::Conflict { source, .. } => {
                Some(source.as_database_error()?.code()?.into_owned())
            }
            Self::Untrusted { .. } | Self::Setting(_) | Self::Silent(_) | Self::ReadOnly => None,
        }
    }

    /// Whether the row, not the world, is at fault.
    #[must_use]
    pub fn condemns(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// Whether this says that `PostgreSQL` itself does not serve (rather than that it said no).
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Away(_) | Self::Silent(_) | Self::ReadOnly | Self::Untrusted { .. } | Self::Setting(_))
    }

    /// Whether the server as a whole does not serve: unreachable, out of resources, stopping, read-only.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Away(source) => source
                .as_database_error()
                .and_then(|e| e.code())
                .is_none_or(|code| ["08", "53", "57P", "25006"].iter().any(|class| code.starts_with(class))),
            Self::Silent(_) | Self::ReadOnly | Self::Untrusted { .. } | Self::Setting(_) => true,
            Self::Refused { .. } | Self::Conflict { .. } => false,
        }
    }

    /// The word in labels; `None` where it is no failure of the world.
    #[must_use]
    pub fn kind(&self) -> Option<&'static str> {
        match self {
            Self::Away(sqlx::Error::PoolTimedOut) => Some("pool_timed_out"),
            Self::Away(_) if self.is_collision() => Some("collision"),
            Self::Away(_) => Some("away"),
            Self::Silent(_) => Some("silent"),
            Self::ReadOnly => Some("read_only"),
            Self::Untrusted { .. } => Some("untrusted"),
            Self::Setting(_) => Some("setting"),
            Self::Refused { .. } | Self::Conflict { .. } => None,
        }
    }

    /// Whether trying again at once is right: a deadlock or a serialization failure.
    #[must_use]
    pub fn is_collision(&self) -> bool {
        let Self::Away(source) = self else {
            return false;
        };
        source.as_database_error().and_then(|e| e.code()).is_some_and(|code| code == "40P01" || code == "40001")
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(source: sqlx::Error) -> Self {
        Self::classify(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::FAILURES;

    #[test]
    fn a_failure_of_the_world_has_a_kind_and_a_refusal_has_none() {
        let world = [
            StoreError::classify(sqlx::Error::PoolTimedOut),
            StoreError::classify(sqlx::Error::PoolClosed),
            StoreError::Silent("a test"),
            StoreError::ReadOnly,
            StoreError::Setting(String::new()),
        ];
        let (_, kinds) = FAILURES.iter().find(|(room, _)| *room == "store").unwrap();
        let found: Vec<_> = world.iter().filter_map(StoreError::kind).collect();
        assert_eq!(found, ["pool_timed_out", "away", "silent", "read_only", "setting"]);
        assert!(found.iter().all(|kind| kinds.contains(kind)));
        let source = sqlx::Error::RowNotFound;
        assert_eq!(StoreError::Refused { code: "22003".to_owned(), source }.kind(), None);
    }
}
