//! The tables as they stand after the storm, read by statements of the suite's own.
//!
//! **Invariant:** everything is read, from all workspaces and of any time; nothing is sampled.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use sqlx::{PgPool, Row};
use uuid::Uuid;

/// Workspace, customer, event key.
pub(crate) type Key = (Uuid, String, String);

/// One row of `leads`.
#[derive(Debug, Clone)]
pub(crate) struct LeadRow {
    pub(crate) workspace_id: Uuid,
    pub(crate) id: Uuid,
    pub(crate) customer: String,
    pub(crate) event_key: String,
    pub(crate) event_name: String,
    pub(crate) mode: String,
    pub(crate) ending: String,
    pub(crate) quantity: i32,
    pub(crate) follow_up: bool,
    pub(crate) click_id: Option<String>,
    pub(crate) link_id: Option<Uuid>,
    pub(crate) recorded_at: DateTime<Utc>,
}

impl LeadRow {
    pub(crate) fn key(&self) -> Key {
        (self.workspace_id, self.customer.clone(), self.event_key.clone())
    }
}

/// A customer's click and its link.
pub(crate) type Brought = (Option<String>, Option<Uuid>);

/// One grave.
#[derive(Debug, Clone)]
pub(crate) struct Grave {
    pub(crate) identity: String,
    pub(crate) lead_id: Option<Uuid>,
    pub(crate) reason: String,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) leads: Vec<LeadRow>,
    /// Place in `leads` by lead id.
    pub(crate) by_id: HashMap<Uuid, usize>,
    /// Places in `leads` of recorded rows.
    pub(crate) recorded: HashMap<Key, Vec<usize>>,
    pub(crate) customers: HashMap<(Uuid, String), Brought>,
    pub(crate) parked: Vec<Uuid>,
    pub(crate) buried: Vec<Grave>,
    /// Link and its counter.
    pub(crate) counters: BTreeMap<Uuid, i64>,
    /// Click and its link.
    pub(crate) clicks: HashMap<String, Uuid>,
}

impl Books {
    /// Reads everything.
    pub(crate) async fn read(pool: &PgPool) -> Result<Self, sqlx::Error> {
        let mut books = Self { leads: leads(pool).await?, ..Self::default() };
        for (place, row) in books.leads.iter().enumerate() {
            books.by_id.insert(row.id, place);
            if row.ending == "recorded" {
                books.recorded.entry(row.key()).or_default().push(place);
            }
        }
        let customers = sqlx::query("SELECT workspace_id, external_id, click_id, link_id FROM customers");
        for row in customers.fetch_all(pool).await? {
            books.customers.insert((row.get(0), row.get(1)), (row.get(2), row.get(3)));
        }
        books.parked = sqlx::query_scalar("SELECT id FROM parked_leads").fetch_all(pool).await?;
        let graves = sqlx::query("SELECT identity, lead_id, reason FROM buried_leads").fetch_all(pool).await?;
        let grave =
            |row: &sqlx::postgres::PgRow| Grave { identity: row.get(0), lead_id: row.get(1), reason: row.get(2) };
        books.buried = graves.iter().map(grave).collect();
        books.counters = sqlx::query_as("SELECT id, leads FROM links").fetch_all(pool).await?.into_iter().collect();
        books.clicks = sqlx::query_as("SELECT id, link_id FROM clicks").fetch_all(pool).await?.into_iter().collect();
        Ok(books)
    }

    /// The row of a lead id.
    pub(crate) fn row(&self, id: Uuid) -> Option<&LeadRow> {
        self.by_id.get(&id).and_then(|place| self.leads.get(*place))
    }

    /// The recorded row of a key.
    pub(crate) fn recorded(&self, key: &Key) -> Option<&LeadRow> {
        self.recorded.get(key).and_then(|places| self.leads.get(*places.first()?))
    }
}

async fn leads(pool: &PgPool) -> Result<Vec<LeadRow>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT workspace_id, id, customer_external_id, event_key, event_name, mode, ending, quantity, follow_up, \
         click_id, link_id, recorded_at FROM leads ORDER BY id",
    );
    let row = |row: &sqlx::postgres::PgRow| LeadRow {
        workspace_id: row.get(0),
        id: row.get(1),
        customer: row.get(2),
        event_key: row.get(3),
        event_name: row.get(4),
        mode: row.get(5),
        ending: row.get(6),
        quantity: row.get(7),
        follow_up: row.get(8),
        click_id: row.get(9),
        link_id: row.get(10),
        recorded_at: row.get(11),
    };
    Ok(rows.fetch_all(pool).await?.iter().map(row).collect())
}
