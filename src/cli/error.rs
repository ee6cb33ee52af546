//! Why a command failed, in one line for the person who typed it.
//!
//! **Invariant:** no key, password or message body is part of the text.

use std::io;

use thiserror::Error;

use crate::broker::PublishError;
use crate::config::LoadError;
use crate::store::{MigrateError, StoreError};
use crate::telemetry::LogError;

/// Why a command failed.
#[derive(Debug, Error)]
pub enum CliError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] LoadError),
    /// Logging.
    #[error(transparent)]
    Log(#[from] LogError),
    /// `PostgreSQL`.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A migration.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// `RabbitMQ` took no message.
    #[error("RabbitMQ did not take the message: {0}")]
    Publish(#[from] PublishError),
    /// A file or a stream.
    #[error("{0}: {1}")]
    File(String, #[source] io::Error),
    /// Standard output is gone.
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
    /// An HTTP request that got no answer.
    #[error("no answer from {0}: {1}")]
    Http(String, #[source] reqwest::Error),
    /// What was asked for is not there, does not fit, or did not pass.
    #[error("{0}")]
    Said(String),
}

impl CliError {
    /// A failure said in a sentence of its own.
    pub fn said(text: impl Into<String>) -> Self {
        Self::Said(text.into())
    }

    /// Whether it only means that the reader of our output went away.
    #[must_use]
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Why a request was not answered: the innermost reason, since what stands around it only says that there was no answer.
pub(super) fn cause(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
