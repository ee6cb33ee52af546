//! `buried …`: list, show, replay, discard what could not become a row.
//!
//! **Invariant:** what is shown of a message cannot harm a terminal.

mod replay;

use serde_json::{Value, json};

use crate::config::Config;
use crate::lead::id;
use crate::store::{BuriedFilter, BuriedLead, Store};

use super::args::{BuriedCommand, BuriedWhich};
use super::error::CliError;
use super::open::workspace_id;
use super::out::Out;

/// Prefix of a buried message's own id.
pub(super) const PREFIX: &str = "buried_";

/// `buried …`; returns the exit code.
///
/// # Errors
/// [`CliError`], also when there is no such grave or it cannot be replayed.
pub(super) async fn buried(config: &Config, store: &Store, command: BuriedCommand, out: Out) -> Result<u8, CliError> {
    match command {
        BuriedCommand::List { which, waiting, limit } => {
            let filter = filter(store, which, waiting).await?;
            list(&store.buried_leads(&filter, limit.into()).await?, out)
        }
        BuriedCommand::Show { id } => show(&find(store, &id).await?, out),
        BuriedCommand::Replay { id: Some(id), .. } => replay::one(config, store, &find(store, &id).await?, out).await,
        BuriedCommand::Replay { id: None, which, dry_run, .. } => {
            let filter = filter(store, which, false).await?;
            replay::many(config, store, &filter, dry_run, out).await
        }
        BuriedCommand::Discard { id, yes } => {
            let lead = find(store, &id).await?;
            if !yes {
                return Err(CliError::said("what is discarded can never be replayed: repeat with --yes"));
            }
            let gone = store.discard_buried(lead.id).await?;
            out.value(&json!({"id": id::show(PREFIX, lead.id), "discarded": gone}))?;
            out.line(&format!("{} is gone", id::show(PREFIX, lead.id)))?;
            Ok(0)
        }
    }
}

async fn filter(store: &Store, which: BuriedWhich, waiting: bool) -> Result<BuriedFilter, CliError> {
    let BuriedWhich { reason, workspace, since, until } = which;
    let workspace_id = match workspace {
        Some(name) => Some(workspace_id(store, &name).await?),
        None => None,
    };
    Ok(BuriedFilter { reason, workspace_id, since, until, waiting })
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

fn list(all: &[BuriedLead], out: Out) -> Result<u8, CliError> {
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
    Ok(0)
}

fn show(lead: &BuriedLead, out: Out) -> Result<u8, CliError> {
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
    Ok(0)
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
