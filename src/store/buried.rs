//! The graves: bytes and reason of what no row can hold, and the count of attempts that leads there.
//!
//! **Invariant:** one message is buried once: its identity is the message id, or the SHA-256 of its bytes.

use std::collections::HashMap;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::write::Tx;
use super::{Store, StoreError};
use crate::lead::text::has_nul;

/// A message to be buried.
#[derive(Debug, Clone)]
pub struct Grave {
    /// Message id, or SHA-256 of the bytes; see [`identity`].
    pub identity: String,
    /// The tenant, if the bytes say so.
    pub workspace_id: Option<Uuid>,
    /// The lead, if the bytes say so.
    pub lead_id: Option<Uuid>,
    /// Why, in a sentence.
    pub reason: String,
    /// The bytes as received.
    pub message: Vec<u8>,
}

/// What makes a message the same message: its id, else the SHA-256 of its bytes.
#[must_use]
pub fn identity(message_id: Option<&str>, bytes: &[u8]) -> String {
    let storable = message_id.filter(|id| !id.is_empty() && !has_nul(id));
    storable.map_or_else(|| format!("sha256:{}", hex::encode(Sha256::digest(bytes))), str::to_owned)
}

impl Store {
    /// Buries a message; burying it again changes nothing. Returns whether it is news.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn bury(&self, grave: Grave) -> Result<bool, StoreError> {
        self.transaction(move |tx| Box::pin(async move { tx.bury(&grave).await })).await
    }

    /// How often each of these was begun without an end; those that never were are missing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn attempts(&self, identities: &[String]) -> Result<HashMap<String, i32>, StoreError> {
        let pool = self.pool();
        let rows = sqlx::query!("SELECT identity, attempts FROM attempts WHERE identity = ANY($1::text[])", identities)
            .fetch_all(&pool);
        let rows = self.patiently("a look at attempts", rows).await?;
        Ok(rows.into_iter().map(|row| (row.identity, row.attempts)).collect())
    }

    /// Counts an attempt of each of these.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn begin_attempts(&self, identities: &[String]) -> Result<(), StoreError> {
        let pool = self.pool();
        // One that was published twice may be in the list twice, and may be counted once only.
        let begun = sqlx::query!(
            "INSERT INTO attempts (identity, attempts)
            SELECT DISTINCT identity, 1 FROM unnest($1::text[]) AS given (identity) ORDER BY identity
            ON CONFLICT (identity) DO UPDATE SET attempts = attempts.attempts + 1, changed_at = now()",
            identities
        )
        .execute(&pool);
        self.patiently("attempts", begun).await.map(|_| ())
    }

    /// Forgets attempts: the message has ended, or was given back for no fault of its own.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_attempts(&self, identities: &[String]) -> Result<(), StoreError> {
        let pool = self.pool();
        let done = sqlx::query!("DELETE FROM attempts WHERE identity = ANY($1::text[])", identities).execute(&pool);
        self.patiently("forgotten attempts", done).await.map(|_| ())
    }
}

impl Tx {
    /// Buries a message in this transaction. Returns whether it is news.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn bury(&mut self, grave: &Grave) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "INSERT INTO buried_leads (id, identity, workspace_id, lead_id, reason, message)
            VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (identity) DO NOTHING",
            Uuid::now_v7(),
            grave.identity,
            grave.workspace_id,
            grave.lead_id,
            grave.reason.replace('\0', "\u{FFFD}"),
            grave.message,
        )
        .execute(&mut *self.connection)
        .await?;
        Ok(done.rows_affected() > 0)
    }
}
