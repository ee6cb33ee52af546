//! What was buried: listing it, looking at it, replaying it, throwing it away.
//!
//! A replay first stores the id under which it will be published, in one committed statement; whoever
//! repeats it gets the same id again, so publishing twice makes copies of one lead, not two leads.
//!
//! **Invariant:** the id of a replay is chosen once and never changes.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Store, StoreError};

/// One buried message.
#[derive(Debug, Clone)]
pub struct BuriedLead {
    /// The row's own id.
    pub id: Uuid,
    /// Message id, or SHA-256 of the bytes where there was none.
    pub identity: String,
    /// The tenant, if the message could be read.
    pub workspace_id: Option<Uuid>,
    /// The lead, if the message could be read.
    pub lead_id: Option<Uuid>,
    /// Why it was buried.
    pub reason: String,
    /// The bytes as they were received.
    pub message: Vec<u8>,
    /// When, by `PostgreSQL`'s clock.
    pub buried_at: DateTime<Utc>,
    /// The lead id its replay was published under.
    pub replayed_as: Option<Uuid>,
    /// When that id was chosen.
    pub replayed_at: Option<DateTime<Utc>>,
}

/// Which graves to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct BuriedFilter {
    /// Only reasons that contain this text, whatever its case.
    pub reason: Option<String>,
    /// Only this tenant's.
    pub workspace_id: Option<Uuid>,
    /// Only those not replayed yet.
    pub waiting: bool,
    /// At most this many.
    pub limit: i64,
}

impl Store {
    /// Lists graves, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn buried_leads(&self, filter: &BuriedFilter) -> Result<Vec<BuriedLead>, StoreError> {
        let graves = sqlx::query_as!(
            BuriedLead,
            "SELECT id, identity, workspace_id, lead_id, reason, message, buried_at, replayed_as, replayed_at
             FROM buried_leads
             WHERE ($1::text IS NULL OR strpos(lower(reason), lower($1)) > 0)
               AND ($2::uuid IS NULL OR workspace_id = $2) AND (NOT $3 OR replayed_as IS NULL)
             ORDER BY buried_at DESC, id DESC LIMIT $4",
            filter.reason,
            filter.workspace_id,
            filter.waiting,
            filter.limit
        )
        .fetch_all(&self.pool())
        .await;
        self.noted(graves)
    }

    /// One grave, by its own id or by the id of the lead in it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn buried_lead(&self, id: Uuid) -> Result<Option<BuriedLead>, StoreError> {
        let grave = sqlx::query_as!(
            BuriedLead,
            "SELECT id, identity, workspace_id, lead_id, reason, message, buried_at, replayed_as, replayed_at
             FROM buried_leads WHERE id = $1 OR lead_id = $1 OR identity = $1::uuid::text
             ORDER BY buried_at DESC LIMIT 1",
            id
        )
        .fetch_optional(&self.pool())
        .await;
        self.noted(grave)
    }

    /// The grave whose replay got this lead id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn replay_of(&self, lead_id: Uuid) -> Result<Option<Uuid>, StoreError> {
        let grave = sqlx::query_scalar!("SELECT id FROM buried_leads WHERE replayed_as = $1 LIMIT 1", lead_id)
            .fetch_optional(&self.pool())
            .await;
        self.noted(grave)
    }

    /// Chooses the lead id a grave is replayed under: the one given, or the one chosen earlier.
    /// Committed when this returns. `None` when there is no such grave (any more).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn choose_replay(&self, id: Uuid, lead_id: Uuid) -> Result<Option<Uuid>, StoreError> {
        let chosen = sqlx::query_scalar!(
            r#"UPDATE buried_leads
               SET replayed_as = coalesce(replayed_as, $2), replayed_at = coalesce(replayed_at, now())
               WHERE id = $1 RETURNING replayed_as AS "replayed_as!""#,
            id,
            lead_id
        )
        .fetch_optional(&self.pool())
        .await;
        self.noted(chosen)
    }

    /// Deletes a grave, bytes and all; whether there was one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn discard_buried(&self, id: Uuid) -> Result<bool, StoreError> {
        let gone = sqlx::query!("DELETE FROM buried_leads WHERE id = $1", id).execute(&self.pool()).await;
        self.noted(gone).map(|gone| gone.rows_affected() > 0)
    }
}
