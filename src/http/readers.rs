//! What this room reads of what strangers send, each reader as one function over plain values.
//!
//! Enters: bytes and texts as they come over the wire. Leaves: what a handler would work with. The property
//! tests and the fuzz targets drive these; the handlers call the same readers.
//!
//! **Invariant:** nothing is read here in another way than a route reads it.

use std::net::{IpAddr, SocketAddr};

use axum::http::header::REFERER;
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Uri};
use uuid::Uuid;

use super::fields::Fields;
use super::link_form::LinkForm;
use super::query::{Cursor, Query};
use super::visitor::{Peer, Visitor};
use super::{Problem, bots, customers, links, origin, query, watch, workspaces};
use crate::config;
use crate::lead::id;
use crate::store::{CustomerChange, CustomerFilter, CustomerName, Link, LinkFilter, LinkName, Page, WorkspaceChange};

/// The link that the body of `POST /links` makes of a bare one.
///
/// # Errors
/// The first fault of the body.
pub fn created_link(body: &[u8]) -> Result<Link, Problem> {
    let mut link = Link::new(Uuid::nil(), String::new(), String::new(), String::new());
    LinkForm::create(body)?.apply(&mut link);
    Ok(link)
}

/// What the body of `PATCH /links/{id}` makes of a link.
///
/// # Errors
/// The first fault of the body.
pub fn changed_link(mut link: Link, body: &[u8]) -> Result<Link, Problem> {
    LinkForm::change(body)?.apply(&mut link);
    Ok(link)
}

/// The body of `PATCH /customers/{id}`.
///
/// # Errors
/// The first fault of the body.
pub fn customer_change(body: &[u8]) -> Result<CustomerChange, Problem> {
    Ok(customers::change_in(&Fields::parse(body)?)?)
}

/// The body of `PATCH /workspaces/{id}`.
///
/// # Errors
/// The first fault of the body.
pub fn workspace_change(body: &[u8]) -> Result<WorkspaceChange, Problem> {
    workspaces::change_in(&Fields::parse(body)?)
}

/// The page that the query of a request target asks for, its cursor taken for a link's id.
///
/// # Errors
/// The first fault of the query; `None` when the target is none.
pub fn page(target: &str, by_creation: bool) -> Option<Result<Page, Problem>> {
    let uri: Uri = target.parse().ok()?;
    let paged = || {
        let paging = Query::of(&uri)?.paging(by_creation)?;
        let cursor = match &paging.cursor {
            Cursor::After(link) | Cursor::Before(link) => id::read(id::LINK, link),
            Cursor::Offset(_) => None,
        };
        Ok(paging.bounds(cursor).0)
    };
    Some(paged())
}

/// The filter of `GET /links`.
///
/// # Errors
/// The first fault of the query; `None` when the target is none, or nothing can match.
pub fn link_filter(target: &str) -> Option<Result<LinkFilter, Problem>> {
    let uri: Uri = target.parse().ok()?;
    let filtered = || links::filter(&Query::of(&uri)?);
    filtered().transpose()
}

/// The filter of `GET /customers`; `None` when the target is none, is at fault, or nothing can match.
#[must_use]
pub fn customer_filter(target: &str) -> Option<CustomerFilter> {
    let uri: Uri = target.parse().ok()?;
    customers::filter(&Query::of(&uri).ok()?)
}

/// The link that a path names.
#[must_use]
pub fn named_link(target: &str) -> Option<LinkName> {
    let uri: Uri = target.parse().ok()?;
    links::link_name(&query::path_id(&uri, "/links/")?)
}

/// The customer that a path names.
#[must_use]
pub fn named_customer(target: &str) -> Option<CustomerName> {
    let uri: Uri = target.parse().ok()?;
    customers::customer_name(&query::path_id(&uri, "/customers/")?)
}

/// Address, country and user agent of a visitor; headers that cannot travel are left out.
#[must_use]
pub fn visitor(peer: SocketAddr, headers: &[(&str, &[u8])], config: &config::Http) -> (IpAddr, Option<String>, String) {
    let mut extensions = Extensions::new();
    extensions.insert(Peer(peer));
    let visitor = Visitor::of(&map(headers), &extensions, config);
    (visitor.address, visitor.country, visitor.user_agent)
}

/// Whether a user agent is a program's.
#[must_use]
pub fn is_bot(user_agent: &str) -> bool {
    bots::is_bot(user_agent)
}

/// Whether a page with this `Referer` passes the allowed host names.
#[must_use]
pub fn passes(allowed: &[String], referer: &[u8]) -> bool {
    origin::check(allowed, &map(&[(REFERER.as_str(), referer)])).is_ok()
}

/// The request id that answers one given by the caller.
#[must_use]
pub fn request_id(given: &[u8]) -> String {
    let id = watch::request_id(&map(&[("x-request-id", given)]));
    String::from_utf8_lossy(id.as_bytes()).into_owned()
}

fn map(headers: &[(&str, &[u8])]) -> HeaderMap {
    let header =
        |(name, value): &(&str, &[u8])| Some((HeaderName::try_from(*name).ok()?, HeaderValue::from_bytes(value).ok()?));
    let mut map = HeaderMap::new();
    for (name, value) in headers.iter().filter_map(header) {
        map.append(name, value);
    }
    map
}
