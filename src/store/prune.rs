//! Deleting what is kept only for a while: old clicks, and graves whose replay has ended.
//!
//! A recorded lead and its customer carry link, time and country of their click themselves; the row in `clicks` is read only
//! when a lead names it for the first time, or when a buried one is replayed. Ids of clicks begin with their time, so old ones
//! stand together at the left edge of the primary key: a batch walks it from where the one before ended.
//!
//! **Invariant:** one batch is one transaction; and no grave whose bytes may still be needed goes unless that is asked for.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Store, StoreError};
use crate::lead::id;

/// Which clicks may go.
#[derive(Debug, Clone)]
pub struct OldClicks {
    /// Clicked before this moment.
    pub before: DateTime<Utc>,
    /// But not these.
    pub keep: Vec<String>,
}

impl OldClicks {
    /// Clicks of before a moment, without those of these that are as old.
    #[must_use]
    pub fn new(before: DateTime<Utc>, keep: Vec<String>) -> Self {
        let mut old = Self { before, keep };
        let bound = old.bound();
        old.keep.retain(|id| *id < bound);
        old
    }

    /// Ids from here on are younger.
    fn bound(&self) -> String {
        id::click_floor(u64::try_from(self.before.timestamp_millis()).unwrap_or(0))
    }
}

/// Which graves may go.
#[derive(Debug, Clone, Copy)]
pub struct OldGraves {
    /// Buried before this moment.
    pub before: DateTime<Utc>,
    /// Those too whose bytes are all there is of a lead.
    pub unreplayed: bool,
}

/// What a batch did, and where the next one begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned<T> {
    /// Rows deleted.
    pub rows: u64,
    /// The last id that was deleted; `None`: there is nothing more.
    pub last: Option<T>,
}

impl Store {
    /// The server's time, so long ago.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ago(&self, age: Duration) -> Result<DateTime<Utc>, StoreError> {
        let moment = sqlx::query_scalar!(r#"SELECT now() - make_interval(secs => $1) AS "moment!""#, age.as_secs_f64())
            .fetch_one(&self.pool())
            .await;
        self.noted(moment)
    }

    /// How many clicks may go.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn old_clicks(&self, old: &OldClicks) -> Result<u64, StoreError> {
        let count = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM clicks WHERE id < $1 AND clicked_at < $2 AND id <> ALL ($3::text[])"#,
            old.bound(),
            old.before,
            &old.keep
        )
        .fetch_one(&self.pool())
        .await;
        self.noted(count).map(|count| u64::try_from(count).unwrap_or(0))
    }

    /// Deletes up to `most` of them, the oldest after the given id.
    ///
    /// # Errors
    /// [`StoreError`]; this batch may or may not be committed then.
    pub async fn prune_clicks(&self, old: &OldClicks, after: &str, most: i64) -> Result<Pruned<String>, StoreError> {
        let (bound, old, after) = (old.bound(), old.clone(), after.to_owned());
        let mut gone = self
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query_scalar!(
                        "DELETE FROM clicks WHERE id IN
                             (SELECT id FROM clicks
                              WHERE id > $1 AND id < $2 AND clicked_at < $3 AND id <> ALL ($4::text[])
                              ORDER BY id LIMIT $5)
                         RETURNING id",
                        after,
                        bound,
                        old.before,
                        &old.keep,
                        most
                    )
                    .fetch_all(connection)
                    .await
                })
            })
            .await?;
        gone.sort_unstable();
        Ok(Pruned { rows: u64::try_from(gone.len()).unwrap_or(u64::MAX), last: gone.pop() })
    }

    /// How many graves may go.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn old_graves(&self, old: OldGraves) -> Result<u64, StoreError> {
        let count = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM buried_leads b
               WHERE b.buried_at < $1 AND ($2 OR (b.replayed_as IS NOT NULL
                 AND (EXISTS (SELECT FROM leads l WHERE l.id = b.replayed_as)
                   OR EXISTS (SELECT FROM buried_leads again WHERE again.lead_id = b.replayed_as))))"#,
            old.before,
            old.unreplayed
        )
        .fetch_one(&self.pool())
        .await;
        self.noted(count).map(|count| u64::try_from(count).unwrap_or(0))
    }

    /// Deletes up to `most` of them, the oldest after the given id.
    ///
    /// # Errors
    /// [`StoreError`]; this batch may or may not be committed then.
    pub async fn prune_graves(&self, old: OldGraves, after: Uuid, most: i64) -> Result<Pruned<Uuid>, StoreError> {
        let gone = self
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query_scalar!(
                        "DELETE FROM buried_leads WHERE id IN
                             (SELECT b.id FROM buried_leads b
                              WHERE b.id > $1 AND b.buried_at < $2 AND ($3 OR (b.replayed_as IS NOT NULL
                                AND (EXISTS (SELECT FROM leads l WHERE l.id = b.replayed_as)
                                  OR EXISTS (SELECT FROM buried_leads again WHERE again.lead_id = b.replayed_as))))
                              ORDER BY b.id LIMIT $4)
                         RETURNING id",
                        after,
                        old.before,
                        old.unreplayed,
                        most
                    )
                    .fetch_all(connection)
                    .await
                })
            })
            .await?;
        Ok(Pruned { rows: u64::try_from(gone.len()).unwrap_or(u64::MAX), last: gone.into_iter().max() })
    }
}
