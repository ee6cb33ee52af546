//! Who the demo is: a workspace with a working key, made once and remembered in the env file.
//!
//! **Invariant:** a working key is never replaced.

use secrecy::ExposeSecret;
use uuid::Uuid;

use crate::lead::id;
use crate::store::{KeyKind, LinkName, Store, key_hash};

use super::super::admin::{create_link, create_workspace};
use super::super::error::CliError;
use super::env_file::EnvFile;

const SLUG: &str = "demo";
const SECRET: &str = "LEADLINE_API_KEY";
const PUBLISHABLE: &str = "LEADLINE_PUBLISHABLE_KEY";
/// The demo's link.
pub(super) const DOMAIN: &str = "go.localhost";
/// Its key.
pub(super) const KEY: &str = "demo";
/// Where it leads.
pub(super) const URL: &str = "https://example.com/";

/// The demo's workspace and keys.
#[derive(Debug)]
pub(super) struct Tenant {
    /// The workspace that the secret key opens.
    pub workspace_id: Uuid,
    /// The secret key.
    pub secret: String,
    /// The demo link's domain.
    pub domain: String,
}

/// Finds the tenant of the env file's key, or makes one and completes the env file's lines.
/// Returns whether the lines changed.
pub(super) async fn tenant(store: &Store, file: &mut EnvFile) -> Result<(Tenant, bool), CliError> {
    let mut changed = false;
    let (workspace_id, secret) = match opened(store, file.get(SECRET), KeyKind::Secret).await? {
        Some(known) => known,
        None => {
            let workspace_id = match store.workspace(None, SLUG).await? {
                Some(workspace) => workspace.id,
                None => create_workspace(store, "Demo", SLUG).await?.id,
            };
            let key = new_key(store, workspace_id, KeyKind::Secret).await?;
            file.set(SECRET, &key);
            changed = true;
            (workspace_id, key)
        }
    };
    let publishable = opened(store, file.get(PUBLISHABLE), KeyKind::Publishable).await?;
    if publishable.is_none_or(|(workspace, _)| workspace != workspace_id) {
        let key = new_key(store, workspace_id, KeyKind::Publishable).await?;
        file.set(PUBLISHABLE, &key);
        changed = true;
    }
    let domain = link(store, workspace_id).await?;
    Ok((Tenant { workspace_id, secret, domain }, changed))
}

async fn opened(store: &Store, key: Option<&str>, kind: KeyKind) -> Result<Option<(Uuid, String)>, CliError> {
    let Some(key) = key.filter(|key| kind.fits(key)) else {
        return Ok(None);
    };
    let opened = store.open_key(&key_hash(key), kind).await?;
    Ok(opened.map(|opened| (opened.workspace_id, key.to_owned())))
}

async fn new_key(store: &Store, workspace: Uuid, kind: KeyKind) -> Result<String, CliError> {
    let created = store.create_key(workspace, kind, SLUG).await?;
    Ok(created.plain.expose_secret().to_owned())
}

/// Makes sure of the demo's link; returns its domain, another one where `go.localhost` is somebody's.
async fn link(store: &Store, workspace: Uuid) -> Result<String, CliError> {
    let own = format!("{}.localhost", id::show("ws-", workspace).to_lowercase());
    for domain in [DOMAIN, &own] {
        let name = LinkName::Short(domain.to_owned(), KEY.to_owned());
        if store.link(workspace, &name).await.is_ok() {
            return Ok(domain.to_owned());
        }
        let stands = store.add_domain(workspace, domain).await?;
        if stands.workspace_id == workspace {
            create_link(store, workspace, domain, KEY, URL, None).await?;
            return Ok(domain.to_owned());
        }
    }
    Err(CliError::said(format!("{DOMAIN} and {own} belong to other workspaces")))
}
