//! What stands in the tables before a test begins: workspaces, keys, links, clicks.
//!
//! Written by SQL, beside the service, so that a test of leads does not depend on the administration.
//!
//! **Invariant:** every value made here is random, so tests cannot meet even in one database.

use chrono::{DateTime, Utc};
use leadline::lead::id;
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use uuid::Uuid;

/// A tenant with a secret key, a publishable key and a domain.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    pub(crate) id: Uuid,
    pub(crate) secret: String,
    pub(crate) publishable: String,
    pub(crate) domain: String,
}

/// A link of a workspace.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) id: Uuid,
    pub(crate) workspace_id: Uuid,
    pub(crate) domain: String,
    pub(crate) key: String,
    pub(crate) url: String,
}

impl Link {
    /// Its id as callers see it.
    pub(crate) fn shown(&self) -> String {
        id::show(id::LINK, self.id)
    }
}

/// A fresh tenant.
pub(crate) async fn workspace(pool: &PgPool) -> Workspace {
    let id = Uuid::now_v7();
    let slug = format!("w-{}", id::alphanumerics(10).to_lowercase());
    let domain = format!("{}.example", id::alphanumerics(10).to_lowercase());
    sqlx::query("INSERT INTO workspaces (id, slug, name) VALUES ($1, $2, $2)")
        .bind(id)
        .bind(&slug)
        .execute(pool)
        .await
        .unwrap();
    sqlx::query("INSERT INTO domains (name, workspace_id) VALUES ($1, $2)")
        .bind(&domain)
        .bind(id)
        .execute(pool)
        .await
        .unwrap();
    let secret = key(pool, id, "secret", "ll_").await;
    let publishable = key(pool, id, "publishable", "ll_pk_").await;
    Workspace { id, secret, publishable, domain }
}

/// A key of a workspace; only its hash is stored.
pub(crate) async fn key(pool: &PgPool, workspace_id: Uuid, kind: &str, prefix: &str) -> String {
    let key = format!("{prefix}{}", id::alphanumerics(24));
    let hint = format!("{}...{}", &prefix[..3], &key[key.len() - 4..]);
    sqlx::query("INSERT INTO api_keys (id, workspace_id, kind, hash, hint, name) VALUES ($1, $2, $3, $4, $5, 'test')")
        .bind(Uuid::now_v7())
        .bind(workspace_id)
        .bind(kind)
        .bind(Sha256::digest(&key).to_vec())
        .bind(hint)
        .execute(pool)
        .await
        .unwrap();
    key
}

/// A link on the workspace's domain.
pub(crate) async fn link(pool: &PgPool, workspace: &Workspace) -> Link {
    let link = Link {
        id: Uuid::now_v7(),
        workspace_id: workspace.id,
        domain: workspace.domain.clone(),
        key: id::alphanumerics(7),
        url: "https://example.com/landing".to_owned(),
    };
    sqlx::query("INSERT INTO links (id, workspace_id, domain, key, url) VALUES ($1, $2, $3, $4, $5)")
        .bind(link.id)
        .bind(link.workspace_id)
        .bind(&link.domain)
        .bind(&link.key)
        .bind(&link.url)
        .execute(pool)
        .await
        .unwrap();
    link
}

/// A click on a link.
pub(crate) async fn click(pool: &PgPool, link: &Link) -> String {
    let now: DateTime<Utc> = Utc::now();
    let id = id::click_id(u64::try_from(now.timestamp_millis()).unwrap());
    sqlx::query(
        "INSERT INTO clicks (id, link_id, workspace_id, clicked_at, url, ip, user_agent, trigger) \
         VALUES ($1, $2, $3, $4, $5, '203.0.113.7', 'test', 'link')",
    )
    .bind(&id)
    .bind(link.id)
    .bind(link.workspace_id)
    .bind(now)
    .bind(&link.url)
    .execute(pool)
    .await
    .unwrap();
    id
}
