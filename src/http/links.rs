//! The routes of links.
//!
//! A link of another workspace is told apart from a missing one (401, not 404), as in the contract.
//! Tags and folders do not exist here: a list filtered by one is empty.
//!
//! **Invariant:** a list is a bare array, a count a bare number; SDKs accept nothing else.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde_json::json;
use uuid::Uuid;

use super::auth::Caller;
use super::body::Payload;
use super::link_form::{LinkForm, checked_domain};
use super::link_object::LinkObject;
use super::problem::ok;
use super::query::{Cursor, NO_SUCH_CURSOR, Query, path_id};
use super::{Http, Problem};
use crate::lead::{FieldFault, id};
use crate::store::{Link, LinkError, LinkFilter, LinkName, LinkOrder, StoreError};

const PREFIX: &str = "/links/";
const UNNAMED: &str = "You must provide a domain and a key or a linkId or an externalId to retrieve a link.";
const UNNAMED_DOC: &str = "https://dub.co/docs/api-reference/endpoint/retrieve-a-link";
const UNPREFIXED: &str = "Invalid externalId. Did you forget to prefix it with `ext_`?";
const ROOT: &str = "You can't delete a custom domain link. You can delete the domain instead.";
const NO_DOMAIN: &str =
    "This workspace has no domain yet. Name one in `domain`; it is registered for the workspace with its first link.";
const KEY_TRIES: usize = 8;

/// `POST /links`.
pub(super) async fn create(
    State(http): State<Http>,
    caller: Caller,
    Payload(body, ..): Payload,
) -> Result<Response, Problem> {
    let form = LinkForm::create(&body)?;
    let workspace = caller.workspace_id;
    let domain = match &form.domain {
        Some(domain) => domain.clone(),
        None => first_domain(&http, workspace).await?,
    };
    let random = form.key.is_none().then(|| form.random.clone());
    let mut link = Link::new(workspace, domain, String::new(), String::new());
    form.apply(&mut link);
    for _ in 0..KEY_TRIES {
        if let Some(random) = &random {
            link.key = random.make();
        }
        let created = http.store.create_link(link.clone(), http.config.register_domains);
        match created.await {
            Err(LinkError::KeyTaken) if random.is_some() => {}
            other => {
                return Ok(ok(&LinkObject::from(&other.map_err(|e| refused(e, workspace))?)));
            }
        }
    }
    Err(refused(LinkError::KeyTaken, workspace))
}

async fn first_domain(http: &Http, workspace: Uuid) -> Result<String, Problem> {
    let domains = http.store.domains(workspace).await?;
    let first = domains.into_iter().next();
    first.map(|domain| domain.name).ok_or_else(|| Problem::unprocessable(NO_DOMAIN))
}

/// `PATCH /links/{id}`, and `PUT`.
pub(super) async fn change(
    State(http): State<Http>,
    caller: Caller,
    uri: Uri,
    Payload(body, ..): Payload,
) -> Result<Response, Problem> {
    let workspace = caller.workspace_id;
    let form = LinkForm::change(&body)?;
    let name = named(&uri)?;
    let register = http.config.register_domains;
    let changed = http.store.change_link(workspace, &name, register, |link| form.apply(link)).await;
    let link = changed.map_err(|e| refused(e, workspace))?;
    Ok(ok(&LinkObject::from(&link)))
}

/// `GET /links/{id}`.
pub(super) async fn show(State(http): State<Http>, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    let found = http.store.link(caller.workspace_id, &named(&uri)?).await;
    let link = found.map_err(|e| refused(e, caller.workspace_id))?;
    Ok(ok(&LinkObject::from(&link)))
}

/// `GET /links/info`.
pub(super) async fn info(State(http): State<Http>, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    let query = Query::of(&uri)?;
    let external = query.get("externalId");
    let name = match (query.get("domain"), query.get("key"), query.get("linkId"), external) {
        (_, _, Some(link), _) => link_name(link),
        (_, _, _, Some(external)) => {
            Some(LinkName::External(external.strip_prefix("ext_").unwrap_or(external).to_owned()))
        }
        (Some(domain), Some(key), _, _) => {
            checked_domain(domain).ok().map(|domain| LinkName::Short(domain, key.trim_matches('/').to_owned()))
        }
        _ => return Err(Problem::bad_request(UNNAMED).documented_at(UNNAMED_DOC)),
    };
    let found = match name {
        Some(name) => http.store.link(caller.workspace_id, &name).await,
        None => Err(LinkError::Missing),
    };
    match found {
        Ok(link) => Ok(ok(&LinkObject::from(&link))),
        Err(LinkError::Missing) if external.is_some_and(|id| !id.starts_with("ext_")) => {
            Err(Problem::bad_request(UNPREFIXED))
        }
        Err(error) => Err(refused(error, caller.workspace_id)),
    }
}

/// `DELETE /links/{id}`.
pub(super) async fn delete(State(http): State<Http>, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    let workspace = caller.workspace_id;
    let found = http.store.link(workspace, &named(&uri)?).await;
    let link = found.map_err(|e| refused(e, workspace))?;
    if link.key == "_root" {
        return Err(Problem::forbidden(ROOT));
    }
    if !http.store.delete_link(workspace, link.id).await? {
        return Err(refused(LinkError::Missing, workspace));
    }
    Ok(ok(&json!({"id": id::show(id::LINK, link.id)})))
}

/// `GET /links`.
pub(super) async fn list(State(http): State<Http>, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    let query = Query::of(&uri)?;
    let filter = filter(&query)?;
    let sort = ["createdAt", "clicks", "saleAmount", "lastClicked"];
    let order = match query.option("sortBy", &sort)? {
        Some("clicks") => LinkOrder::Clicks,
        Some("lastClicked") => LinkOrder::LastClicked,
        _ => LinkOrder::Created,
    };
    let by_creation = !matches!(query.get("sortBy"), Some(by) if by != "createdAt");
    let paging = query.paging(by_creation)?;
    let cursor = match &paging.cursor {
        Cursor::Offset(_) => None,
        Cursor::After(link) | Cursor::Before(link) => Some(cursor(&http, caller.workspace_id, link).await?),
    };
    // What is wrong with the rest of the query is told first.
    let Some(filter) = filter else {
        return Ok(ok(&json!([])));
    };
    let (page, backwards) = paging.bounds(cursor);
    let mut links = http.store.links(caller.workspace_id, &filter, order, page).await?;
    if backwards {
        links.reverse();
    }
    let list: Vec<LinkObject<'_>> = links.iter().map(LinkObject::from).collect();
    Ok(ok(&list))
}

/// `GET /links/count`.
pub(super) async fn count(State(http): State<Http>, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    let query = Query::of(&uri)?;
    if query.get("groupBy").is_some() {
        let message = "Grouping is not supported";
        return Err(FieldFault::new("invalid_value", "groupBy", message).into());
    }
    match filter(&query)? {
        Some(filter) => Ok(ok(&http.store.count_links(caller.workspace_id, &filter).await?)),
        None => Ok(ok(&0)),
    }
}

/// The filters of a list; `None` when nothing can match.
pub(super) fn filter(query: &Query<'_>) -> Result<Option<LinkFilter>, Problem> {
    let grouped = ["tagId", "tagIds", "tagNames", "folderId"];
    let archived_too = query.flag("showArchived")?;
    query.flag("withTags")?;
    if grouped.iter().any(|name| query.get(name).is_some()) {
        return Ok(None);
    }
    let domain = match query.get("domain").map(checked_domain) {
        Some(Err(_)) => return Ok(None),
        Some(Ok(domain)) => Some(domain),
        None => None,
    };
    let external_id = query.get("externalId");
    Ok(Some(LinkFilter {
        domain,
        search: query.owned("search"),
        tenant_id: query.owned("tenantId"),
        partner_id: query.owned("partnerId"),
        external_id: external_id.map(|id| id.strip_prefix("ext_").unwrap_or(id).to_owned()),
        archived_too,
    }))
}

async fn cursor(http: &Http, workspace: Uuid, link: &str) -> Result<Uuid, Problem> {
    let unknown = || Problem::unprocessable(NO_SUCH_CURSOR);
    let id = id::read(id::LINK, link).ok_or_else(unknown)?;
    match http.store.link(workspace, &LinkName::Id(id)).await {
        Ok(_) => Ok(id),
        Err(LinkError::Store(error)) => Err(error.into()),
        Err(_) => Err(unknown()),
    }
}

fn named(uri: &Uri) -> Result<LinkName, Problem> {
    path_id(uri, PREFIX).and_then(|name| link_name(&name)).ok_or_else(|| Problem::not_found("Link not found."))
}

pub(super) fn link_name(name: &str) -> Option<LinkName> {
    match name.strip_prefix("ext_") {
        Some(external) => Some(LinkName::External(external.to_owned())),
        None => id::read(id::LINK, name).map(LinkName::Id),
    }
}

fn refused(error: LinkError, workspace: Uuid) -> Problem {
    match error {
        LinkError::Missing => Problem::not_found("Link not found."),
        LinkError::Foreign => {
            let workspace = id::show(id::WORKSPACE, workspace);
            Problem::unauthorized(format!("Link does not belong to workspace {workspace}."))
        }
        LinkError::ForeignDomain => Problem::forbidden("Domain does not belong to workspace."),
        LinkError::KeyTaken => Problem::conflict("Duplicate key: This short link already exists."),
        LinkError::ExternalIdTaken => {
            Problem::conflict("A link with this externalId already exists in this workspace.")
        }
        LinkError::Store(error) => StoreError::into(error),
    }
}
