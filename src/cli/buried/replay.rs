//! Replaying graves, one or many.
//!
//! A replay first commits the new lead id to the grave, then publishes under it to the customer's shard. Of many, a page is
//! committed at once and then published; those whose replay has ended are left out, so that an interrupted command goes on.
//! Nobody waits for an answer, so a follow-up among them may stay parked as long as one answered 200.
//!
//! **Invariant:** only what decodes as a lead message is ever published, and only under the id that its grave was given.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::iter;
use serde_json::json;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::super::error::CliError;
use super::super::out::Out;
use super::super::progress::Progress;
use super::super::serve::Signals;
use super::super::{INTERRUPTED, REFUSED};
use super::PREFIX;
use crate::broker::{Address, Letter, PublishError, Publisher, Queue};
use crate::config::Config;
use crate::lead::message::Undecodable;
use crate::lead::{LeadMessage, id};
use crate::lifecycle::{Health, Stop, Tasks};
use crate::store::{BuriedFilter, BuriedLead, Store};
use crate::telemetry::Metrics;

/// Between attempts to publish while the connection is being made.
const AGAIN: Duration = Duration::from_millis(100);
/// Graves chosen in one statement.
const PAGE: i64 = 200;
/// Letters whose confirm is waited for at once.
const AT_ONCE: usize = 32;

/// Replays one grave.
///
/// # Errors
/// [`CliError`], also when it holds no lead message.
pub(super) async fn one(config: &Config, store: &Store, lead: &BuriedLead, out: Out) -> Result<u8, CliError> {
    let grave = id::show(PREFIX, lead.id);
    let message = read(lead).map_err(|error| CliError::said(format!("{grave} cannot be replayed: {error}")))?;
    let chosen = store.choose_replays(&[(lead.id, Uuid::now_v7())]).await?;
    let (_, chosen) = *chosen.first().ok_or_else(|| CliError::said(format!("{grave} was discarded meanwhile")))?;
    let press = Press::start(config)?;
    let published = press.publish(message, chosen).await;
    press.end(published).await?;
    let shown = id::show(id::LEAD, chosen);
    out.value(&json!({"id": grave, "replayedAs": shown}))?;
    out.line(&format!("{grave} was published as {shown} (leadline lead show {shown})"))?;
    Ok(0)
}

/// Replays every grave that a filter finds and whose replay has not ended.
///
/// # Errors
/// [`CliError`] when a message was not taken; those before it were.
pub(super) async fn many(
    config: &Config,
    store: &Store,
    filter: &BuriedFilter,
    dry: bool,
    out: Out,
) -> Result<u8, CliError> {
    let (all, refused) = count(store, filter).await?;
    if dry || all == 0 {
        out.value(
            &json!({"dryRun": dry, "published": if dry { None } else { Some(0) }, "would": all, "refused": refused}),
        )?;
        out.line(&format!("{all} would be published; {refused} are no lead messages"))?;
        return Ok(if refused > 0 && !dry { REFUSED } else { 0 });
    }
    let mut signals = Signals::listen()?;
    let (press, mut progress) = (Press::start(config)?, Progress::begin("buried messages", all));
    let mut interrupted = false;
    let ended = {
        let stop = Stop::new();
        let mut work = std::pin::pin!(pages(store, filter, &press, &mut progress, &stop));
        tokio::select! {
            biased;
            ended = &mut work => ended,
            _ = signals.next() => {
                interrupted = true;
                stop.ask();
                work.await
            }
        }
    };
    let done = progress.end();
    press.end(ended).await?;
    out.value(&json!({"dryRun": false, "published": done, "refused": refused, "complete": !interrupted}))?;
    out.line(&format!("{done} published; {refused} are no lead messages (leadline buried list --waiting)"))?;
    if interrupted {
        out.line("interrupted; the same command goes on with the rest")?;
        return Ok(INTERRUPTED);
    }
    Ok(if refused > 0 { REFUSED } else { 0 })
}

/// How many lead messages there are, and how many others.
async fn count(store: &Store, filter: &BuriedFilter) -> Result<(u64, u64), CliError> {
    let (mut after, mut all, mut refused) = (Uuid::nil(), 0, 0);
    loop {
        let page = store.unended_graves(filter, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok((all, refused)) };
        after = last.id;
        for lead in &page {
            *(if read(lead).is_ok() { &mut all } else { &mut refused }) += 1;
        }
    }
}

/// Publishes page after page, until there is no more or the stop is asked for.
async fn pages(
    store: &Store,
    filter: &BuriedFilter,
    press: &Press,
    progress: &mut Progress,
    stop: &Stop,
) -> Result<(), CliError> {
    let mut after = Uuid::nil();
    while !stop.is_asked() {
        let page = store.unended_graves(filter, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        let mut messages: HashMap<Uuid, LeadMessage> =
            page.iter().filter_map(|lead| Some((lead.id, read(lead).ok()?))).collect();
        let choices: Vec<(Uuid, Uuid)> = messages.keys().map(|grave| (*grave, Uuid::now_v7())).collect();
        let chosen = store.choose_replays(&choices).await?;
        let letters = chosen.into_iter().filter_map(|(grave, lead)| Some((messages.remove(&grave)?, lead)));
        let letters: Vec<_> = letters.map(|(message, lead)| press.publish(message, lead)).collect();
        let mut published = iter(letters).buffer_unordered(AT_ONCE);
        while let Some(one) = published.next().await {
            one?;
            progress.add(1);
        }
    }
    Ok(())
}

fn read(lead: &BuriedLead) -> Result<LeadMessage, Undecodable> {
    LeadMessage::decode(&lead.message)
}

/// A publisher of this command's own.
struct Press {
    publisher: Publisher,
    tasks: Tasks,
    stop: Stop,
    patience: Instant,
    rpc_timeout: Duration,
}

impl Press {
    fn start(config: &Config) -> Result<Self, CliError> {
        let metrics = Metrics::new().map_err(|error| CliError::said(error.to_string()))?;
        let stop = Stop::new();
        let mut tasks = Tasks::new(stop.clone());
        let publisher = Publisher::start(&config.broker, &Health::default(), &metrics, &mut tasks);
        let patience = Instant::now() + config.broker.connect_timeout * 2;
        Ok(Self { publisher, tasks, stop, patience, rpc_timeout: config.broker.rpc_timeout })
    }

    /// Publishes one message under a lead id.
    async fn publish(&self, mut message: LeadMessage, lead: Uuid) -> Result<(), CliError> {
        message.id = lead;
        message.awaited = false;
        // A replay is no part of what its first request did.
        message.trace = None;
        let body = message.encode().map_err(|error| CliError::said(error.to_string()))?;
        let to = Address::Queue(Queue::Shard(message.shard()));
        loop {
            let letter = Letter { to: to.clone(), id: lead, body: body.clone(), reply_to: None, trace: None };
            match self.publisher.publish(letter).await {
                Err(PublishError::Away) if Instant::now() < self.patience && !self.stop.is_asked() => {
                    sleep(AGAIN).await
                }
                outcome => return Ok(outcome?),
            }
        }
    }

    /// Closes the connection. Of two failures the one of the connection says more.
    async fn end(self, published: Result<(), CliError>) -> Result<(), CliError> {
        self.stop.ask();
        self.publisher.close();
        let joined = tokio::time::timeout(self.rpc_timeout, self.tasks.join()).await;
        match (published, joined) {
            (Err(_), Ok(Err(ended))) => Err(CliError::said(ended.to_string())),
            (published, _) => published,
        }
    }
}
