//! `lead show`: where a lead is, and why.
//!
//! Looks in every place an accepted request can be in `PostgreSQL`: ended, parked, buried. What is in
//! none of them is in a queue, or was never accepted; both are said.
//!
//! **Invariant:** an ending is shown as it is stored; nothing is inferred from the absence of a row.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::lead::{LeadKey, LeadMessage, event_key, id, text::js_trim};
use crate::store::{BuriedFilter, BuriedLead, FoundLead, ParkedLead, Store};

use super::args::LeadShowArgs;
use super::buried::PREFIX as BURIED;
use super::error::CliError;
use super::open::workspace_id;
use super::out::Out;

/// Graves of a workspace that are opened in search of a key.
const GRAVES: i64 = 1000;

/// Everything known of one lead id or one key.
#[derive(Debug, Default)]
struct Whereabouts {
    ended: Vec<FoundLead>,
    parked: Vec<ParkedLead>,
    buried: Vec<BuriedLead>,
    replay_of: Option<Uuid>,
}

/// Shows one lead, or all leads of one key.
///
/// # Errors
/// [`CliError`], also when nothing is known of it.
pub(super) async fn show(store: &Store, args: LeadShowArgs, out: Out) -> Result<(), CliError> {
    let found = match (args.id, args.workspace, args.customer, args.event) {
        (Some(text), ..) => {
            let id = id::read(id::LEAD, &text)
                .ok_or_else(|| CliError::said(format!("{text} is no lead id (lead_ and 26 characters)")))?;
            by_id(store, id).await?
        }
        (None, Some(workspace), Some(customer), Some(event)) => {
            let key = LeadKey {
                workspace_id: workspace_id(store, &workspace).await?,
                customer_external_id: js_trim(&customer).to_owned(),
                event_key: event_key(js_trim(&event)),
            };
            by_key(store, &key).await?
        }
        _ => {
            return Err(CliError::said("give a lead id, or --workspace, --customer and --event"));
        }
    };
    out.value(&found.json())?;
    if found.is_empty() {
        return Err(CliError::said(
            "not here: it was never accepted, or it is still in a queue (is a worker running? \
             leadline queues shows what waits, leadline doctor what is wrong)",
        ));
    }
    found.print(out)?;
    Ok(())
}

async fn by_id(store: &Store, id: Uuid) -> Result<Whereabouts, CliError> {
    Ok(Whereabouts {
        ended: store.lead_by_id(id).await?.into_iter().collect(),
        parked: store.parked_by_id(id).await?.into_iter().collect(),
        buried: store.buried_lead(id).await?.into_iter().collect(),
        replay_of: store.replay_of(id).await?,
    })
}

async fn by_key(store: &Store, key: &LeadKey) -> Result<Whereabouts, CliError> {
    let same = |message: &[u8]| LeadMessage::decode(message).is_ok_and(|m| m.key() == *key);
    let mut parked = store.parked_by_customer(key.workspace_id, &key.customer_external_id).await?;
    parked.retain(|lead| same(&lead.message));
    let filter = BuriedFilter { workspace_id: Some(key.workspace_id), ..BuriedFilter::default() };
    let mut buried = store.buried_leads(&filter, GRAVES).await?;
    buried.retain(|lead| same(&lead.message));
    Ok(Whereabouts { ended: store.leads_by_key(key).await?, parked, buried, replay_of: None })
}

impl Whereabouts {
    fn is_empty(&self) -> bool {
        self.ended.is_empty() && self.parked.is_empty() && self.buried.is_empty()
    }

    fn print(&self, out: Out) -> Result<(), CliError> {
        for lead in &self.ended {
            out.pairs(&ended_pairs(lead))?;
            out.line("")?;
        }
        for lead in &self.parked {
            out.pairs(&[
                ("lead", id::show(id::LEAD, lead.id)),
                ("state", "parked: its customer has no click yet".to_owned()),
                ("workspace", id::show(id::WORKSPACE, lead.workspace_id)),
                ("customer", lead.customer_external_id.clone()),
                ("parked", lead.parked_at.to_rfc3339()),
                (
                    "until",
                    format!(
                        "{} (then rejected, unless the customer's click comes first)",
                        lead.expires_at.to_rfc3339()
                    ),
                ),
            ])?;
            out.line("")?;
        }
        for lead in &self.buried {
            out.pairs(&[
                ("lead", lead.lead_id.map_or_else(|| "unknown".to_owned(), |lead| id::show(id::LEAD, lead))),
                ("ending", "buried".to_owned()),
                ("reason", lead.reason.clone()),
                ("buried", lead.buried_at.to_rfc3339()),
                ("grave", id::show(BURIED, lead.id)),
                ("replayed as", lead.replayed_as.map_or_else(|| "-".to_owned(), |lead| id::show(id::LEAD, lead))),
            ])?;
            out.line("")?;
        }
        if let Some(grave) = self.replay_of {
            out.line(&format!("it is the replay of {}", id::show(BURIED, grave)))?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let ended = self.ended.iter().map(|lead| {
            json!({
                "id": id::show(id::LEAD, lead.id), "workspaceId": id::show(id::WORKSPACE, lead.workspace_id),
                "customerExternalId": lead.customer_external_id, "eventName": lead.event_name, "mode": lead.mode,
                "ending": lead.ending, "reason": lead.reason, "quantity": lead.quantity, "followUp": lead.follow_up,
                "clickId": lead.click_id, "linkId": lead.link_id.map(|link| id::show(id::LINK, link)),
                "acceptedAt": lead.accepted_at, "recordedAt": lead.recorded_at,
            })
        });
        let parked = self.parked.iter().map(|lead| {
            json!({
                "id": id::show(id::LEAD, lead.id), "workspaceId": id::show(id::WORKSPACE, lead.workspace_id),
                "customerExternalId": lead.customer_external_id, "parkedAt": lead.parked_at, "expiresAt": lead.expires_at,
            })
        });
        json!({
            "ended": ended.collect::<Vec<_>>(),
            "parked": parked.collect::<Vec<_>>(),
            "buried": self.buried.iter().map(super::buried::json).collect::<Vec<_>>(),
            "replayOf": self.replay_of.map(|grave| id::show(BURIED, grave)),
        })
    }
}

fn ended_pairs(lead: &FoundLead) -> Vec<(&'static str, String)> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let click = match (&lead.click_id, lead.follow_up) {
        (Some(click), true) => format!("{click} (the customer's: this was a follow-up)"),
        (Some(click), false) => click.clone(),
        (None, _) => "-".to_owned(),
    };
    let why = match (lead.ending.as_str(), &lead.reason) {
        ("rejected", Some(reason)) => format!("rejected: {reason}"),
        ("duplicate", _) => "duplicate: another lead of this customer and event was recorded before".to_owned(),
        ("deferred", _) => "deferred: customer and click are stored; the event comes with a follow-up".to_owned(),
        (ending, _) => ending.to_owned(),
    };
    let took = (lead.recorded_at - lead.accepted_at).num_milliseconds();
    vec![
        ("lead", id::show(id::LEAD, lead.id)),
        ("ending", why),
        ("workspace", id::show(id::WORKSPACE, lead.workspace_id)),
        ("customer", lead.customer_external_id.clone()),
        ("event", format!("{} (quantity {})", lead.event_name, lead.quantity)),
        ("mode", lead.mode.clone()),
        ("click", click),
        ("link", or_dash(lead.link_id.map(|link| id::show(id::LINK, link)))),
        ("accepted", lead.accepted_at.to_rfc3339()),
        ("recorded", format!("{} ({took} ms later)", lead.recorded_at.to_rfc3339())),
    ]
}
