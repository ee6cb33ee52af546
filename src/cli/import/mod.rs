//! `import`: the leads of a file, sent to the batch route of a running server.
//!
//! Enters: a file or standard input, an address, a key. Leaves: leads with the server, a file of those that it
//! refused, and, if it is interrupted, a state from which the same command goes on.
//!
//! ```text
//!  file ─▶ source ─▶ a few couriers ═▶ server
//!          (a thread)      │
//!                          ▼
//!                        desk ─▶ refused lines, state, progress
//! ```
//!
//! **Invariant:** memory is bounded by a few batches, however long the file is; and no line counts as done before
//! every line up to it is answered.

mod line;
mod ndjson;
mod table;
mod state;
mod source;
mod progress;
mod desk;
mod server;
mod send;

use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::args::ImportArgs;
use super::error::CliError;
use super::out::Out;
use super::serve::Signals;
use super::{INTERRUPTED, REFUSED};
use crate::config;
use crate::lifecycle::Stop;
use desk::Desk;
use line::Batch;
use progress::Progress;
use send::Courier;
use server::Server;
use source::Source;

type Batches = tokio::sync::Mutex<mpsc::Receiver<Result<Batch, CliError>>>;

/// `import`; returns the exit code.
///
/// # Errors
/// [`CliError`] when a file cannot be read or written, or the server takes no leads of this key. What was answered by
/// then is remembered.
pub(super) async fn import(args: ImportArgs, out: Out) -> Result<u8, CliError> {
    let key = config::api_key()
        .ok_or_else(|| CliError::said("LEADLINE_API_KEY is not set: it must hold a secret key of the workspace"))?;
    let mut source = Source::open(&args.file)?;
    let mut signals = Signals::listen()?;
    let stop = Stop::new();
    let (size, bytes) = (usize::from(args.batch), source.bytes());
    let mut desk = Desk::open(source.state.take(), source.refused.clone())?;
    // Before anything is sent, so that a folder that cannot be written to is noticed.
    desk.save()?;
    let courier = Courier {
        server: Server::at(&args.url, key)?,
        patience: Duration::from_secs(args.patience),
        most: AtomicUsize::new(size),
        stop: stop.clone(),
        frontier: desk.frontier(),
    };
    let progress = Progress::begin(&source.name, bytes, desk.byte(), desk.totals);
    if let Some(line) = desk.line().filter(|line| *line > 0) {
        progress.say(&format!("{}: going on after line {line}", source.name));
    }
    let (to, batches) = mpsc::channel(1);
    let reading = spawn_blocking(move || source.read(size, &to));
    let import = Import { courier, desk: Mutex::new(desk), batches: Batches::new(batches), progress };
    let outcome = tokio::select! {
        outcome = stop.unless_forced(import.run(usize::from(args.connections))) => outcome,
        never = conduct(&mut signals, &stop, &import.progress) => never,
    };
    import.progress.end();
    let Import { desk, batches, .. } = import;
    let mut desk = desk.into_inner().unwrap_or_else(PoisonError::into_inner);
    let complete = matches!(outcome, Some(Ok(()))) && !stop.is_asked();
    drop(batches);
    if complete {
        // Before anything is said to be done: a reader that broke down looks like the end of the file.
        reading.await.map_err(|error| CliError::said(format!("reading broke down: {error}")))?;
        desk.close()?;
    } else if desk.line() == Some(0) {
        // Nothing to go on from.
        desk.close()?;
    } else {
        desk.save()?;
    }
    outcome.unwrap_or(Ok(()))?;
    report(&desk, complete, out)
}

/// What couriers share.
struct Import {
    courier: Courier,
    desk: Mutex<Desk>,
    batches: Batches,
    progress: Progress,
}

impl Import {
    /// Sends with so many couriers until all is answered, one fails, or the stop comes.
    async fn run(&self, couriers: usize) -> Result<(), CliError> {
        let ended = join_all((0..couriers).map(|_| async {
            let ended = self.carry().await;
            if ended.is_err() {
                self.courier.stop.ask();
            }
            ended
        }));
        ended.await.into_iter().collect()
    }

    /// One courier.
    async fn carry(&self) -> Result<(), CliError> {
        while let Some(batch) = self.next().await? {
            let Some(verdicts) = self.courier.deliver(&batch, &self.progress).await? else { break };
            lock(&self.desk).take(batch, verdicts, &self.progress)?;
        }
        Ok(())
    }

    async fn next(&self) -> Result<Option<Batch>, CliError> {
        let next = async { self.batches.lock().await.recv().await };
        self.courier.stop.unless_asked(next).await.flatten().transpose()
    }
}

/// Turns signals into the two stops; never resolves.
async fn conduct<T>(signals: &mut Signals, stop: &Stop, progress: &Progress) -> T {
    signals.next().await;
    progress.say("stopping after what is under way; once more stops at once");
    stop.ask();
    signals.next().await;
    stop.force();
    std::future::pending().await
}

fn report(desk: &Desk, complete: bool, out: Out) -> Result<u8, CliError> {
    let (totals, refused) = (desk.totals, desk.refused().map(|path| path.display().to_string()));
    out.value(&json!({
        "complete": complete, "accepted": totals.accepted, "duplicates": totals.duplicates,
        "refused": totals.refused, "refusedFile": refused,
    }))?;
    out.line(&format!("{} leads accepted, {} of them recorded before", totals.accepted, totals.duplicates))?;
    if let Some(path) = &refused {
        out.line(&format!("{} lines refused: {path} says which and why", totals.refused))?;
    }
    if complete {
        return Ok(if refused.is_some() { REFUSED } else { 0 });
    }
    out.line(&match desk.line() {
        Some(line) => format!("interrupted after line {line}; the same command goes on from there"),
        None => "interrupted; what was read from standard input cannot be gone on with".to_owned(),
    })?;
    Ok(INTERRUPTED)
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}
