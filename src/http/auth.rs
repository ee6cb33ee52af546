//! Who calls: the workspace a request's key opens, or the contract's refusal.
//!
//! Two extractors, one per kind of key; taken before the body, so that a stranger's body is never read.
//! Keys of Dub's own shape are unknown here by definition and cost no look-up.
//!
//! **Invariant:** no key, nor any part of one, reaches a log line or an answer.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use uuid::Uuid;

use super::keyring::Verdict;
use super::{Http, Problem};
use crate::store::{KeyHash, KeyKind, Opened, key_hash};

const MISCONFIGURED: &str =
    "Misconfigured authorization header. Did you forget to add 'Bearer '? Learn more: https://d.to/auth";
const PERSONAL: &str = "Workspace ID not found. Did you forget to include a `workspaceId` query parameter? It looks like you might be using personal API keys, we also recommend refactoring to workspace API keys: https://d.to/keys";
const RETRY: Duration = Duration::from_secs(1);

/// A caller with a secret key.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) workspace_id: Uuid,
    /// Whose rate is charged, where keys have one.
    charged: Option<KeyHash>,
}

impl Caller {
    /// Charges a request that counts as several leads; as one it was charged at the door.
    pub(super) fn charge(&self, http: &Http, leads: usize) -> Result<(), Problem> {
        let Some(hash) = self.charged else { return Ok(()) };
        http.throttle.key_again(hash, leads).inspect_err(|_| turned_away(http))
    }
}

/// A page with a publishable key.
#[derive(Debug)]
pub(super) struct PageCaller(pub(super) Arc<Opened>);

impl FromRequestParts<Http> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, http: &Http) -> Result<Self, Problem> {
        let header =
            parts.headers.get(AUTHORIZATION).ok_or_else(|| Problem::unauthorized("Missing Authorization header."))?;
        let key = header
            .to_str()
            .ok()
            .and_then(|text| text.strip_prefix("Bearer "))
            .ok_or_else(|| Problem::bad_request(MISCONFIGURED))?;
        if !key.starts_with("ll_") && !key.starts_with("dub_") {
            return Err(Problem::not_found(PERSONAL));
        }
        let opened = opened(http, key, KeyKind::Secret, "Unauthorized: Invalid API key.").await?;
        let charged = http.throttle.minds_keys().then(|| key_hash(key));
        Ok(Self { workspace_id: opened.workspace_id, charged })
    }
}

impl FromRequestParts<Http> for PageCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, http: &Http) -> Result<Self, Problem> {
        let header =
            parts.headers.get(AUTHORIZATION).ok_or_else(|| Problem::unauthorized("Missing publishable key."))?;
        let key = header
            .to_str()
            .ok()
            .and_then(|text| text.strip_prefix("Bearer "))
            .filter(|key| key.starts_with("ll_pk_") || key.starts_with("dub_pk_"))
            .ok_or_else(|| Problem::bad_request("Invalid or missing publishable key."))?;
        let unknown = "Invalid publishable key.";
        Ok(Self(opened(http, key, KeyKind::Publishable, unknown).await?))
    }
}

async fn opened(http: &Http, key: &str, kind: KeyKind, unknown: &'static str) -> Result<Arc<Opened>, Problem> {
    match http.keys.open(key, kind).await {
        Verdict::Good(opened) => {
            // After the look-up, so that only keys that exist take room in the limit's memory.
            if http.throttle.minds_keys()
                && let Err(problem) = http.throttle.key(key_hash(key))
            {
                turned_away(http);
                return Err(problem);
            }
            Ok(opened)
        }
        Verdict::Unknown => Err(Problem::unauthorized(unknown)),
        Verdict::Rationed => Err(Problem::too_many(RETRY)),
        Verdict::Away => {
            http.metrics.failures.with_label_values(&["http", "keys_away"]).inc();
            Err(Problem::unavailable(RETRY))
        }
    }
}

fn turned_away(http: &Http) {
    http.metrics.turned_away.with_label_values(&["key"]).inc();
}
