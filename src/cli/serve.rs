//! `api`, `worker` and `all`: start, serve, stop when told to.
//!
//! SIGTERM or SIGINT asks for the stop; when `lifecycle.stop_budget` is over, or at a second signal,
//! what is left is dropped and named. Exit codes: 0 clean, 1 failed, 2 something had to be dropped.
//!
//! **Invariant:** the signals are heard before anything is built, so a start can be interrupted.

use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::{App, Role};
use crate::config;
use crate::lifecycle::Stop;
use crate::telemetry;

use super::error::CliError;
use super::out::complain;

/// After the hard stop, how long the tasks may take to be dropped.
const DROPPING: Duration = Duration::from_secs(3);

/// Serves until stopped; returns the exit code.
///
/// # Errors
/// [`CliError`] when the start fails or a task ended early.
pub(super) async fn serve(role: Role, file: Option<&Path>) -> Result<u8, CliError> {
    let config = config::load(file)?;
    telemetry::init(&config.telemetry)?;
    let mut signals = Signals::listen()?;
    // One connection is one file, and the soft limit is often 1024.
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => tracing::debug!(files, "limit of open files"),
        Err(error) => tracing::warn!(%error, "the limit of open files stays as it is"),
    }
    let stop = Stop::new();
    let app = async {
        let app = App::build(&config, role).await.map_err(failed)?;
        let (address, metrics) = (app.address().map(tracing::field::display), app.metrics_address());
        tracing::info!(address, %metrics, ?role, "serving");
        app.run(stop.clone()).await.map_err(failed)
    };
    let budget = config.lifecycle.stop_budget;
    let left = tokio::select! {
        ended = app => ended?,
        () = signals.conduct(&stop, budget) => {
            complain("tasks did not let themselves be dropped");
            return Ok(2);
        }
    };
    if left.is_empty() {
        tracing::info!("stopped cleanly");
        return Ok(0);
    }
    let left = left.join(", ");
    complain(&format!("had to be dropped before the end: {left}; unacknowledged leads go back to their queues"));
    Ok(2)
}

/// The signals that ask for a stop.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Hears them from now on.
    ///
    /// # Errors
    /// [`CliError`] when the system does not let us.
    pub(super) fn listen() -> Result<Self, CliError> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next one. Cancel-safe.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Turns signals into the two stops. Resolves only if the hard stop did not end the application.
    async fn conduct(&mut self, stop: &Stop, budget: Duration) {
        tokio::select! {
            name = self.next() => tracing::info!(signal = name, budget = ?budget, "stopping"),
            () = stop.asked() => {}
        }
        stop.ask();
        tokio::select! {
            () = tokio::time::sleep(budget) => tracing::warn!(budget = ?budget, "stop budget is over"),
            name = self.next() => tracing::warn!(signal = name, "second signal"),
        }
        stop.force();
        tokio::time::sleep(DROPPING).await;
    }
}

fn failed(error: impl std::fmt::Display) -> CliError {
    CliError::said(error.to_string())
}
