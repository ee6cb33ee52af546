//! Administration: migrations, workspaces, domains, keys, links.
//!
//! **Invariant:** a key is printed when it is made and never again.

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::config::Config;
use crate::lead::id;
use crate::store::{self, KeyKind, KeyRow, Link, SchemaState, Store, Workspace};

use super::args::{DomainCommand, KeyCommand, Kind, LinkCommand, WorkspaceCommand};
use super::error::CliError;
use super::open::{raw_store, workspace_id};
use super::out::Out;

/// `migrate`.
///
/// # Errors
/// [`CliError`].
pub(super) async fn migrate(config: &Config, out: Out) -> Result<(), CliError> {
    let store = raw_store(config).await?;
    let count = store::migrate(&store).await?;
    let newer = store::schema_state(&store).await? == SchemaState::Ahead;
    out.value(&json!({"migrations": count, "newer": newer}))?;
    out.line(&match newer {
        false => format!("the schema is up to date ({count} migrations)"),
        true => format!("the schema is newer than this binary ({count} migrations) and stays as it is"),
    })?;
    Ok(())
}

/// `workspace …`.
///
/// # Errors
/// [`CliError`], also for a slug that is malformed or taken.
pub(super) async fn workspace(store: &Store, command: WorkspaceCommand, out: Out) -> Result<(), CliError> {
    match command {
        WorkspaceCommand::Create { name, slug } => {
            let created = create_workspace(store, &name, &slug).await?;
            out.value(&workspace_json(&created))?;
            out.line(&format!("{}  {}", id::show(id::WORKSPACE, created.id), created.slug))?;
        }
        WorkspaceCommand::List => {
            let all = store.workspaces().await?;
            out.value(&all.iter().map(workspace_json).collect())?;
            let row = |w: &Workspace| {
                vec![id::show(id::WORKSPACE, w.id), w.slug.clone(), w.name.clone(), w.created_at.to_rfc3339()]
            };
            out.table(&["id", "slug", "name", "created"], &all.iter().map(row).collect::<Vec<_>>())?;
        }
    }
    Ok(())
}

/// Creates a workspace; shared with the demo.
///
/// # Errors
/// [`CliError`] for a name or slug that is malformed or taken.
pub(super) async fn create_workspace(store: &Store, name: &str, slug: &str) -> Result<Workspace, CliError> {
    let well_formed = (3..=48).contains(&slug.len())
        && slug.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !well_formed {
        return Err(CliError::said("a slug is 3 to 48 characters of a-z, 0-9 and '-'"));
    }
    if name.is_empty() || name.chars().count() > 32 || name.contains('\0') {
        return Err(CliError::said("a workspace's name is 1 to 32 characters"));
    }
    store.create_workspace(name, slug).await.map_err(|error| CliError::said(format!("workspace {slug}: {error}")))
}

/// `domain …`.
///
/// # Errors
/// [`CliError`], also for a domain that is malformed or another workspace's.
pub(super) async fn domain(store: &Store, command: DomainCommand, out: Out) -> Result<(), CliError> {
    match command {
        DomainCommand::Add { domain, workspace } => {
            let workspace = workspace_id(store, &workspace).await?;
            let name = host_name(&domain)?;
            let stands = store.add_domain(workspace, &name).await?;
            if stands.workspace_id != workspace {
                return Err(CliError::said(format!("{name} belongs to another workspace")));
            }
            out.value(&json!({"domain": name, "workspaceId": id::show(id::WORKSPACE, workspace)}))?;
            out.line(&name)?;
        }
        DomainCommand::List { workspace } => {
            let workspace = workspace_id(store, &workspace).await?;
            let all = store.domains(workspace).await?;
            out.value(&all.iter().map(|d| json!({"domain": d.name, "createdAt": d.created_at})).collect())?;
            let rows: Vec<_> = all.into_iter().map(|d| vec![d.name, d.created_at.to_rfc3339()]).collect();
            out.table(&["domain", "registered"], &rows)?;
        }
    }
    Ok(())
}

/// A bare lower-case host name; links are matched under this spelling.
fn host_name(text: &str) -> Result<String, CliError> {
    let lower = text.to_ascii_lowercase();
    let bare = lower.strip_prefix("www.").unwrap_or(&lower);
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if bare.len() <= 190 && bare.split('.').all(label) {
        Ok(bare.to_owned())
    } else {
        Err(CliError::said(format!(
            "{text} is no host name: letters, digits, '-' and '.', without scheme, port or path"
        )))
    }
}

/// `key …`.
///
/// # Errors
/// [`CliError`], also when there is no such key.
pub(super) async fn key(store: &Store, command: KeyCommand, out: Out) -> Result<(), CliError> {
    match command {
        KeyCommand::Create { workspace, kind, name } => {
            let workspace = workspace_id(store, &workspace).await?;
            let kind = match kind {
                Kind::Secret => KeyKind::Secret,
                Kind::Publishable => KeyKind::Publishable,
            };
            let created = store.create_key(workspace, kind, &name).await?;
            let mut value = key_json(&created.row);
            if let Value::Object(fields) = &mut value {
                fields.insert("key".to_owned(), created.plain.expose_secret().into());
            }
            out.value(&value)?;
            out.line(created.plain.expose_secret())?;
        }
        KeyCommand::List { workspace } => {
            let only = match workspace {
                Some(name) => Some(workspace_id(store, &name).await?),
                None => None,
            };
            let all = store.keys(only).await?;
            out.value(&all.iter().map(key_json).collect())?;
            let row = |k: &KeyRow| {
                let since = k.revoked_at.map_or_else(|| "-".to_owned(), |at| at.to_rfc3339());
                vec![
                    id::show(id::KEY, k.id),
                    id::show(id::WORKSPACE, k.workspace_id),
                    k.kind.clone(),
                    k.hint.clone(),
                    k.name.clone(),
                    since,
                ]
            };
            out.table(
                &["id", "workspace", "kind", "hint", "name", "revoked"],
                &all.iter().map(row).collect::<Vec<_>>(),
            )?;
        }
        KeyCommand::Revoke { id: text } => {
            let unknown = || CliError::said(format!("no key has the id {text} (leadline key list shows them)"));
            let id = id::read(id::KEY, &text).ok_or_else(unknown)?;
            let revoked = store.revoke_key(id).await?.ok_or_else(unknown)?;
            out.value(&key_json(&revoked))?;
            out.line(&format!("{} opens nothing any more", revoked.hint))?;
        }
    }
    Ok(())
}

/// `link …`.
///
/// # Errors
/// [`CliError`], also when domain or key are taken.
pub(super) async fn link(store: &Store, command: LinkCommand, out: Out) -> Result<(), CliError> {
    let LinkCommand::Create { workspace, domain, key, url, external_id } = command;
    let workspace = workspace_id(store, &workspace).await?;
    let link = create_link(store, workspace, &domain, &key, &url, external_id).await?;
    out.value(&json!({
        "id": id::show(id::LINK, link.id), "workspaceId": id::show(id::WORKSPACE, link.workspace_id),
        "domain": link.domain, "key": link.key, "url": link.url, "externalId": link.external_id,
        "trackConversion": link.track_conversion,
    }))?;
    out.line(&format!("{}  {}/{} -> {}", id::show(id::LINK, link.id), link.domain, link.key, link.url))?;
    Ok(())
}

/// Creates a link that tracks conversions; shared with the demo.
///
/// # Errors
/// [`CliError`] when a value is malformed, or domain or key are taken.
pub(super) async fn create_link(
    store: &Store,
    workspace: Uuid,
    domain: &str,
    key: &str,
    url: &str,
    external_id: Option<String>,
) -> Result<Link, CliError> {
    let domain = host_name(domain)?;
    let url = url::Url::parse(url).map_err(|error| CliError::said(format!("--url {url}: {error}")))?;
    if key.is_empty() || key.chars().count() > 190 || key.contains('\0') {
        return Err(CliError::said("a link's key is 1 to 190 characters"));
    }
    let mut link = Link::new(workspace, domain.clone(), key.to_owned(), url.to_string());
    link.track_conversion = true;
    link.external_id = external_id;
    store.create_link(link, true).await.map_err(|error| CliError::said(format!("link {domain}/{key}: {error}")))
}

fn workspace_json(workspace: &Workspace) -> Value {
    json!({
        "id": id::show(id::WORKSPACE, workspace.id), "slug": workspace.slug, "name": workspace.name,
        "createdAt": workspace.created_at,
    })
}

fn key_json(key: &KeyRow) -> Value {
    json!({
        "id": id::show(id::KEY, key.id), "workspaceId": id::show(id::WORKSPACE, key.workspace_id), "kind": key.kind,
        "hint": key.hint, "name": key.name, "createdAt": key.created_at, "revokedAt": key.revoked_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_bare_host_names() {
        assert_eq!(host_name("WWW.Go.Acme.com").unwrap(), "go.acme.com");
        assert_eq!(host_name("go.localhost").unwrap(), "go.localhost");
        for bad in ["", "a b", "https://x.y", "x.y:1", "x.y/z", "-a.b", "a..b"] {
            assert!(host_name(bad).is_err(), "{bad}");
        }
    }
}
