//! Parked follow-ups: put away, woken, expired.
//!
//! Deleting the parked row is the arbitration between recording and rejecting: whoever deletes it in
//! his transaction decides. Rows that somebody else holds are skipped, never waited for.
//!
//! **Invariant:** a parked row leaves this table only in the transaction that gives it an ending.

use std::time::Duration;

use uuid::Uuid;

use super::StoreError;
use super::arrivals::Arrival;
use super::write::Tx;

/// A row to be parked.
#[derive(Debug, Clone)]
pub struct NewParked<'a> {
    /// The tenant.
    pub workspace_id: Uuid,
    /// The lead.
    pub id: Uuid,
    /// The customer it waits for.
    pub customer_external_id: &'a str,
    /// The message as received.
    pub message: Vec<u8>,
    /// Whom to tell.
    pub reply_to: Option<&'a str>,
    /// How long it may stay, by `PostgreSQL`'s clock.
    pub stay: Duration,
}

/// A parked lead that was taken out in this transaction.
#[derive(Debug, Clone)]
pub struct Woken {
    /// The tenant.
    pub workspace_id: Uuid,
    /// The lead.
    pub id: Uuid,
    /// The message as it was received.
    pub message: Vec<u8>,
    /// Whom to tell.
    pub reply_to: Option<String>,
}

impl Tx {
    /// Parks rows; one that is parked already stays as it is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn park(&mut self, rows: &[NewParked<'_>]) -> Result<(), StoreError> {
        let seconds = |row: &NewParked<'_>| row.stay.as_secs_f64();
        sqlx::query!(
            "INSERT INTO parked_leads (workspace_id, id, customer_external_id, message, reply_to, expires_at)
            SELECT u.workspace_id, u.id, u.customer, u.message, u.reply_to, now() + make_interval(secs => u.stay)
            FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[], $5::text[], $6::float8[])
                AS u(workspace_id, id, customer, message, reply_to, stay)
            ON CONFLICT DO NOTHING",
            &rows.iter().map(|r| r.workspace_id).collect::<Vec<_>>(),
            &rows.iter().map(|r| r.id).collect::<Vec<_>>(),
            &rows.iter().map(|r| r.customer_external_id).collect::<Vec<_>>() as &[&str],
            &rows.iter().map(|r| r.message.as_slice()).collect::<Vec<_>>() as &[&[u8]],
            &rows.iter().map(|r| r.reply_to).collect::<Vec<_>>() as &[Option<&str>],
            &rows.iter().map(seconds).collect::<Vec<_>>(),
        )
        .execute(&mut *self.connection)
        .await?;
        Ok(())
    }

    /// Takes out what waits for these customers.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn wake(&mut self, customers: &[Arrival<'_>]) -> Result<Vec<Woken>, StoreError> {
        if customers.is_empty() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query_as!(
            Woken,
            "DELETE FROM parked_leads WHERE (workspace_id, id) IN (
                SELECT p.workspace_id, p.id
                FROM unnest($1::uuid[], $2::text[]) AS u(workspace_id, external_id),
                LATERAL (SELECT workspace_id, id FROM parked_leads
                    WHERE workspace_id = u.workspace_id AND customer_external_id = u.external_id
                    FOR UPDATE SKIP LOCKED) p)
            RETURNING workspace_id, id, message, reply_to",
            &customers.iter().map(|customer| customer.workspace_id).collect::<Vec<_>>(),
            &customers.iter().map(|customer| customer.external_id).collect::<Vec<_>>() as &[&str],
        )
        .fetch_all(&mut *self.connection)
        .await?;
        Ok(rows)
    }

    /// Takes out one lead; returns whether it was still there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn take_parked(&mut self, workspace_id: Uuid, id: Uuid) -> Result<bool, StoreError> {
        let done = sqlx::query!("DELETE FROM parked_leads WHERE workspace_id = $1 AND id = $2", workspace_id, id)
            .execute(&mut *self.connection)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Takes out at most `most` leads whose customer has a click by now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn take_ripe(&mut self, most: i64) -> Result<Vec<Woken>, StoreError> {
        let rows = sqlx::query_as!(
            Woken,
            "DELETE FROM parked_leads WHERE (workspace_id, id) IN (
                SELECT p.workspace_id, p.id
                FROM parked_leads p, LATERAL (SELECT FROM customers c
                    WHERE c.workspace_id = p.workspace_id AND c.external_id = p.customer_external_id
                    AND c.click_id IS NOT NULL OFFSET 0) arrived
                ORDER BY p.expires_at LIMIT $1
                FOR UPDATE OF p SKIP LOCKED)
            RETURNING workspace_id, id, message, reply_to",
            most,
        )
        .fetch_all(&mut *self.connection)
        .await?;
        Ok(rows)
    }

    /// Takes out at most `most` leads whose time is up and whose customer still has no click. Time is up when every
    /// worker has settled what it was sent until then: until that is certain, one of them may hold the customer's click.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn take_expired(&mut self, most: i64) -> Result<Vec<Woken>, StoreError> {
        let rows = sqlx::query_as!(
            Woken,
            "DELETE FROM parked_leads WHERE (workspace_id, id) IN (
                SELECT p.workspace_id, p.id
                FROM parked_leads p
                WHERE p.expires_at <= now()
                AND p.expires_at <= (SELECT min(horizon) FROM horizons WHERE counts_until > now())
                AND NOT EXISTS (
                    SELECT FROM customers c WHERE c.workspace_id = p.workspace_id
                    AND c.external_id = p.customer_external_id AND c.click_id IS NOT NULL OFFSET 0)
                ORDER BY p.expires_at LIMIT $1
                FOR UPDATE OF p SKIP LOCKED)
            RETURNING workspace_id, id, message, reply_to",
            most,
        )
        .fetch_all(&mut *self.connection)
        .await?;
        Ok(rows)
    }
}
