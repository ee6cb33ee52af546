//! What was buried: listing it, looking at it, replaying one or many, throwing one away.
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

/// Which graves.
#[derive(Debug, Clone, Default)]
pub struct BuriedFilter {
    /// Only reasons that contain this text, whatever its case.
    pub reason: Option<String>,
    /// Only this tenant's.
    pub workspace_id: Option<Uuid>,
    /// Only those buried since then.
    pub since: Option<DateTime<Utc>>,
    /// Only those buried before then.
    pub until: Option<DateTime<Utc>>,
    /// Only those not replayed yet.
    pub waiting: bool,
}

impl Store {
    /// Lists up to `most` graves, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn buried_leads(&self, filter: &BuriedFilter, most: i64) -> Result<Vec<BuriedLead>, StoreError> {
        let graves = sqlx::query_as!(
            BuriedLead,
            "SELECT id, identity, workspace_id, lead_id, reason, message, buried_at, replayed_as, replayed_at
             FROM buried_leads
             WHERE ($1::text IS NULL OR strpos(lower(reason), lower($1)) > 0)
               AND ($2::uuid IS NULL OR workspace_id = $2) AND (NOT $3 OR replayed_as IS NULL)
               AND ($4::timestamptz IS NULL OR buried_at >= $4) AND ($5::timestamptz IS NULL OR buried_at < $5)
             ORDER BY buried_at DESC, id DESC LIMIT $6",
            filter.reason,
            filter.workspace_id,
            filter.waiting,
            filter.since,
            filter.until,
            most
        )
        .fetch_all(&self.pool())
        .await;
        self.noted(graves)
    }

    /// Up to `most` graves without a replay that has ended, in the order of their ids, after the given one. A replay
    /// that is parked is under way; one that is in a queue cannot be told from one that was never published.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unended_graves(
        &self,
        filter: &BuriedFilter,
        after: Uuid,
        most: i64,
    ) -> Result<Vec<BuriedLead>, StoreError> {
        let graves = sqlx::query_as!(
            BuriedLead,
            "SELECT id, identity, workspace_id, lead_id, reason, message, buried_at, replayed_as, replayed_at
             FROM buried_leads b
             WHERE ($1::text IS NULL OR strpos(lower(reason), lower($1)) > 0)
               AND ($2::uuid IS NULL OR workspace_id = $2) AND (NOT $3 OR replayed_as IS NULL)
               AND ($4::timestamptz IS NULL OR buried_at >= $4) AND ($5::timestamptz IS NULL OR buried_at < $5)
               AND id > $6 AND NOT EXISTS (SELECT FROM leads l WHERE l.id = b.replayed_as)
               AND NOT EXISTS (SELECT FROM parked_leads p WHERE p.id = b.replayed_as)
               AND NOT EXISTS (SELECT FROM buried_leads again WHERE again.lead_id = b.replayed_as)
             ORDER BY id LIMIT $7",
            filter.reason,
            filter.workspace_id,
            filter.waiting,
            filter.since,
            filter.until,
            after,
            most
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

    /// Chooses the lead ids under which graves are replayed: those given, or those chosen earlier. Committed when this
    /// returns. Pairs of grave and lead; a grave that was discarded meanwhile is missing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn choose_replays(&self, choices: &[(Uuid, Uuid)]) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
        let (graves, leads): (Vec<Uuid>, Vec<Uuid>) = choices.iter().copied().unzip();
        let chosen = sqlx::query!(
            r#"UPDATE buried_leads b
               SET replayed_as = coalesce(b.replayed_as, u.lead), replayed_at = coalesce(b.replayed_at, now())
               FROM unnest($1::uuid[], $2::uuid[]) AS u (grave, lead)
               WHERE b.id = u.grave RETURNING b.id, b.replayed_as AS "replayed_as!""#,
            &graves,
            &leads
        )
        .fetch_all(&self.pool())
        .await;
        Ok(self.noted(chosen)?.into_iter().map(|row| (row.id, row.replayed_as)).collect())
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
