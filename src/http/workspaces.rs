//! The routes of workspaces: a key sees and changes its own.
//!
//! `conversionEnabled` is kept and shown; as in the contract nothing decides by it. Publishable keys are
//! stored as hashes only, so none can be shown here (null).
//!
//! **Invariant:** an allowed host name that was stored is one that the rule in `origin` can match.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde_json::{Value, json};

use super::auth::Caller;
use super::body::Payload;
use super::fields::Fields;
use super::link_object::iso;
use super::problem::ok;
use super::query::path_id;
use super::{Http, Problem};
use crate::lead::text::utf16_len;
use crate::lead::{FieldFault, id};
use crate::store::{Domain, Workspace, WorkspaceChange, WorkspaceError};

const PREFIX: &str = "/workspaces/";
const MISSING: &str = "Workspace not found.";
const HOSTNAMES_MAX: usize = 10;

/// `GET /workspaces/{idOrSlug}`.
pub(super) async fn show(State(http): State<Http>, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    let workspace = own(&http, &caller, &uri).await?;
    let domains = http.store.domains(workspace.id).await?;
    let mut object = workspace_object(&workspace);
    if let Some(fields) = object.as_object_mut() {
        fields.insert("publishableKey".to_owned(), Value::Null);
        fields.insert("defaultProgramId".to_owned(), Value::Null);
        fields.insert("domains".to_owned(), domain_objects(&domains));
        fields.insert("flags".to_owned(), json!({}));
    }
    Ok(ok(&object))
}

/// `PATCH /workspaces/{idOrSlug}`, and `PUT`.
pub(super) async fn change(
    State(http): State<Http>,
    caller: Caller,
    uri: Uri,
    Payload(body, ..): Payload,
) -> Result<Response, Problem> {
    let fields = Fields::parse(&body)?;
    let change = change_in(&fields)?;
    let workspace = own(&http, &caller, &uri).await?;
    match http.store.change_workspace(workspace.id, &change).await {
        Ok(Some(workspace)) => Ok(ok(&workspace_object(&workspace))),
        Ok(None) => Err(Problem::not_found(MISSING)),
        Err(WorkspaceError::SlugTaken) => {
            let slug = change.slug.unwrap_or_default();
            Err(Problem::conflict(format!("The slug \"{slug}\" is already in use.")))
        }
        Err(WorkspaceError::Store(error)) => Err(error.into()),
    }
}

/// What a body wishes to change.
pub(super) fn change_in(fields: &Fields) -> Result<WorkspaceChange, Problem> {
    Ok(WorkspaceChange {
        name: name(fields)?,
        slug: slug(fields)?,
        allowed_hostnames: hostnames(fields)?,
        conversion_enabled: fields.flag("conversionEnabled")?,
    })
}

/// The key's own workspace, if it is the one in the path.
async fn own(http: &Http, caller: &Caller, uri: &Uri) -> Result<Workspace, Problem> {
    let missing = || Problem::not_found(MISSING);
    let name = path_id(uri, PREFIX).ok_or_else(missing)?;
    let found = http.store.workspace(id::read(id::WORKSPACE, &name), &name).await?;
    found.filter(|workspace| workspace.id == caller.workspace_id).ok_or_else(missing)
}

fn name(fields: &Fields) -> Result<Option<String>, FieldFault> {
    let name = fields.solid_text("name", 32)?;
    long_enough(name, "name", 1)
}

/// Lower case, digits and hyphens between them, so that it can stand in a path and is no id.
fn slug(fields: &Fields) -> Result<Option<String>, FieldFault> {
    let slug = long_enough(fields.solid_text("slug", 48)?, "slug", 3)?;
    let Some(slug) = slug else {
        return Ok(None);
    };
    let slug = slug.to_ascii_lowercase();
    let fits =
        slug.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && !slug.starts_with('-') && !slug.ends_with('-');
    if !fits {
        return Err(FieldFault::new("custom", "slug", "Invalid slug format"));
    }
    Ok(Some(slug))
}

fn long_enough(text: Option<String>, path: &str, min: usize) -> Result<Option<String>, FieldFault> {
    match text {
        Some(text) if utf16_len(&text) < min => {
            let message = format!("Too small: expected string to have >={min} characters");
            Err(FieldFault::new("too_small", path, &message))
        }
        other => Ok(other),
    }
}

/// At most ten host names, each once; null clears the list.
fn hostnames(fields: &Fields) -> Result<Option<Vec<String>>, Problem> {
    let Some(given) = fields.texts("allowedHostnames")? else {
        return Ok(None);
    };
    let given = given.unwrap_or_default();
    if given.len() > HOSTNAMES_MAX {
        let message = "Maximum of 10 hostnames allowed.";
        return Err(FieldFault::new("too_big", "allowedHostnames", message).into());
    }
    let mut list: Vec<String> = Vec::new();
    for hostname in given {
        let hostname = hostname.to_ascii_lowercase();
        if !is_hostname(&hostname) {
            return Err(Problem::unprocessable("Invalid hostnames."));
        }
        if !list.contains(&hostname) {
            list.push(hostname);
        }
    }
    Ok(Some(list))
}

/// A domain, `localhost`, or either behind `*.`.
fn is_hostname(text: &str) -> bool {
    let bare = text.strip_prefix("*.").unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    bare == "localhost" || (bare.len() <= 253 && bare.contains('.') && bare.split('.').all(label))
}

fn workspace_object(workspace: &Workspace) -> Value {
    json!({
        "id": id::show(id::WORKSPACE, workspace.id),
        "name": workspace.name,
        "slug": workspace.slug,
        "logo": null,
        "plan": "enterprise",
        "conversionEnabled": workspace.conversion_enabled,
        "allowedHostnames": workspace.allowed_hostnames,
        "createdAt": iso(workspace.created_at),
    })
}

fn domain_objects(domains: &[Domain]) -> Value {
    let objects =
        domains.iter().enumerate().map(|(n, domain)| json!({"slug": domain.name, "primary": n == 0, "verified": true}));
    objects.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hostnames_of(list: &str) -> Result<Option<Vec<String>>, String> {
        let body = format!("{{\"allowedHostnames\":{list}}}");
        hostnames(&Fields::parse(body.as_bytes()).unwrap()).map_err(|p| format!("{p:?}"))
    }

    #[test]
    fn host_names_are_checked_and_stand_once() {
        let list = hostnames_of(r#"["A.com","a.com","*.b.co.uk","localhost"]"#).unwrap();
        assert_eq!(list.unwrap(), ["a.com", "*.b.co.uk", "localhost"]);
        assert_eq!(hostnames_of("null").unwrap().unwrap(), Vec::<String>::new());
        for bad in [r#"["nothing"]"#, r#"["a_b.com"]"#, r#"["https://a.com"]"#, r#"["a..b"]"#, r#"["*."]"#] {
            assert!(hostnames_of(bad).unwrap_err().contains("Invalid hostnames."), "{bad}");
        }
        let eleven = serde_json::to_string(&vec!["a.com"; 11]).unwrap();
        assert!(hostnames_of(&eleven).unwrap_err().contains("Maximum of 10 hostnames allowed."));
        assert!(hostnames_of("[1]").unwrap_err().contains("allowedHostnames[0]: Invalid input: expected string"));
    }

    #[test]
    fn slugs_can_stand_in_a_path() {
        let slug_of = |text: &str| slug(&Fields::parse(format!("{{\"slug\":\"{text}\"}}").as_bytes()).unwrap());
        assert_eq!(slug_of("Acme-2").unwrap().as_deref(), Some("acme-2"));
        for bad in ["ab", "a/b/c", "-abc", "a b c", "ws_abc"] {
            assert!(slug_of(bad).is_err(), "{bad}");
        }
    }
}
