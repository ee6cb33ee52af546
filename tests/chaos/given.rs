//! What stands in the tables before the storm: workspaces, keys, links, clicks.
//!
//! **Invariant:** written by SQL, beside the service, so that nothing under test has a hand in it.

use chrono::Utc;
use leadline::lead::id;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use uuid::Uuid;

const WORKSPACES: usize = 2;
const LINKS: usize = 6;
const CLICKS: usize = 400;

/// A tenant of the storm.
#[derive(Debug, Clone)]
pub(crate) struct Tenant {
    pub(crate) id: Uuid,
    pub(crate) secret: String,
    /// Click id and its link.
    pub(crate) clicks: Vec<(String, Uuid)>,
}

impl Tenant {
    /// One of its clicks.
    pub(crate) fn click(&self, dice: &mut StdRng) -> String {
        self.clicks.choose(dice).map(|(click, _)| click.clone()).unwrap_or_default()
    }
}

/// Makes the tenants.
pub(crate) async fn tenants(pool: &PgPool) -> Vec<Tenant> {
    let mut tenants = Vec::new();
    for _ in 0..WORKSPACES {
        tenants.push(tenant(pool).await);
    }
    tenants
}

async fn tenant(pool: &PgPool) -> Tenant {
    let (workspace, secret) = (Uuid::now_v7(), format!("ll_{}", id::alphanumerics(24)));
    let domain = format!("{}.example", id::alphanumerics(10).to_lowercase());
    let statements = [
        "INSERT INTO workspaces (id, slug, name) VALUES ($1, $2, $2)",
        "INSERT INTO domains (workspace_id, name) VALUES ($1, $2)",
    ];
    for statement in statements {
        sqlx::query(statement).bind(workspace).bind(&domain).execute(pool).await.unwrap();
    }
    sqlx::query("INSERT INTO api_keys (id, workspace_id, kind, hash, hint, name) VALUES ($1, $2, 'secret', $3, 'll_...', 'chaos')")
        .bind(Uuid::now_v7())
        .bind(workspace)
        .bind(Sha256::digest(&secret).to_vec())
        .execute(pool)
        .await
        .unwrap();
    let links: Vec<Uuid> = (0..LINKS).map(|_| Uuid::now_v7()).collect();
    let keys: Vec<String> = links.iter().map(|_| id::alphanumerics(8).to_lowercase()).collect();
    sqlx::query("INSERT INTO links (id, key, workspace_id, domain, url) SELECT *, $3, $4, 'https://example.com' FROM unnest($1::uuid[], $2::text[])")
        .bind(&links)
        .bind(&keys)
        .bind(workspace)
        .bind(&domain)
        .execute(pool)
        .await
        .unwrap();
    let now = u64::try_from(Utc::now().timestamp_millis()).unwrap();
    let clicks: Vec<(String, Uuid)> = (0..CLICKS).map(|n| (id::click_id(now), links[n % LINKS])).collect();
    let (ids, of): (Vec<String>, Vec<Uuid>) = clicks.iter().cloned().unzip();
    sqlx::query(
        "INSERT INTO clicks (id, link_id, workspace_id, clicked_at, url, ip, user_agent, trigger) \
         SELECT *, $3, now(), 'https://example.com', '203.0.113.7', 'chaos', 'link' FROM unnest($1::text[], $2::uuid[])",
    )
    .bind(&ids)
    .bind(&of)
    .bind(workspace)
    .execute(pool)
    .await
    .unwrap();
    Tenant { id: workspace, secret, clicks }
}
