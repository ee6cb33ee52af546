//! Reading the books: how leads ended, what is under way, and the rows a diary is checked against.
//!
//! Enters: nothing, or chunks of ids and keys taken from a diary. Leaves: counts and rows as they stand.
//! Everything is read in single statements, each of them one snapshot.
//!
//! **Invariant:** nothing here writes.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Store, StoreError};
use crate::lead::LeadKey;

/// How many leads of one mode ended one way.
#[derive(Debug, Clone)]
pub struct EndingCount {
    /// Mode, as stored.
    pub mode: String,
    /// Ending, as stored.
    pub ending: String,
    /// Rows.
    pub leads: i64,
    /// Sum of their quantities.
    pub quantity: i64,
}

/// What has no ending yet, and what was buried.
#[derive(Debug, Clone)]
pub struct UnderWay {
    /// Follow-ups whose customer has no click yet.
    pub parked: i64,
    /// Since when the oldest of them is parked.
    pub parked_since: Option<DateTime<Utc>>,
    /// Messages buried.
    pub buried: i64,
    /// Those of them that were replayed.
    pub replayed: i64,
    /// Messages that keep coming back and are being counted.
    pub suspects: i64,
}

/// One row of `leads`, as far as a diary can know it.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns' own names")]
pub struct LedgerRow {
    pub workspace_id: Uuid,
    pub id: Uuid,
    pub customer_external_id: String,
    pub event_key: String,
    pub event_name: String,
    pub mode: String,
    pub ending: String,
    pub quantity: i32,
    pub follow_up: bool,
    pub click_id: Option<String>,
    pub link_id: Option<Uuid>,
}

/// One row of `leads` with what must agree with it elsewhere.
#[derive(Debug, Clone)]
pub struct PlacedRow {
    /// The row.
    pub row: LedgerRow,
    /// The stored customer's click; `None` without customer or click.
    pub customer_click: Option<String>,
    /// A duplicate's key has a recorded row (true for every other ending).
    pub founded: bool,
    /// It is the replay of a buried message.
    pub replayed: bool,
}

/// A link whose counter disagrees with its recorded rows.
#[derive(Debug, Clone)]
pub struct CounterFault {
    /// The link.
    pub link_id: Uuid,
    /// `links.leads`.
    pub counted: i64,
    /// Sum of `quantity` over its recorded rows.
    pub recorded: i64,
}

/// Which rows of a workspace to page through; both ends included.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// The tenant.
    pub workspace_id: Uuid,
    /// Earliest `accepted_at`.
    pub from: DateTime<Utc>,
    /// Latest `accepted_at`.
    pub to: DateTime<Utc>,
}

impl Store {
    /// Leads by mode and ending, of one workspace or of all.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn endings(&self, workspace: Option<Uuid>) -> Result<Vec<EndingCount>, StoreError> {
        let counts = sqlx::query_as!(
            EndingCount,
            r#"SELECT mode AS "mode!", ending AS "ending!", count(*) AS "leads!", sum(quantity)::bigint AS "quantity!"
               FROM leads WHERE $1::uuid IS NULL OR workspace_id = $1 GROUP BY mode, ending ORDER BY mode, ending"#,
            workspace
        )
        .fetch_all(&self.pool())
        .await;
        self.noted(counts)
    }

    /// What is parked, buried and suspected, of one workspace or of all (suspects belong to none).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn under_way(&self, workspace: Option<Uuid>) -> Result<UnderWay, StoreError> {
        let pool = self.pool();
        let counts = sqlx::query_as!(
            UnderWay,
            r#"SELECT p.parked AS "parked!", p.since AS parked_since, b.buried AS "buried!", b.replayed AS "replayed!",
                      (SELECT count(*) FROM attempts) AS "suspects!"
               FROM (SELECT count(*) AS parked, min(parked_at) AS since FROM parked_leads
                     WHERE $1::uuid IS NULL OR workspace_id = $1) p,
                    (SELECT count(*) AS buried, count(replayed_as) AS replayed FROM buried_leads
                     WHERE $1::uuid IS NULL OR workspace_id = $1) b"#,
            workspace
        );
        self.patiently("what is under way", counts.fetch_one(&pool)).await
    }

    /// The rows of these leads; pairs of workspace and lead id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ledger_rows(&self, workspaces: &[Uuid], ids: &[Uuid]) -> Result<Vec<LedgerRow>, StoreError> {
        let rows = sqlx::query_as!(
            LedgerRow,
            "SELECT l.workspace_id, l.id, l.customer_external_id, l.event_key, l.event_name, l.mode, l.ending,
                    l.quantity, l.follow_up, l.click_id, l.link_id
             FROM unnest($1::uuid[], $2::uuid[]) AS asked (workspace_id, id)
             JOIN leads l ON l.workspace_id = asked.workspace_id AND l.id = asked.id",
            workspaces,
            ids
        )
        .fetch_all(&self.pool())
        .await;
        self.noted(rows)
    }

    /// Which of these leads are parked; pairs of workspace and lead id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn parked_among(&self, workspaces: &[Uuid], ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
        let parked = sqlx::query_scalar!(
            "SELECT p.id FROM unnest($1::uuid[], $2::uuid[]) AS asked (workspace_id, id)
             JOIN parked_leads p ON p.workspace_id = asked.workspace_id AND p.id = asked.id",
            workspaces,
            ids
        )
        .fetch_all(&self.pool())
        .await;
        self.noted(parked)
    }

    /// Which of these leads are buried; undecodable messages are known by their message id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn buried_among(&self, ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
        let buried = sqlx::query_scalar!(
            r#"SELECT asked.id AS "id!" FROM unnest($1::uuid[]) AS asked (id)
               WHERE EXISTS (SELECT FROM buried_leads b WHERE b.lead_id = asked.id)
                  OR EXISTS (SELECT FROM buried_leads b WHERE b.identity = asked.id::text)"#,
            ids
        )
        .fetch_all(&self.pool())
        .await;
        self.noted(buried)
    }

    /// How many recorded rows each of these keys has; keys without one are left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn recorded_per_key(&self, keys: &[LeadKey]) -> Result<Vec<(LeadKey, i64)>, StoreError> {
        let workspaces: Vec<Uuid> = keys.iter().map(|key| key.workspace_id).collect();
        let customers: Vec<&str> = keys.iter().map(|k| k.customer_external_id.as_str()).collect();
        let events: Vec<&str> = keys.iter().map(|key| key.event_key.as_str()).collect();
        let counts = sqlx::query!(
            r#"SELECT l.workspace_id, l.customer_external_id, l.event_key, count(*) AS "rows!"
               FROM unnest($1::uuid[], $2::text[], $3::text[]) AS asked (workspace_id, customer_external_id, event_key)
               JOIN leads l ON l.workspace_id = asked.workspace_id AND l.event_key = asked.event_key
                AND l.customer_external_id = asked.customer_external_id AND l.ending = 'recorded'
               GROUP BY l.workspace_id, l.customer_external_id, l.event_key"#,
            &workspaces,
            &customers as &[&str],
            &events as &[&str]
        )
        .fetch_all(&self.pool())
        .await;
        let counts = self.noted(counts)?.into_iter().map(|count| {
            let key = LeadKey {
                workspace_id: count.workspace_id,
                customer_external_id: count.customer_external_id,
                event_key: count.event_key,
            };
            (key, count.rows)
        });
        Ok(counts.collect())
    }

    /// The next `limit` rows of a span in the order of their ids, after the given id. The customer of each is looked up by key,
    /// whatever the planner takes the tables for: of a workspace that came after the last ANALYZE it expects one row, and then
    /// holds every lead against every customer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ledger_page(&self, span: Span, after: Uuid, limit: i64) -> Result<Vec<PlacedRow>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT l.workspace_id, l.id, l.customer_external_id, l.event_key, l.event_name, l.mode, l.ending,
                      l.quantity, l.follow_up, l.click_id, l.link_id, c.click_id AS "customer_click?",
                      (l.ending <> 'duplicate' OR EXISTS (SELECT FROM leads r
                        WHERE r.workspace_id = l.workspace_id AND r.customer_external_id = l.customer_external_id
                          AND r.event_key = l.event_key AND r.ending = 'recorded' OFFSET 0)) AS "founded!",
                      (l.id = ANY (ARRAY(SELECT replayed_as FROM buried_leads WHERE replayed_as IS NOT NULL))) AS "replayed!"
               FROM (SELECT * FROM leads WHERE workspace_id = $1 AND id > $2 AND accepted_at BETWEEN $3 AND $4
                     ORDER BY id LIMIT $5) l
               LEFT JOIN LATERAL (SELECT click_id FROM customers WHERE workspace_id = l.workspace_id
                     AND external_id = l.customer_external_id OFFSET 0) c ON true
               ORDER BY l.id"#,
            span.workspace_id,
            after,
            span.from,
            span.to,
            limit
        )
        .fetch_all(&self.pool())
        .await;
        let rows = self.noted(rows)?.into_iter().map(|r| PlacedRow {
            row: LedgerRow {
                workspace_id: r.workspace_id,
                id: r.id,
                customer_external_id: r.customer_external_id,
                event_key: r.event_key,
                event_name: r.event_name,
                mode: r.mode,
                ending: r.ending,
                quantity: r.quantity,
                follow_up: r.follow_up,
                click_id: r.click_id,
                link_id: r.link_id,
            },
            customer_click: r.customer_click,
            founded: r.founded,
            replayed: r.replayed,
        });
        Ok(rows.collect())
    }

    /// Links of a workspace whose counter is not the sum of `quantity` over their recorded rows.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn counter_faults(&self, workspace: Uuid) -> Result<Vec<CounterFault>, StoreError> {
        let faults = sqlx::query_as!(
            CounterFault,
            r#"SELECT k.id AS link_id, k.leads AS counted, coalesce(s.recorded, 0) AS "recorded!"
               FROM links k
               LEFT JOIN (SELECT link_id, sum(quantity)::bigint AS recorded FROM leads
                          WHERE workspace_id = $1 AND ending = 'recorded' GROUP BY link_id) s ON s.link_id = k.id
               WHERE k.workspace_id = $1 AND k.leads <> coalesce(s.recorded, 0)
               ORDER BY k.id"#,
            workspace
        )
        .fetch_all(&self.pool())
        .await;
        self.noted(faults)
    }
}
