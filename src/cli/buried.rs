//! `buried …`: list, show, replay, discard what could not become a row.
//!
//! A replay first commits the new lead id to the grave, then publishes under it to the customer's shard.
//! Nobody waits for its answer, so a follow-up among them may stay parked as long as one answered 200.
//!
//! **Invariant:** only what decodes as a lead message is ever published.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::broker::{Address, Letter, PublishError, Publisher, Queue};
use crate::config::Config;
use crate::lead::{LeadMessage, id};
use crate::lifecycle::{Health, Stop, Tasks};
use crate::store::{BuriedFilter, BuriedLead, Store};
use crate::telemetry::Metrics;

use super::args::BuriedCommand;
use super::error::CliError;
use super::open::workspace_id;
use super::out::Out;

/// Prefix of a buried message's own id.
pub(super) const PREFIX: &str = "buried_";

/// Between attempts to publish while the connection is being made.
const AGAIN: Duration = Duration::from_millis(100);

/// `buried …`.
///
/// # Errors
/// [`CliError`], also when there is no such grave or it cannot be replayed.
pub(super) async fn buried(config: &Config, store: &Store, command: BuriedCommand, out: Out) -> Result<(), CliError> {
    match command {
        BuriedCommand::List { reason, workspace, waiting, limit } => {
            let workspace_id = match workspace {
                Some(name) => Some(workspace_id(store, &name).await?),
                None => None,
            };
            list(store, &BuriedFilter { reason, workspace_id, waiting, limit: limit.into() }, out).await
        }
        BuriedCommand::Show { id } => show(&find(store, &id).await?, out),
        BuriedCommand::Replay { id } => replay(config, store, &find(store, &id).await?, out).await,
        BuriedCommand::Discard { id, yes } => {
            let lead = find(store, &id).await?;
            if !yes {
                return Err(CliError::said("what is discarded can never be replayed: repeat with --yes"));
            }
            let gone = store.discard_buried(lead.id).await?;
            out.value(&json!({"id": id::show(PREFIX, lead.id), "discarded": gone}))?;
            out.line(&format!("{} is gone", id::show(PREFIX, lead.id)))?;
            Ok(())
        }
    }
}

async fn find(store: &Store, text: &str) -> Result<BuriedLead, CliError> {
    let id = id::read(PREFIX, text)
        .or_else(|| id::read(id::LEAD, text))
        .ok_or_else(|| CliError::said(format!("{text} is neither a {PREFIX} nor a lead_ id")))?;
    store
        .buried_lead(id)
        .await?
        .ok_or_else(|| CliError::said(format!("nothing is buried under {text} (leadline buried list)")))
}

async fn list(store: &Store, filter: &BuriedFilter, out: Out) -> Result<(), CliError> {
    let all = store.buried_leads(filter).await?;
    out.value(&all.iter().map(json).collect())?;
    let rows: Vec<_> = all
        .iter()
        .map(|lead| {
            vec![
                id::show(PREFIX, lead.id),
                lead_id(lead),
                lead.buried_at.to_rfc3339(),
                if lead.replayed_as.is_some() { "yes" } else { "no" }.to_owned(),
                lead.message.len().to_string(),
                lead.reason.clone(),
            ]
        })
        .collect();
    out.table(&["id", "lead", "buried", "replayed", "bytes", "reason"], &rows)?;
    Ok(())
}

fn show(lead: &BuriedLead, out: Out) -> Result<(), CliError> {
    out.value(&json(lead))?;
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let (form, text) = bytes(&lead.message);
    out.pairs(&[
        ("id", id::show(PREFIX, lead.id)),
        ("reason", lead.reason.clone()),
        ("lead", lead_id(lead)),
        ("workspace", or_dash(lead.workspace_id.map(|w| id::show(id::WORKSPACE, w)))),
        ("identity", lead.identity.clone()),
        ("buried", lead.buried_at.to_rfc3339()),
        ("replayed as", or_dash(lead.replayed_as.map(|l| id::show(id::LEAD, l)))),
        ("replayed", or_dash(lead.replayed_at.map(|at| at.to_rfc3339()))),
        (form, text),
    ])?;
    Ok(())
}

async fn replay(config: &Config, store: &Store, lead: &BuriedLead, out: Out) -> Result<(), CliError> {
    let grave = id::show(PREFIX, lead.id);
    let mut message = LeadMessage::decode(&lead.message)
        .map_err(|error| CliError::said(format!("{grave} cannot be replayed: {error}")))?;
    let chosen = store
        .choose_replay(lead.id, Uuid::now_v7())
        .await?
        .ok_or_else(|| CliError::said(format!("{grave} was discarded meanwhile")))?;
    message.id = chosen;
    message.awaited = false;
    // A replay is no part of what its first request did.
    message.trace = None;
    let body = message.encode().map_err(|error| CliError::said(error.to_string()))?;
    publish(config, Queue::Shard(message.shard()), chosen, body).await?;
    let shown = id::show(id::LEAD, chosen);
    out.value(&json!({"id": grave, "replayedAs": shown}))?;
    out.line(&format!("{grave} was published as {shown} (leadline lead show {shown})"))?;
    Ok(())
}

/// Publishes one message over a connection of its own, and closes that.
async fn publish(config: &Config, queue: Queue, id: Uuid, body: Vec<u8>) -> Result<(), CliError> {
    let metrics = Metrics::new().map_err(|error| CliError::said(error.to_string()))?;
    let stop = Stop::new();
    let mut tasks = Tasks::new(stop.clone());
    let publisher = Publisher::start(&config.broker, &Health::default(), &metrics, &mut tasks);
    let patience = Instant::now() + config.broker.connect_timeout * 2;
    let published = loop {
        let letter = Letter { to: Address::Queue(queue), id, body: body.clone(), reply_to: None, trace: None };
        match publisher.publish(letter).await {
            Err(PublishError::Away) if Instant::now() < patience && !stop.is_asked() => sleep(AGAIN).await,
            outcome => break outcome,
        }
    };
    stop.ask();
    publisher.close();
    let joined = tokio::time::timeout(config.broker.rpc_timeout, tasks.join()).await;
    match (published, joined) {
        (Ok(()), _) => Ok(()),
        (Err(_), Ok(Err(ended))) => Err(CliError::said(ended.to_string())),
        (Err(error), _) => Err(error.into()),
    }
}

/// A buried message for machines.
pub(super) fn json(lead: &BuriedLead) -> Value {
    let (form, text) = bytes(&lead.message);
    json!({
        "id": id::show(PREFIX, lead.id), "identity": lead.identity,
        "leadId": lead.lead_id.map(|l| id::show(id::LEAD, l)),
        "workspaceId": lead.workspace_id.map(|w| id::show(id::WORKSPACE, w)),
        "reason": lead.reason, form: text, "buriedAt": lead.buried_at,
        "replayedAs": lead.replayed_as.map(|l| id::show(id::LEAD, l)), "replayedAt": lead.replayed_at,
    })
}

fn lead_id(lead: &BuriedLead) -> String {
    lead.lead_id.map_or_else(|| "-".to_owned(), |lead| id::show(id::LEAD, lead))
}

/// Text if it can be shown without harm to a terminal, else hexadecimal.
fn bytes(message: &[u8]) -> (&'static str, String) {
    match std::str::from_utf8(message) {
        Ok(text) if !text.chars().any(char::is_control) => ("text", text.to_owned()),
        _ => ("hex", hex::encode(message)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_text_only_when_a_terminal_can_bear_them() {
        assert_eq!(bytes("{\"ü\":1}".as_bytes()), ("text", "{\"ü\":1}".to_owned()));
        assert_eq!(bytes(b"a\x1b[2J").0, "hex");
        assert_eq!(bytes(&[0xff]), ("hex", "ff".to_owned()));
    }
}
