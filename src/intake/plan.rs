//! What to do with a request, given what could be found out about it.
//!
//! Enters: a checked wish and what was found (`None`: nothing, in time). Leaves: the answer, or how
//! to publish it. Pure: this is the table of design section 8.
//!
//! **Invariant:** a request is refused only on what was found, never because nothing was.

use uuid::Uuid;

use super::answer::{Tracked, TrackedCustomer, TrackedLink, TurnedAway};
use crate::lead::message::ResolvedClick;
use crate::lead::{Mode, TrackLead, event_key, names};
use crate::store::{Click, Found, FoundCustomer, FoundLink, Question};

/// What to do.
#[derive(Debug)]
pub(super) enum Plan {
    /// Its key is recorded: answer at once, publish nothing.
    Repeat { recorded: Uuid, tracked: Tracked },
    /// Answer at once that it cannot be.
    Refuse(TurnedAway),
    /// Publish it.
    Publish { resolved: Option<ResolvedClick>, awaited: bool, tracked: Tracked },
}

/// What to ask the store about a wish.
pub(super) fn question(workspace_id: Uuid, lead: &TrackLead) -> Question {
    Question {
        workspace_id,
        customer_external_id: lead.customer_external_id.clone(),
        event_key: (lead.mode != Mode::Deferred).then(|| event_key(&lead.event_name)),
        click_id: lead.click_id.clone(),
        link_id: None,
    }
}

/// Decides. `awaited` of a published follow-up says that only a worker can tell who its customer is.
pub(super) fn plan(workspace_id: Uuid, lead: &TrackLead, found: Option<Found>) -> Plan {
    let Some(Found { recorded, click, link, customer }) = found else { return unresolved(workspace_id, lead) };
    let customer = customer.as_ref();
    let stored_click = customer.and_then(|customer| customer.click.clone());
    if let Some(recorded) = recorded {
        let click_id = lead.click_id.clone().or(stored_click.map(|click| click.click_id));
        return Plan::Repeat { recorded, tracked: tracked(workspace_id, lead, click_id, None, customer) };
    }
    let click = match (&lead.click_id, click, stored_click) {
        (Some(click_id), None, _) => return Plan::Refuse(TurnedAway::ClickNotFound { click_id: click_id.clone() }),
        (None, _, None) => {
            let tracked = tracked(workspace_id, lead, None, None, customer);
            return Plan::Publish { resolved: None, awaited: true, tracked };
        }
        (Some(_), Some(click), _) | (None, _, Some(click)) => click,
    };
    match judge(workspace_id, &click, link) {
        Err(refused) => Plan::Refuse(refused),
        Ok(link) => {
            let tracked = tracked(workspace_id, lead, Some(click.click_id), Some(link), customer);
            // The row of a follow-up takes its click from the stored customer, when it is recorded.
            let resolved = lead.click_id.as_ref().map(|_| ResolvedClick {
                link_id: click.link_id,
                clicked_at: click.clicked_at,
                country: click.country,
            });
            Plan::Publish { resolved, awaited: false, tracked }
        }
    }
}

fn unresolved(workspace_id: Uuid, lead: &TrackLead) -> Plan {
    let tracked = tracked(workspace_id, lead, lead.click_id.clone(), None, None);
    let awaited = lead.click_id.is_none() && lead.mode == Mode::Wait;
    Plan::Publish { resolved: None, awaited, tracked }
}

/// Fills in what a worker's verdict revealed about a lead that could not be resolved at accept.
pub(super) fn reveal(tracked: &mut Tracked, click_id: Option<String>, found: Option<Found>) {
    if let Some(click_id) = click_id {
        tracked.click_id = click_id;
    }
    let Some(found) = found else { return };
    tracked.link = found.link.map(shown_link);
    if let Some(customer) = found.customer {
        let external_id = std::mem::take(&mut tracked.customer.external_id);
        tracked.customer = shown_customer(&customer, tracked.customer.name.take(), external_id);
    }
}

fn judge(workspace_id: Uuid, click: &Click, link: Option<FoundLink>) -> Result<FoundLink, TurnedAway> {
    let click_id = click.click_id.clone();
    match link {
        None => Err(TurnedAway::LinkNotFound { click_id }),
        Some(link) if link.workspace_id != workspace_id => Err(TurnedAway::LinkForeign { click_id, link_id: link.id }),
        Some(link) if link.disabled => Err(TurnedAway::LinkDisabled { click_id, link_id: link.id }),
        Some(link) => Ok(link),
    }
}

fn tracked(
    workspace_id: Uuid,
    lead: &TrackLead,
    click_id: Option<String>,
    link: Option<FoundLink>,
    customer: Option<&FoundCustomer>,
) -> Tracked {
    let (name, email) = (lead.customer_name.as_deref(), lead.customer_email.as_deref());
    let external_id = lead.customer_external_id.clone();
    let customer = match customer {
        Some(stored) => {
            let name = names::display_name(None, stored.email.as_deref(), workspace_id, &external_id);
            shown_customer(stored, Some(name), external_id)
        }
        None => TrackedCustomer {
            name: Some(names::display_name(name, email, workspace_id, &external_id)),
            email: lead.customer_email.clone(),
            avatar: lead.customer_avatar.clone(),
            external_id,
        },
    };
    Tracked { click_id: click_id.unwrap_or_default(), link: link.map(shown_link), customer }
}

fn shown_customer(stored: &FoundCustomer, fallback: Option<String>, external_id: String) -> TrackedCustomer {
    let name = stored.name.clone().filter(|name| !name.is_empty()).or(fallback);
    TrackedCustomer { name, email: stored.email.clone(), avatar: stored.avatar.clone(), external_id }
}

fn shown_link(link: FoundLink) -> TrackedLink {
    TrackedLink {
        id: link.id,
        domain: link.domain,
        key: link.key,
        url: link.url,
        partner_id: link.partner_id,
        program_id: link.program_id,
        tenant_id: link.tenant_id,
        external_id: link.external_id,
    }
}
