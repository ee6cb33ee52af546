//! Customers as leads bring them: the first click wins and stays.
//!
//! Enters: customers with the click that brought them. Leaves: rows of who is new, and the stored clicks
//! that follow-ups need. A stored customer is never overwritten by a lead; one without a click takes it.
//!
//! **Invariant:** rows are written in (workspace, external id) order.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::StoreError;
use super::write::Tx;

/// A customer as one lead describes him.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of the table, explained in its migration")]
pub struct Arrival<'a> {
    /// The lead, if somebody waits for its ending.
    pub asked: Option<Uuid>,
    pub workspace_id: Uuid,
    pub external_id: &'a str,
    pub id: Uuid,
    pub name: String,
    pub email: Option<&'a str>,
    pub avatar: Option<&'a str>,
    pub click: Click,
}

/// A click as customers and leads carry it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of the table, explained in its migration")]
pub struct Click {
    pub click_id: String,
    pub link_id: Uuid,
    pub clicked_at: DateTime<Utc>,
    pub country: Option<String>,
}

/// Arrivals column by column.
pub(super) struct Columns<'a> {
    pub(super) workspace_id: Vec<Uuid>,
    pub(super) external_id: Vec<&'a str>,
    pub(super) id: Vec<Uuid>,
    pub(super) name: Vec<&'a str>,
    pub(super) email: Vec<Option<&'a str>>,
    pub(super) avatar: Vec<Option<&'a str>>,
    pub(super) click_id: Vec<&'a str>,
    pub(super) link_id: Vec<Uuid>,
    pub(super) clicked_at: Vec<DateTime<Utc>>,
    pub(super) country: Vec<Option<&'a str>>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(arrivals: &'a [Arrival<'a>]) -> Self {
        Self {
            workspace_id: arrivals.iter().map(|a| a.workspace_id).collect(),
            external_id: arrivals.iter().map(|a| a.external_id).collect(),
            id: arrivals.iter().map(|a| a.id).collect(),
            name: arrivals.iter().map(|a| a.name.as_str()).collect(),
            email: arrivals.iter().map(|a| a.email).collect(),
            avatar: arrivals.iter().map(|a| a.avatar).collect(),
            click_id: arrivals.iter().map(|a| a.click.click_id.as_str()).collect(),
            link_id: arrivals.iter().map(|a| a.click.link_id).collect(),
            clicked_at: arrivals.iter().map(|a| a.click.clicked_at).collect(),
            country: arrivals.iter().map(|a| a.click.country.as_deref()).collect(),
        }
    }
}

/// Workspace and external id.
pub type CustomerKey = (Uuid, String);

impl Tx {
    /// Stores customers that do not exist yet, and gives the click to those who have none. `arrivals`
    /// must hold each key once, sorted by key. Returns the places of those who were there before.
    ///
    /// # Errors
    /// [`StoreError`]; `Refused` when a row of the batch can never be stored.
    pub async fn arrive(&mut self, arrivals: &[Arrival<'_>]) -> Result<HashSet<usize>, StoreError> {
        if arrivals.is_empty() {
            return Ok(HashSet::new());
        }
        let c = Columns::of(arrivals);
        // Ids are new, so only the key arbitrates: one index less to look into.
        let done = sqlx::query!(
            "INSERT INTO customers
                (workspace_id, external_id, id, name, email, avatar, click_id, link_id, clicked_at, country)
            SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[],
                $8::uuid[], $9::timestamptz[], $10::text[])
            ON CONFLICT (workspace_id, external_id) DO NOTHING",
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
        )
        .execute(&mut *self.connection)
        .await?;
        let all = u64::try_from(arrivals.len()).is_ok_and(|arrivals| arrivals == done.rows_affected());
        if all { Ok(HashSet::new()) } else { self.give_clicks(arrivals).await }
    }

    /// Finds who was there before, and gives a click to those who have none, which is rare: one by one, in key order.
    async fn give_clicks(&mut self, arrivals: &[Arrival<'_>]) -> Result<HashSet<usize>, StoreError> {
        let workspaces: Vec<Uuid> = arrivals.iter().map(|a| a.workspace_id).collect();
        let external_ids: Vec<&str> = arrivals.iter().map(|a| a.external_id).collect();
        let ids: Vec<Uuid> = arrivals.iter().map(|a| a.id).collect();
        // Who is deleted just now was there before, too.
        let there = sqlx::query!(
            r#"SELECT u.n AS "n!", c.id IS NOT NULL AND c.click_id IS NULL AS "without!"
            FROM unnest($1::uuid[], $2::text[], $3::uuid[]) WITH ORDINALITY AS u(workspace_id, external_id, id, n)
            LEFT JOIN LATERAL (SELECT id, click_id FROM customers
                WHERE workspace_id = u.workspace_id AND external_id = u.external_id OFFSET 0) c ON true
            WHERE c.id IS DISTINCT FROM u.id
            ORDER BY u.n"#,
            &workspaces,
            &external_ids as &[&str],
            &ids,
        )
        .fetch_all(&mut *self.connection)
        .await?;
        let mut before = HashSet::with_capacity(there.len());
        for row in there {
            let Some(place) = place(row.n) else { continue };
            before.insert(place);
            if let Some(arrival) = arrivals.get(place).filter(|_| row.without) {
                self.give_click(arrival).await?;
            }
        }
        Ok(before)
    }

    async fn give_click(&mut self, arrival: &Arrival<'_>) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE customers
            SET click_id = $3, link_id = $4, clicked_at = $5, country = coalesce(country, $6)
            WHERE workspace_id = $1 AND external_id = $2 AND click_id IS NULL",
            arrival.workspace_id,
            arrival.external_id,
            arrival.click.click_id,
            arrival.click.link_id,
            arrival.click.clicked_at,
            arrival.click.country,
        )
        .execute(&mut *self.connection)
        .await?;
        Ok(())
    }

    /// The stored clicks of these customers; those without one are absent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn clicks_of(
        &mut self,
        workspaces: &[Uuid],
        external_ids: &[&str],
    ) -> Result<HashMap<CustomerKey, Click>, StoreError> {
        if workspaces.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = sqlx::query!(
            r#"SELECT c.workspace_id, c.external_id, c.click_id AS "click_id!", c.link_id AS "link_id!",
                c.clicked_at AS "clicked_at!", c.country
            FROM (SELECT DISTINCT * FROM unnest($1::uuid[], $2::text[]) AS u(workspace_id, external_id)) AS a,
            LATERAL (SELECT * FROM customers WHERE workspace_id = a.workspace_id AND external_id = a.external_id
                AND click_id IS NOT NULL OFFSET 0) AS c"#,
            workspaces,
            external_ids as &[&str],
        )
        .fetch_all(&mut *self.connection)
        .await?;
        let clicks = rows.into_iter().map(|row| {
            let (click_id, link_id, clicked_at) = (row.click_id, row.link_id, row.clicked_at);
            ((row.workspace_id, row.external_id), Click { click_id, link_id, clicked_at, country: row.country })
        });
        Ok(clicks.collect())
    }
}

/// Where in its array an element is that `PostgreSQL` counts from 1.
pub(super) fn place(n: i64) -> Option<usize> {
    usize::try_from(n - 1).ok()
}
