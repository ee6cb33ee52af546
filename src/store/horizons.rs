//! How far each worker process has come, as it reports it.
//!
//! Enters: a horizon, and for how long it counts. Leaves: the server's time. A horizon is always a time that this server
//! told the process before; nobody's clock is compared with another's. A report is a *write*, so it proves as well that this
//! server is a primary and that its commits are answered: a standby refuses it, and a primary without its synchronous
//! standby never answers the COMMIT.
//!
//! **Invariant:** a follow-up is refused only if every horizon that counts has passed the end of its time ([`super::parked`]).

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Store, StoreError};

impl Store {
    /// Reports a worker's horizon (none: nothing is known yet), to count for so long. Returns the server's time, which is
    /// not later than the answer.
    ///
    /// # Errors
    /// [`StoreError`] when `PostgreSQL` takes no writes, or does not answer in time.
    pub async fn report(
        &self,
        worker: Uuid,
        horizon: Option<DateTime<Utc>>,
        counts: Duration,
    ) -> Result<DateTime<Utc>, StoreError> {
        self.write(move |connection| {
            Box::pin(async move {
                sqlx::query_scalar!(
                    r#"WITH forgotten AS (DELETE FROM horizons WHERE counts_until < now() - interval '1 hour')
                    INSERT INTO horizons (worker, horizon, counts_until)
                    VALUES ($1, coalesce($2::timestamptz, '-infinity'), clock_timestamp() + make_interval(secs => $3))
                    ON CONFLICT (worker)
                        DO UPDATE SET horizon = excluded.horizon, counts_until = excluded.counts_until
                    RETURNING clock_timestamp() AS "now!""#,
                    worker,
                    horizon,
                    counts.as_secs_f64(),
                )
                .fetch_one(connection)
                .await
            })
        })
        .await
    }
}
