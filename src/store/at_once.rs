//! A batch of new leads in one statement: the function `record_new_v2` of the migrations.
//!
//! Enters: rows, customers and counters as the long way has them. Leaves: whether somebody waits,
//! and who was there before.
//!
//! **Invariant:** it stores what the long way would store of the same batch, or nothing.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::StoreError;
use super::arrivals::{self, Arrival};
use super::leads::{self, NewLead};
use super::write::Tx;

impl Tx {
    /// Records leads that are thought to be new, with the customers they bring and the counters they move, and commits
    /// them. `rows` must have a click and no reason, `arrivals` are sorted by key, `links` sorted and unique. Returns whether
    /// leads are parked for any of these customers, and the places of those who were there before.
    ///
    /// # Errors
    /// [`StoreError`]; `Conflict` when a row's id or key is there already.
    pub async fn record_new(
        &mut self,
        rows: &mut [NewLead<'_>],
        arrivals: &[Arrival<'_>],
        (links, quantities): (&[Uuid], &[i64]),
    ) -> Result<(bool, HashSet<usize>), StoreError> {
        let (c, l) = (arrivals::Columns::of(arrivals), leads::Columns::of(rows));
        let row = sqlx::query!(
            r#"SELECT waiting AS "waiting!", known AS "known!"
            FROM record_new_v2($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
                $20, $21, $22, $23, $24, $25, $26)"#,
            &c.workspace_id,
            &c.external_id as &[&str],
            &c.id,
            &c.name as &[&str],
            &c.email as &[Option<&str>],
            &c.avatar as &[Option<&str>],
            &c.click_id as &[&str],
            &c.link_id,
            &c.clicked_at,
            &c.country as &[Option<&str>],
            &l.workspace_id,
            &l.id,
            &l.customer_external_id as &[&str],
            &l.event_key as &[&str],
            &l.event_name as &[&str],
            &l.mode as &[&str],
            &l.ending as &[&str],
            &l.quantity,
            &l.click_id as &[Option<&str>],
            &l.link_id as &[Option<Uuid>],
            &l.clicked_at as &[Option<DateTime<Utc>>],
            &l.country as &[Option<&str>],
            &l.metadata as &[Option<&str>],
            &l.accepted_at,
            links,
            quantities,
        );
        let row = row.fetch_one(&mut *self.connection).await?;
        Ok((row.waiting, row.known.into_iter().filter_map(arrivals::place).collect()))
    }
}
