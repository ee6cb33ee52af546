//! The `leads` table: one row per accepted request, with its ending.
//!
//! Enters: rows to be, in any order. Leaves: the ids that were stored; the others met a row that has
//! their id, or their key, and were left out. Both arbiters work in one statement, because the
//! conflict clause names no target.
//!
//! **Invariant:** rows are inserted in key order, so that two batches can wait for but never deadlock on each other's keys.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::StoreError;
use super::write::Tx;
use crate::lead::{Ending, Mode, Reason};
use crate::lifecycle::fault;

/// A row to be.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of the table, explained in its migration")]
pub struct NewLead<'a> {
    pub workspace_id: Uuid,
    pub id: Uuid,
    pub customer_external_id: &'a str,
    pub event_key: &'a str,
    pub event_name: &'a str,
    pub mode: Mode,
    pub ending: Ending,
    pub reason: Option<Reason>,
    pub quantity: i32,
    pub follow_up: bool,
    pub click_id: Option<&'a str>,
    pub link_id: Option<Uuid>,
    pub clicked_at: Option<DateTime<Utc>>,
    pub country: Option<&'a str>,
    pub metadata: Option<&'a str>,
    pub accepted_at: DateTime<Utc>,
}

/// The rows of one statement, column by column.
#[derive(Default)]
pub(super) struct Columns<'a> {
    pub(super) workspace_id: Vec<Uuid>,
    pub(super) id: Vec<Uuid>,
    pub(super) customer_external_id: Vec<&'a str>,
    pub(super) event_key: Vec<&'a str>,
    pub(super) event_name: Vec<&'a str>,
    pub(super) mode: Vec<&'static str>,
    pub(super) ending: Vec<&'static str>,
    pub(super) reason: Vec<Option<&'static str>>,
    pub(super) quantity: Vec<i32>,
    pub(super) follow_up: Vec<bool>,
    pub(super) click_id: Vec<Option<&'a str>>,
    pub(super) link_id: Vec<Option<Uuid>>,
    pub(super) clicked_at: Vec<Option<DateTime<Utc>>>,
    pub(super) country: Vec<Option<&'a str>>,
    pub(super) metadata: Vec<Option<&'a str>>,
    pub(super) accepted_at: Vec<DateTime<Utc>>,
}

/// The one list of columns; what follows it decides what a row that exists does.
macro_rules! insert {
    ($c:ident, $($query:ident)::+, $tail:tt) => {
        $($query)::+!(
            "INSERT INTO leads (workspace_id, id, customer_external_id, event_key, event_name, mode, ending, reason,
                quantity, follow_up, click_id, link_id, clicked_at, country, metadata, accepted_at)
            SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                $8::text[], $9::int[], $10::bool[], $11::text[], $12::uuid[], $13::timestamptz[], $14::text[],
                $15::text[], $16::timestamptz[])" + $tail,
            &$c.workspace_id,
            &$c.id,
            &$c.customer_external_id as &[&str],
            &$c.event_key as &[&str],
            &$c.event_name as &[&str],
            &$c.mode as &[&str],
            &$c.ending as &[&str],
            &$c.reason as &[Option<&str>],
            &$c.quantity,
            &$c.follow_up,
            &$c.click_id as &[Option<&str>],
            &$c.link_id as &[Option<Uuid>],
            &$c.clicked_at as &[Option<DateTime<Utc>>],
            &$c.country as &[Option<&str>],
            &$c.metadata as &[Option<&str>],
            &$c.accepted_at,
        )
    };
}

impl<'a> Columns<'a> {
    /// The rows as columns, after bringing them into the order in which their locks are taken.
    pub(super) fn of(rows: &mut [NewLead<'a>]) -> Self {
        rows.sort_unstable_by(|a, b| {
            let key = |row: &NewLead<'_>| (row.workspace_id, row.id);
            (a.workspace_id, a.customer_external_id, a.event_key)
                .cmp(&(b.workspace_id, b.customer_external_id, b.event_key))
                .then_with(|| key(a).cmp(&key(b)))
        });
        let mut columns = Self::default();
        rows.iter().for_each(|row| columns.push(row));
        columns
    }

    fn push(&mut self, row: &NewLead<'a>) {
        self.workspace_id.push(row.workspace_id);
        self.id.push(row.id);
        self.customer_external_id.push(row.customer_external_id);
        self.event_key.push(row.event_key);
        self.event_name.push(row.event_name);
        self.mode.push(row.mode.as_str());
        self.ending.push(row.ending.as_str());
        self.reason.push(row.reason.map(Reason::as_str));
        self.quantity.push(row.quantity);
        self.follow_up.push(row.follow_up);
        self.click_id.push(row.click_id);
        self.link_id.push(row.link_id);
        self.clicked_at.push(row.clicked_at);
        self.country.push(row.country);
        self.metadata.push(row.metadata);
        self.accepted_at.push(row.accepted_at);
    }
}

impl Tx {
    /// Inserts what does not exist yet; returns the ids of the rows that are new.
    ///
    /// # Errors
    /// [`StoreError`]; `Refused` when a row of the batch can never be stored.
    pub async fn insert_leads(&mut self, rows: &mut [NewLead<'_>]) -> Result<HashSet<Uuid>, StoreError> {
        if rows.is_empty() {
            return Ok(HashSet::new());
        }
        let c = Columns::of(rows);
        let stored = insert!(c, sqlx::query_scalar, " ON CONFLICT DO NOTHING RETURNING id");
        let stored = stored.fetch_all(&mut *self.connection).await?;
        Ok(stored.into_iter().collect())
    }

    /// Inserts rows that are thought to be new. It costs two thirds of [`Tx::insert_leads`] (each index is looked into
    /// once, and no row is written tentatively first), and one row that is not new fails them all.
    ///
    /// # Errors
    /// [`StoreError`]; `Conflict` when a row's id or key is there already.
    pub async fn insert_new_leads(&mut self, rows: &mut [NewLead<'_>]) -> Result<(), StoreError> {
        if !rows.is_empty() {
            let c = Columns::of(rows);
            insert!(c, sqlx::query, "").execute(&mut *self.connection).await?;
        }
        Ok(())
    }

    /// Adds quantities to the counters of links; `link_ids` sorted and unique, and so are the locks taken.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count_leads(&mut self, link_ids: &[Uuid], quantities: &[i64]) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE links SET leads = leads + ($2::bigint[])[array_position($1, id)], last_lead_at = now()
            WHERE id = ANY($1::uuid[])",
            link_ids,
            quantities,
        )
        .execute(&mut *self.connection)
        .await?;
        fault::point("store.counted").await;
        Ok(())
    }
}
