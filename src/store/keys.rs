//! API keys: made here, shown once, kept as SHA-256 only.
//!
//! A secret key is `ll_` and 24 alphanumerics (142 random bits), a publishable one `ll_pk_` and 24.
//! So much randomness needs no salt and no slow hash; a look-up is one index probe. That probe, and that of the cache
//! before it, compare hashes byte by byte and may tell by their time how far a guess went. That is safe: to move a
//! hash nearer to a stored one somebody has to invert SHA-256, and its first bytes say nothing about a random key.
//! What was found is compared once more in constant time, so that nothing is opened on the word of an index.
//!
//! **Invariant:** the plain key leaves [`Store::create_key`] once and is in no row, line or error.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::time::timeout;
use uuid::Uuid;

use super::{Store, StoreError};
use crate::lead::id;

/// SHA-256 of a key.
pub type KeyHash = [u8; 32];

/// Longer than any healthy look-up; beyond it `PostgreSQL` counts as away.
const LOOKUP_DEADLINE: Duration = Duration::from_secs(1);
const RANDOM_PART: usize = 24;

/// What a key opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// Every route but the client-side ones; never leaves a server.
    Secret,
    /// The client-side routes; stands in web pages.
    Publishable,
}

impl KeyKind {
    /// The word in SQL and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Publishable => "publishable",
        }
    }

    /// Reads the word; `None` for any other.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Secret, Self::Publishable].into_iter().find(|kind| kind.as_str() == word)
    }

    /// What its keys begin with.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Secret => "ll_",
            Self::Publishable => "ll_pk_",
        }
    }

    /// Whether a text has exactly the shape of such a key.
    #[must_use]
    pub fn fits(self, key: &str) -> bool {
        key.strip_prefix(self.prefix())
            .is_some_and(|rest| rest.len() == RANDOM_PART && rest.bytes().all(|b| b.is_ascii_alphanumeric()))
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A key as it may be shown at any time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// Its id; shown with prefix `key_`.
    pub id: Uuid,
    /// The tenant it opens.
    pub workspace_id: Uuid,
    /// `secret` or `publishable`.
    pub kind: String,
    /// Such as `ll_...abcd`, to know it by.
    pub hint: String,
    /// For people.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Since when it opens nothing.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// A key just made.
#[derive(Debug)]
pub struct CreatedKey {
    /// Its row.
    pub row: KeyRow,
    /// The key itself; this is the only time it exists.
    pub plain: SecretString,
}

/// What a good key opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The tenant.
    pub workspace_id: Uuid,
    /// Host names whose pages may send; empty: all.
    pub allowed_hostnames: Vec<String>,
}

/// Whether two hashes are the same, told in a time that does not depend on where they differ.
#[must_use]
pub fn same_hash(one: &KeyHash, other: &[u8]) -> bool {
    one.as_slice().ct_eq(other).into()
}

/// The hash under which a key is stored.
#[must_use]
pub fn key_hash(key: &str) -> KeyHash {
    Sha256::digest(key.as_bytes()).into()
}

impl Store {
    /// Makes a key for a workspace.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn create_key(&self, workspace_id: Uuid, kind: KeyKind, name: &str) -> Result<CreatedKey, StoreError> {
        let plain = format!("{}{}", kind.prefix(), id::alphanumerics(RANDOM_PART));
        let hash = key_hash(&plain);
        let tail = plain.get(plain.len() - 4..).unwrap_or_default();
        let row = sqlx::query_as!(
            KeyRow,
            "INSERT INTO api_keys (id, workspace_id, kind, hash, hint, name)
             VALUES ($1, $2, $3, $4, $5, $6)
             RETURNING id, workspace_id, kind, hint, name, created_at, revoked_at",
            Uuid::now_v7(),
            workspace_id,
            kind.as_str(),
            hash.as_slice(),
            format!("{}...{tail}", kind.prefix()),
            name,
        )
        .fetch_one(&self.pool())
        .await;
        Ok(CreatedKey { row: self.noted(row)?, plain: plain.into() })
    }

    /// The keys of a workspace, or all, oldest first, revoked ones included.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keys(&self, workspace_id: Option<Uuid>) -> Result<Vec<KeyRow>, StoreError> {
        let rows = sqlx::query_as!(
            KeyRow,
            "SELECT id, workspace_id, kind, hint, name, created_at, revoked_at FROM api_keys
             WHERE $1::uuid IS NULL OR workspace_id = $1 ORDER BY id",
            workspace_id,
        )
        .fetch_all(&self.pool())
        .await;
        self.noted(rows)
    }

    /// Revokes a key; `None` when there is no such. Revoking twice keeps the first moment.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revoke_key(&self, id: Uuid) -> Result<Option<KeyRow>, StoreError> {
        let row = sqlx::query_as!(
            KeyRow,
            "UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1
             RETURNING id, workspace_id, kind, hint, name, created_at, revoked_at",
            id,
        )
        .fetch_optional(&self.pool())
        .await;
        self.noted(row)
    }

    /// What a key opens now; `None` when it is unknown, revoked, or of the other kind.
    ///
    /// # Errors
    /// [`StoreError`]; also when no answer came within a second, which is noted as `PostgreSQL` being away.
    pub async fn open_key(&self, hash: &KeyHash, kind: KeyKind) -> Result<Option<Opened>, StoreError> {
        let pool = self.pool();
        let look_up = sqlx::query!(
            "SELECT k.hash, w.id AS workspace_id, w.allowed_hostnames
             FROM api_keys k JOIN workspaces w ON w.id = k.workspace_id
             WHERE k.hash = $1 AND k.kind = $2 AND k.revoked_at IS NULL",
            hash.as_slice(),
            kind.as_str(),
        )
        .fetch_optional(&pool);
        match timeout(LOOKUP_DEADLINE, look_up).await {
            Ok(row) => Ok(self
                .noted(row)?
                .filter(|row| same_hash(hash, &row.hash))
                .map(|row| Opened { workspace_id: row.workspace_id, allowed_hostnames: row.allowed_hostnames })),
            Err(_) => Err(self.silent("a look-up of a key")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_hash_is_the_same() {
        let hash = key_hash("ll_x");
        assert!(same_hash(&hash, &hash));
        let mut other = hash;
        other[31] ^= 1;
        assert!(!same_hash(&hash, &other) && !same_hash(&hash, &hash[..31]) && !same_hash(&hash, &[]));
    }

    #[test]
    fn the_two_kinds_never_share_a_shape() {
        let (secret, public) = (format!("ll_{}", "a".repeat(24)), format!("ll_pk_{}", "b".repeat(24)));
        assert!(KeyKind::Secret.fits(&secret) && !KeyKind::Publishable.fits(&secret));
        assert!(KeyKind::Publishable.fits(&public) && !KeyKind::Secret.fits(&public));
        for bad in ["", "ll_", "ll_short", "ll_pk_short", "dub_aaaaaaaaaaaaaaaaaaaaaaaa"] {
            assert!(!KeyKind::Secret.fits(bad) && !KeyKind::Publishable.fits(bad));
        }
    }
}
