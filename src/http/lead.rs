//! `POST /track/lead` and `POST /track/lead/client`.
//!
//! Enters: a key and a body. Leaves: what `intake` made of it, in the contract's words. Every answer to a
//! wish that was parsed names its lead in `x-lead-id` and, once known, its ending in `x-lead-ending`:
//! 503 included, so that a caller can look it up.
//!
//! **Invariant:** nothing here decides about a lead; this file only reads and words.

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::time::Instant;

use super::auth::{Caller, PageCaller};
use super::body::Payload;
use super::link_object::short_link;
use super::problem::json;
use super::traced::Traced;
use super::{Http, Problem, origin};
use crate::intake::{Answer, Tracked, TrackedLink, TurnedAway};
use crate::lead::{Fault, Schema, TrackLead, id};

const LEAD_ID: HeaderName = HeaderName::from_static("x-lead-id");
const LEAD_ENDING: HeaderName = HeaderName::from_static("x-lead-ending");
const NOBODY: &str = "The `clickId` property was not provided in the request, and no existing customer with the provided `customerExternalId` was found.";

/// When the request's head had been read: what `wait_timeout` counts from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrived(Instant);

impl FromRequestParts<Http> for Arrived {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, _: &Http) -> Result<Self, Problem> {
        Ok(Self(Instant::now()))
    }
}

/// The server's route.
pub(super) async fn track(
    State(http): State<Http>,
    Arrived(arrived): Arrived,
    Traced(trace): Traced,
    caller: Caller,
    Payload(body, ..): Payload,
) -> Result<Response, Problem> {
    let lead = TrackLead::parse(&body, Schema::Server)?;
    let answer = http.intake.track(caller.workspace_id, lead, arrived, trace).await;
    Ok(worded(&http, answer))
}

/// The browser's route: key, JSON, host name, schema, in this order.
pub(super) async fn track_client(
    State(http): State<Http>,
    Arrived(arrived): Arrived,
    Traced(trace): Traced,
    PageCaller(page): PageCaller,
    headers: HeaderMap,
    Payload(body, ..): Payload,
) -> Result<Response, Problem> {
    let lead = TrackLead::parse(&body, Schema::Client);
    if matches!(lead, Err(Fault::Json)) {
        return Err(Fault::Json.into());
    }
    origin::check(&page.allowed_hostnames, &headers)?;
    let answer = http.intake.track(page.workspace_id, lead?, arrived, trace).await;
    Ok(worded(&http, answer))
}

fn worded(http: &Http, answer: Answer) -> Response {
    let ending = answer.ending;
    let lead_id = HeaderValue::try_from(id::show(id::LEAD, answer.lead_id)).ok();
    let mut response = match answer.outcome {
        Ok(tracked) => json(StatusCode::OK, &Body::from(&tracked), 640),
        Err(turned_away) => refusal(http, &turned_away).into_response(),
    };
    let headers = response.headers_mut();
    headers.extend(lead_id.map(|value| (LEAD_ID, value)));
    headers.extend(ending.map(|ending| (LEAD_ENDING, HeaderValue::from_static(ending.as_str()))));
    response
}

/// The contract's words for it.
pub(super) fn refusal(http: &Http, turned_away: &TurnedAway) -> Problem {
    match turned_away {
        TurnedAway::ClickNotFound { click_id } => {
            Problem::not_found(format!("Click event not found for clickId: {click_id}"))
        }
        TurnedAway::LinkNotFound { click_id } => Problem::not_found(format!("Link not found for clickId: {click_id}")),
        TurnedAway::LinkForeign { click_id, link_id } => {
            let link = id::show(id::LINK, *link_id);
            Problem::not_found(format!("Link {link} for clickId {click_id} does not belong to the workspace"))
        }
        TurnedAway::LinkDisabled { click_id, link_id } => {
            let link = id::show(id::LINK, *link_id);
            Problem::not_found(format!("Link {link} for clickId {click_id} is disabled, lead not tracked"))
        }
        TurnedAway::CustomerNotFound => Problem::bad_request(NOBODY),
        TurnedAway::Unavailable(_) => Problem::unavailable(http.intake.retry_after()),
    }
}

/// What a 200 says.
#[derive(Debug, Serialize)]
pub(super) struct Body<'a> {
    click: Click<'a>,
    link: Option<Link<'a>>,
    customer: Customer<'a>,
}

#[derive(Debug, Serialize)]
struct Click<'a> {
    id: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Link<'a> {
    id: String,
    domain: &'a str,
    key: &'a str,
    short_link: String,
    url: &'a str,
    partner_id: Option<&'a str>,
    program_id: Option<&'a str>,
    tenant_id: Option<&'a str>,
    external_id: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Customer<'a> {
    name: Option<&'a str>,
    email: Option<&'a str>,
    avatar: Option<&'a str>,
    external_id: &'a str,
}

impl<'a> From<&'a Tracked> for Body<'a> {
    fn from(tracked: &'a Tracked) -> Self {
        let customer = &tracked.customer;
        Self {
            click: Click { id: &tracked.click_id },
            link: tracked.link.as_ref().map(Link::from),
            customer: Customer {
                name: customer.name.as_deref(),
                email: customer.email.as_deref(),
                avatar: customer.avatar.as_deref(),
                external_id: &customer.external_id,
            },
        }
    }
}

impl<'a> From<&'a TrackedLink> for Link<'a> {
    fn from(link: &'a TrackedLink) -> Self {
        Self {
            id: id::show(id::LINK, link.id),
            domain: &link.domain,
            key: &link.key,
            short_link: short_link(&link.domain, &link.key),
            url: &link.url,
            partner_id: link.partner_id.as_deref(),
            program_id: link.program_id.as_deref(),
            tenant_id: link.tenant_id.as_deref(),
            external_id: link.external_id.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::TrackedCustomer;
    use serde_json::json;
    use uuid::Uuid;

    #[test]
    fn absent_values_are_null_and_never_left_out() {
        let mut tracked = Tracked {
            click_id: "c".to_owned(),
            link: None,
            customer: TrackedCustomer {
                name: Some("n".to_owned()),
                email: None,
                avatar: None,
                external_id: "x".to_owned(),
            },
        };
        let customer = json!({"name": "n", "email": null, "avatar": null, "externalId": "x"});
        assert_eq!(
            serde_json::to_value(Body::from(&tracked)).unwrap(),
            json!({"click": {"id": "c"}, "link": null, "customer": customer})
        );
        tracked.link = Some(TrackedLink {
            id: Uuid::nil(),
            domain: "d.co".to_owned(),
            key: "k".to_owned(),
            url: "https://x.y".to_owned(),
            partner_id: None,
            program_id: None,
            tenant_id: None,
            external_id: None,
        });
        assert_eq!(
            serde_json::to_value(Body::from(&tracked)).unwrap()["link"],
            json!({"id": "link_00000000000000000000000000", "domain": "d.co", "key": "k", "shortLink": "https://d.co/k",
                "url": "https://x.y", "partnerId": null, "programId": null, "tenantId": null, "externalId": null})
        );
    }
}
