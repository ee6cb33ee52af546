//! `prune`: old clicks and old graves, a batch after the other.
//!
//! Enters: an age. Leaves: how many are gone. Interrupted, it ends after the batch under way; what is gone is gone, and the
//! same command goes on with the rest.
//!
//! **Invariant:** a click that a buried message may still need stays, however old it is.

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use super::INTERRUPTED;
use super::args::{BuriedPruneArgs, ClicksPruneArgs, PruneCommand};
use super::error::CliError;
use super::out::Out;
use super::progress::Progress;
use super::serve::Signals;
use crate::lead::LeadMessage;
use crate::store::{BuriedFilter, OldClicks, OldGraves, Pruned, Store, StoreError};

/// Visits reuse a click for an hour, and a lead may be on its way for longer than that.
const LEAST: Duration = Duration::from_secs(24 * 60 * 60);
/// Graves that are looked into at once.
const PAGE: i64 = 1000;

/// `prune …`; returns the exit code.
///
/// # Errors
/// [`CliError`], also for an age that is too small.
pub(super) async fn prune(store: &Store, command: PruneCommand, out: Out) -> Result<u8, CliError> {
    match command {
        PruneCommand::Clicks(args) => clicks(store, args, out).await,
        PruneCommand::Buried(args) => graves(store, args, out).await,
    }
}

async fn clicks(store: &Store, args: ClicksPruneArgs, out: Out) -> Result<u8, CliError> {
    if args.older_than < LEAST {
        return Err(CliError::said("--older-than: at least 1d, since visits still hand out younger clicks"));
    }
    let before = store.ago(args.older_than).await?;
    let old = OldClicks::new(before, needed(store).await?);
    let all = store.old_clicks(&old).await?;
    let begin = Begin { what: "clicks", all, dry: args.dry_run, kept: old.keep.len() };
    let most = i64::from(args.batch);
    delete(begin, out, String::new(), async |after: &String| store.prune_clicks(&old, after, most).await).await
}

async fn graves(store: &Store, args: BuriedPruneArgs, out: Out) -> Result<u8, CliError> {
    let old = OldGraves { before: store.ago(args.older_than).await?, unreplayed: args.unreplayed };
    let begin = Begin { what: "buried messages", all: store.old_graves(old).await?, dry: args.dry_run, kept: 0 };
    let most = i64::from(args.batch);
    delete(begin, out, Uuid::nil(), async |after: &Uuid| store.prune_graves(old, *after, most).await).await
}

/// What is known before the first batch.
struct Begin {
    what: &'static str,
    all: u64,
    dry: bool,
    kept: usize,
}

/// Deletes batches until there is nothing more, or a signal comes.
async fn delete<T>(
    begin: Begin,
    out: Out,
    mut after: T,
    mut batch: impl AsyncFnMut(&T) -> Result<Pruned<T>, StoreError>,
) -> Result<u8, CliError> {
    let Begin { what, all, dry, kept } = begin;
    let also = if kept > 0 { format!("; {kept} are kept for buried messages") } else { String::new() };
    if dry {
        out.value(&json!({"dryRun": true, "wouldDelete": all, "kept": kept}))?;
        out.line(&format!("{all} {what} would be deleted{also}"))?;
        return Ok(0);
    }
    let mut signals = Signals::listen()?;
    let (mut progress, mut interrupted) = (Progress::begin(what, all), false);
    while !interrupted {
        let pruned = {
            let mut deleting = std::pin::pin!(batch(&after));
            tokio::select! {
                biased;
                pruned = &mut deleting => pruned,
                _ = signals.next() => {
                    interrupted = true;
                    progress.say("stopping after the batch under way");
                    deleting.await
                }
            }
        }?;
        progress.add(pruned.rows);
        match pruned.last {
            Some(last) => after = last,
            None => break,
        }
    }
    let done = progress.end();
    out.value(&json!({"dryRun": false, "deleted": done, "kept": kept, "complete": !interrupted}))?;
    out.line(&format!("{done} {what} deleted{also}"))?;
    if interrupted {
        out.line("interrupted; the same command goes on with the rest")?;
    }
    Ok(if interrupted { INTERRUPTED } else { 0 })
}

/// The clicks that buried messages name and nobody looked up for them yet.
async fn needed(store: &Store) -> Result<Vec<String>, CliError> {
    let (mut clicks, mut after) = (Vec::new(), Uuid::nil());
    loop {
        let page = store.unended_graves(&BuriedFilter::default(), after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        let messages = page.iter().filter_map(|grave| LeadMessage::decode(&grave.message).ok());
        clicks.extend(messages.filter(|message| message.resolved.is_none()).filter_map(|message| message.click_id));
    }
    clicks.sort_unstable();
    clicks.dedup();
    Ok(clicks)
}
