//! The routes of customers.
//!
//! Customers come into being through leads only. A deleted one is gone (404) until a lead brings it
//! back; what is kept for deduplication says the store's header. Sales are not tracked: their figures
//! are zero, and sorting by them is sorting by creation.
//!
//! **Invariant:** a customer without a name shows its address, else its stable name, on every read the same.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde_json::{Value, json};
use uuid::Uuid;

use super::auth::Caller;
use super::body::Payload;
use super::fields::{Fields, Said};
use super::link_object::{iso, short_link};
use super::problem::ok;
use super::query::{Cursor, NO_SUCH_CURSOR, Query, path_id};
use super::{Http, Problem};
use crate::lead::text::{is_email, js_trim};
use crate::lead::{FieldFault, id, names};
use crate::store::{Customer, CustomerChange, CustomerError, CustomerFilter, CustomerName};

const PREFIX: &str = "/customers/";
const MISSING: &str = "Customer not found. Make sure you're using the correct customer ID (e.g. `cus_3TagGjzRzmsFJdH8od2BNCsc`) or external ID (has to be prefixed with `ext_`).";
const TAKEN: &str = "A customer with this external ID already exists.";
const SORTS: &[&str] = &["createdAt", "saleAmount", "firstSaleAt", "subscriptionCanceledAt"];

/// `GET /customers`.
pub(super) async fn list(State(http): State<Http>, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    let workspace = caller.workspace_id;
    let query = Query::of(&uri)?;
    let expanded = query.flag("includeExpandedFields")?;
    let by_creation = matches!(query.option("sortBy", SORTS)?, None | Some("createdAt"));
    let paging = query.paging(by_creation)?;
    let cursor = match &paging.cursor {
        Cursor::Offset(_) => None,
        Cursor::After(customer) | Cursor::Before(customer) => Some(cursor(&http, workspace, customer).await?),
    };
    let show = |customer: &Customer| customer_object(workspace, customer, expanded);
    // The exact external id has an index of its own, and at most one customer to show.
    if let (None, Some(external)) = (query.get("email"), query.get("externalId")) {
        let name = CustomerName::External(external.to_owned());
        let found = match paging.cursor {
            Cursor::Offset(0) => http.store.customer(workspace, &name).await?,
            _ => None,
        };
        return Ok(ok(&found.iter().map(show).collect::<Vec<_>>()));
    }
    let Some(filter) = filter(&query) else {
        return Ok(ok(&json!([])));
    };
    let (page, backwards) = paging.bounds(cursor);
    let mut customers = http.store.customers(workspace, &filter, page).await?;
    if backwards {
        customers.reverse();
    }
    Ok(ok(&customers.iter().map(show).collect::<Vec<_>>()))
}

/// `GET /customers/{id}`.
pub(super) async fn show(State(http): State<Http>, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    let expanded = Query::of(&uri)?.flag("includeExpandedFields")?;
    let customer = named(&http, &caller, &uri).await?;
    Ok(ok(&customer_object(caller.workspace_id, &customer, expanded)))
}

/// `PATCH /customers/{id}`. `country` and `stripeCustomerId` pass and are ignored, the first as in the contract.
pub(super) async fn change(
    State(http): State<Http>,
    caller: Caller,
    uri: Uri,
    Payload(body, ..): Payload,
) -> Result<Response, Problem> {
    let fields = Fields::parse(&body)?;
    let expanded = Query::of(&uri)?.flag("includeExpandedFields")?;
    let change = change_in(&fields)?;
    let workspace = caller.workspace_id;
    let customer = named(&http, &caller, &uri).await?;
    let changed = http.store.change_customer(workspace, customer.id, &change).await;
    let still_there = changed.map_err(|error| match error {
        CustomerError::ExternalIdTaken => Problem::conflict(TAKEN),
        CustomerError::Store(error) => error.into(),
    })?;
    let name = CustomerName::Id(customer.id);
    match http.store.customer(workspace, &name).await? {
        Some(customer) if still_there => Ok(ok(&customer_object(workspace, &customer, expanded))),
        _ => Err(Problem::not_found(MISSING)),
    }
}

/// `DELETE /customers/{id}`.
pub(super) async fn delete(State(http): State<Http>, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    let customer = named(&http, &caller, &uri).await?;
    let deleted = http.store.delete_customer(caller.workspace_id, &customer.external_id).await?;
    if !deleted {
        return Err(Problem::not_found(MISSING));
    }
    Ok(ok(&json!({"id": id::show(id::CUSTOMER, customer.id)})))
}

/// What a body wishes to change.
pub(super) fn change_in(fields: &Fields) -> Result<CustomerChange, FieldFault> {
    Ok(CustomerChange {
        email: email(fields)?,
        name: fields.text("name", 100)?,
        avatar: fields.text("avatar", usize::MAX)?,
        external_id: external_id(fields)?,
    })
}

async fn named(http: &Http, caller: &Caller, uri: &Uri) -> Result<Customer, Problem> {
    let missing = || Problem::not_found(MISSING);
    let name = path_id(uri, PREFIX).and_then(|name| customer_name(&name)).ok_or_else(missing)?;
    let found = http.store.customer(caller.workspace_id, &name).await?;
    found.ok_or_else(missing)
}

/// Only the first `ext_` is the prefix: an external id may begin with one itself.
pub(super) fn customer_name(name: &str) -> Option<CustomerName> {
    match name.strip_prefix("ext_") {
        Some(external) => Some(CustomerName::External(external.to_owned())),
        None => id::read(id::CUSTOMER, name).map(CustomerName::Id),
    }
}

async fn cursor(http: &Http, workspace: Uuid, customer: &str) -> Result<Uuid, Problem> {
    let unknown = || Problem::unprocessable(NO_SUCH_CURSOR);
    let name = customer_name(customer).ok_or_else(unknown)?;
    let found = http.store.customer(workspace, &name).await?;
    found.map(|customer| customer.id).ok_or_else(unknown)
}

/// An address beats an external id, and that a search; `None` when nothing can match.
pub(super) fn filter(query: &Query<'_>) -> Option<CustomerFilter> {
    let exact = query.owned("email");
    let search = query.owned("search").filter(|_| exact.is_none());
    let (email, search) = match search {
        Some(address) if address.contains('@') => (Some(address), None),
        other => (exact, other),
    };
    let link_id = match query.get("linkId") {
        None => None,
        Some(link) => Some(id::read(id::LINK, link)?),
    };
    Some(CustomerFilter { email, search, country: query.owned("country"), link_id })
}

fn email(fields: &Fields) -> Result<Said<String>, FieldFault> {
    let said = fields.text("email", 100)?;
    match &said {
        Some(Some(address)) if !is_email(address) => {
            let message = "Invalid email address";
            Err(FieldFault::new("invalid_format", "email", message))
        }
        _ => Ok(said),
    }
}

/// Held to the limits of `/track/lead`, so that a lead can name the customer.
fn external_id(fields: &Fields) -> Result<Option<String>, FieldFault> {
    let Some(given) = fields.solid_text("externalId", 255)? else {
        return Ok(None);
    };
    let trimmed = js_trim(&given);
    if trimmed.is_empty() {
        let message = "External ID is required";
        return Err(FieldFault::new("too_small", "externalId", message));
    }
    Ok(Some(trimmed.to_owned()))
}

fn customer_object(workspace: Uuid, customer: &Customer, expanded: bool) -> Value {
    let Customer { name, email, external_id, .. } = customer;
    let name = names::display_name(name.as_deref(), email.as_deref(), workspace, external_id);
    let mut object = json!({
        "id": id::show(id::CUSTOMER, customer.id),
        "name": name,
        "email": email,
        "avatar": customer.avatar,
        "externalId": external_id,
        "stripeCustomerId": null,
        "country": customer.country,
        "sales": 0,
        "saleAmount": 0,
        "createdAt": iso(customer.created_at),
        "firstSaleAt": null,
        "subscriptionCanceledAt": null,
    });
    if let (true, Some(fields)) = (expanded, object.as_object_mut()) {
        fields.insert("link".to_owned(), link(customer).unwrap_or_default());
        fields.insert("programId".to_owned(), json!(customer.program_id));
        fields.insert("partner".to_owned(), Value::Null);
    }
    object
}

fn link(customer: &Customer) -> Option<Value> {
    let (domain, key) = (customer.link_domain.as_deref()?, customer.link_key.as_deref()?);
    Some(json!({
        "id": id::show(id::LINK, customer.link_id?),
        "domain": domain,
        "key": key,
        "shortLink": short_link(domain, key),
        "url": customer.link_url,
        "programId": customer.program_id,
    }))
}
