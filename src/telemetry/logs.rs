//! Sets up tracing: text for people on a terminal, one JSON object per line otherwise.
//!
//! A library whose loudest lines print what it carries is never heard that loud, whatever the filter says.
//!
//! **Invariant:** log lines go to standard error; standard output belongs to a command's result. No line
//! holds a key, or the bytes of a lead.

use std::io::{self, IsTerminal};

use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::util::TryInitError;
use tracing_subscriber::{fmt, prelude::*};

use crate::config::{LogFormat, Telemetry};

/// Prints every frame at `trace`, and so every lead.
const CARRIER: &str = "lapin";

/// Why logging cannot be set up.
#[derive(Debug, Error)]
pub enum LogError {
    /// `telemetry.log` or `RUST_LOG` is no filter.
    #[error("telemetry.log: {0}")]
    Filter(#[from] ParseError),
    /// Somebody set up logging before.
    #[error("logging is set up already: {0}")]
    Twice(#[from] TryInitError),
}

/// Sets up logging for the process. `RUST_LOG` overrides the configured filter.
///
/// # Errors
/// [`LogError`] when the filter cannot be read or logging is set up already.
pub fn init(config: &Telemetry) -> Result<(), LogError> {
    let filter = match EnvFilter::try_from_default_env() {
        Ok(filter) => filter,
        Err(_) => EnvFilter::try_new(&config.log)?,
    };
    let json = match config.format {
        LogFormat::Auto => !io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let discreet = Targets::new().with_default(LevelFilter::TRACE).with_target(CARRIER, LevelFilter::DEBUG);
    let lines = fmt::layer().with_writer(io::stderr).with_target(true);
    if json {
        tracing_subscriber::registry().with(filter).with(discreet).with(lines.json().flatten_event(true)).try_init()?;
    } else {
        tracing_subscriber::registry().with(filter).with(discreet).with(lines).try_init()?;
    }
    Ok(())
}
