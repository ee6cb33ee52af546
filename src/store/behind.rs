//! How far behind the workers are, as far as tables know it.
//!
//! **Invariant:** nothing here writes, and everything is compared by the server's clock alone.

use chrono::{DateTime, Utc};

use super::{Store, StoreError};

/// What the tables say of the work.
#[derive(Debug, Clone)]
pub struct Behind {
    /// Worker processes that were heard of lately enough to count as alive.
    pub workers: i64,
    /// When the lead with the newest id that has a row was accepted, by its API's clock.
    pub newest_accepted: Option<DateTime<Utc>>,
    /// Seconds since then.
    pub newest_age: Option<f64>,
    /// Seconds that the oldest parked lead has waited.
    pub oldest_parked: Option<f64>,
    /// Parked leads whose time was up five minutes ago and which nobody ended.
    pub overdue: i64,
}

impl Store {
    /// What the tables say of the work.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn behind(&self) -> Result<Behind, StoreError> {
        let row = sqlx::query_as!(
            Behind,
            r#"SELECT (SELECT count(*) FROM horizons WHERE counts_until > now()) AS "workers!",
                      n.accepted_at AS "newest_accepted?",
                      extract(epoch FROM now() - n.accepted_at)::float8 AS newest_age,
                      (SELECT extract(epoch FROM now() - min(parked_at))::float8 FROM parked_leads) AS oldest_parked,
                      (SELECT count(*) FROM parked_leads WHERE expires_at < now() - interval '5 minutes') AS "overdue!"
               FROM (VALUES (1)) one LEFT JOIN (SELECT accepted_at FROM leads ORDER BY id DESC LIMIT 1) n ON true"#
        )
        .fetch_one(&self.pool())
        .await;
        self.noted(row)
    }
}
