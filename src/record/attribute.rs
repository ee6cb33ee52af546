//! Which click each lead is attributed to, inside the transaction.
//!
//! A lead that was resolved at accept keeps that, finally. One that was not is resolved here. A
//! follow-up takes the click of the stored customer, which this very batch may have brought.
//!
//! **Invariant:** customers are stored before follow-ups ask for them, so the order of a batch decides nothing.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use super::batch::Entry;
use crate::lead::{LeadMessage, Mode, Reason, names};
use crate::store::{Arrival, Click, CustomerKey, Found, Question, StoreError, Tx};

/// What a lead is attributed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Attribution {
    /// This click.
    Click(Click),
    /// The stored customer's click, whatever it is.
    Customer,
    /// Nothing, for ever; the link is named where it is the reason.
    Rejected(Reason, Option<Uuid>),
}

/// Decides for each entry, asking the store about those that could not be resolved at accept.
pub(super) async fn attribute(tx: &mut Tx, entries: &[&Entry]) -> Result<Vec<Attribution>, StoreError> {
    let unresolved: Vec<&LeadMessage> = entries.iter().map(|e| &e.message).filter(|m| is_unresolved(m)).collect();
    let questions: Vec<Question> = unresolved.iter().map(|message| question(message)).collect();
    let mut answers = tx.find(&questions).await?.into_iter();
    let decided = entries.iter().map(|entry| decide(entry, &mut answers));
    Ok(decided.collect())
}

fn is_unresolved(message: &LeadMessage) -> bool {
    message.click_id.is_some() && message.resolved.is_none()
}

fn question(message: &LeadMessage) -> Question {
    Question {
        workspace_id: message.workspace_id,
        customer_external_id: message.customer_external_id.clone(),
        event_key: None,
        click_id: message.click_id.clone(),
        link_id: None,
    }
}

/// Decides for one entry; those that could not be resolved at accept take the next answer.
pub(super) fn decide(entry: &Entry, answers: &mut impl Iterator<Item = Found>) -> Attribution {
    let message = &entry.message;
    if is_unresolved(message) {
        let found = answers.next().unwrap_or_default();
        return judge(message.workspace_id, found);
    }
    match (&message.click_id, &message.resolved) {
        (Some(click_id), Some(resolved)) => Attribution::Click(Click {
            click_id: click_id.clone(),
            link_id: resolved.link_id,
            clicked_at: resolved.clicked_at,
            country: resolved.country.clone(),
        }),
        _ => Attribution::Customer,
    }
}

fn judge(workspace_id: Uuid, found: Found) -> Attribution {
    let Some(click) = found.click else {
        return Attribution::Rejected(Reason::ClickNotFound, None);
    };
    match found.link {
        None => Attribution::Rejected(Reason::LinkNotFound, Some(click.link_id)),
        Some(link) if link.workspace_id != workspace_id => Attribution::Rejected(Reason::LinkForeign, Some(link.id)),
        Some(link) if link.disabled => Attribution::Rejected(Reason::LinkDisabled, Some(link.id)),
        Some(_) => Attribution::Click(click),
    }
}

/// The customers that came with a click, in key order: the first click of each.
pub(super) fn arrivals<'a>(entries: &[&'a Entry], attributions: &[Attribution]) -> Vec<Arrival<'a>> {
    let mut first: BTreeMap<(Uuid, &str), Arrival<'_>> = BTreeMap::new();
    for (entry, attribution) in entries.iter().zip(attributions) {
        if let Attribution::Click(click) = attribution {
            first.entry(entry.customer()).or_insert_with(|| arrival(&entry.message, click));
        }
    }
    first.into_values().collect()
}

fn arrival<'a>(message: &'a LeadMessage, click: &Click) -> Arrival<'a> {
    let (name, email) = (message.customer_name.as_deref(), message.customer_email.as_deref());
    Arrival {
        asked: (message.mode == Mode::Wait).then_some(message.id),
        workspace_id: message.workspace_id,
        external_id: &message.customer_external_id,
        id: Uuid::now_v7(),
        name: names::display_name(name, email, message.workspace_id, &message.customer_external_id),
        email,
        avatar: message.customer_avatar.as_deref(),
        click: click.clone(),
    }
}

/// The leads that brought somebody new and are waited for; `before` are the places of those who were there.
pub(super) fn brought(arrivals: &[Arrival<'_>], before: &HashSet<usize>) -> HashSet<Uuid> {
    arrivals.iter().enumerate().filter(|(place, _)| !before.contains(place)).filter_map(|(_, a)| a.asked).collect()
}

/// The stored clicks of those whose click is the customer's.
pub(super) async fn customers_clicks<'a>(
    tx: &mut Tx,
    customers: impl Iterator<Item = (Uuid, &'a str)>,
) -> Result<HashMap<CustomerKey, Click>, StoreError> {
    let (workspaces, external_ids): (Vec<Uuid>, Vec<&str>) = customers.unzip();
    tx.clicks_of(&workspaces, &external_ids).await
}
