//! `POST /track/click`: a page tells of a visit and gets the click's id.
//!
//! One visitor has one click per link and hour, whichever API process he meets; the id he already has is
//! answered before the host name is looked at, as in the contract. Programs, and visits that ask not
//! to be tracked, get a fresh id that is never stored: a lead that names it is a 404.
//!
//! **Invariant:** an id of a visit that counts is answered only after its row is committed.

use std::time::Duration;

use axum::extract::State;
use axum::http::header::REFERER;
use axum::http::{Extensions, HeaderMap, Uri};
use axum::response::Response;
use chrono::Utc;
use serde::Serialize;

use super::body::Payload;
use super::problem::ok;
use super::query::Query;
use super::visitor::{self, Visitor};
use super::{Http, Problem, bots, origin};
use crate::lead::message::whole_millis;
use crate::lead::{TrackClick, id};
use crate::lifecycle::Stop;
use crate::store::{Click, ClickTarget, NewClick};

const NO_TRACK: &str = "dub-no-track";
const REFERRER_MAX: usize = 2048;
const FORGET_EVERY: Duration = Duration::from_secs(60);
const FORGET_SOON: Duration = Duration::from_secs(1);
/// As many as one statement of the store forgets.
const FORGET_FULL: u64 = 1000;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    click_id: &'a str,
    #[serde(flatten)]
    partnership: Option<Partnership<'a>>,
}

/// Both keys on a partner link, neither on any other.
#[derive(Serialize)]
struct Partnership<'a> {
    partner: Partner<'a>,
    discount: (),
}

/// Partners are known by id only; the page shows it where a name would stand.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Partner<'a> {
    id: &'a str,
    name: &'a str,
    image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<&'a str>,
}

/// The route.
pub(super) async fn track(
    State(http): State<Http>,
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
    Payload(body, ..): Payload,
) -> Result<Response, Problem> {
    let wish = TrackClick::parse(&body)?;
    let visitor = Visitor::of(&headers, &extensions, &http.config);
    let hash = visitor.hash(&wish.domain, &wish.key);
    let target = http.store.click_target(&wish.domain, &wish.key, &hash).await?;
    let Some(target) = target else {
        let TrackClick { domain, key, .. } = &wish;
        let message = format!("Link not found for domain: {domain} and key: {key}.");
        return Err(Problem::not_found(message));
    };
    if let Some(click_id) = &target.reused {
        return Ok(answer(&target, click_id));
    }
    origin::check(&target.allowed_hostnames, &headers)?;
    let now = whole_millis(Utc::now());
    let fresh = id::click_id(u64::try_from(now.timestamp_millis()).unwrap_or(0));
    let untracked = headers.contains_key(NO_TRACK) || asks(&uri, NO_TRACK);
    if untracked || asks(&uri, "bot") || bots::is_bot(&visitor.user_agent) {
        return Ok(answer(&target, &fresh));
    }
    let click = NewClick {
        id: fresh,
        link_id: target.link_id,
        workspace_id: target.workspace_id,
        clicked_at: now,
        url: wish.url.unwrap_or_else(|| target.url.clone()),
        country: visitor.country.clone(),
        ip: visitor.kept_address(),
        user_agent: visitor.user_agent,
        referrer: wish.referrer.or_else(|| visitor::text(&headers, &REFERER, REFERRER_MAX)),
    };
    let click_id = http.store.claim_click(&target.visitor, &click).await?;
    if click_id == click.id {
        let NewClick { id: click_id, link_id, clicked_at, country, .. } = click;
        http.intake.note_click(Click { click_id, link_id, clicked_at, country });
    }
    Ok(answer(&target, &click_id))
}

/// Forgets expired reuse of clicks, a thousand at a time, until the stop. Any number of processes may.
pub async fn forget_visitors(http: Http, stop: Stop) {
    let mut pause = FORGET_EVERY;
    while stop.unless_asked(tokio::time::sleep(pause)).await.is_some() {
        pause = match http.store.forget_visitors().await {
            Ok(forgotten) if forgotten >= FORGET_FULL => FORGET_SOON,
            Ok(_) => FORGET_EVERY,
            Err(error) => {
                tracing::debug!(error = %error, "expired visitors not forgotten");
                FORGET_EVERY
            }
        };
    }
}

/// Whether the query holds a parameter, with any value.
fn asks(uri: &Uri, name: &str) -> bool {
    Query::of(uri).is_ok_and(|query| query.has(name))
}

fn answer(target: &ClickTarget, click_id: &str) -> Response {
    let partner = target.program_id.as_ref().and(target.partner_id.as_deref()).map(|id| Partner {
        id,
        name: id,
        image: format!("https://api.dub.co/og/avatar/{id}"),
        tenant_id: target.tenant_id.as_deref(),
    });
    ok(&Body { click_id, partnership: partner.map(|partner| Partnership { partner, discount: () }) })
}
