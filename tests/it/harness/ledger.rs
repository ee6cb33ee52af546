//! The conservation law: what was answered against what stands in `PostgreSQL`.
//!
//! Enters: a diary and the tables. Leaves: one line per offence.
//!
//! **Invariant:** nothing here is a bound or a rate; every rule is exact.

use std::collections::{BTreeMap, BTreeSet};

use leadline::lead::{Schema, TrackLead, event_key};
use sqlx::{PgPool, Row};
use uuid::Uuid;

use super::diary::{Diary, Entry};

/// One row of `leads`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeadRow {
    pub(crate) workspace_id: Uuid,
    pub(crate) id: Uuid,
    pub(crate) customer: String,
    pub(crate) event_key: String,
    pub(crate) event_name: String,
    pub(crate) mode: String,
    pub(crate) ending: String,
    pub(crate) reason: Option<String>,
    pub(crate) quantity: i32,
    pub(crate) follow_up: bool,
    pub(crate) click_id: Option<String>,
    pub(crate) link_id: Option<Uuid>,
    pub(crate) metadata: Option<String>,
}

/// All rows of `leads`.
pub(crate) async fn leads(pool: &PgPool) -> Vec<LeadRow> {
    let rows = sqlx::query(
        "SELECT workspace_id, id, customer_external_id AS customer, event_key, event_name, mode, ending, reason, quantity, \
         follow_up, click_id, link_id, metadata FROM leads ORDER BY workspace_id, id",
    );
    rows.fetch_all(pool)
        .await
        .unwrap()
        .iter()
        .map(|row| LeadRow {
            workspace_id: row.get("workspace_id"),
            id: row.get("id"),
            customer: row.get("customer"),
            event_key: row.get("event_key"),
            event_name: row.get("event_name"),
            mode: row.get("mode"),
            ending: row.get("ending"),
            reason: row.get("reason"),
            quantity: row.get("quantity"),
            follow_up: row.get("follow_up"),
            click_id: row.get("click_id"),
            link_id: row.get("link_id"),
            metadata: row.get("metadata"),
        })
        .collect()
}

/// Which accepted requests have no ending yet.
pub(crate) async fn open(pool: &PgPool, diary: &Diary) -> Vec<Uuid> {
    let mut wanted: BTreeSet<Uuid> = diary.entries().iter().filter(|e| e.accepted()).filter_map(|e| e.id).collect();
    let ended: Vec<Uuid> = sqlx::query_scalar(
        "SELECT id FROM leads UNION ALL SELECT lead_id FROM buried_leads WHERE lead_id IS NOT NULL \
         UNION ALL SELECT identity::uuid FROM buried_leads WHERE identity ~ '^[0-9a-f]{8}-[0-9a-f-]{27}$'",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    for id in ended {
        wanted.remove(&id);
    }
    wanted.into_iter().collect()
}

/// Every rule of the promise that the tables can show to be broken.
pub(crate) async fn faults(pool: &PgPool, diary: &Diary) -> Vec<String> {
    let rows = leads(pool).await;
    let mut faults: Vec<String> =
        open(pool, diary).await.iter().map(|id| format!("answered 200 and never ended: {id}")).collect();
    let by_id: BTreeMap<(Uuid, Uuid), &LeadRow> = rows.iter().map(|row| ((row.workspace_id, row.id), row)).collect();
    let entries = diary.entries();
    for entry in &entries {
        let row = entry.id.and_then(|id| by_id.get(&(entry.workspace_id, id)));
        faults.extend(row.and_then(|row| contradicts(entry, row)));
        if entry.status >= 400 && entry.status != 503 && row.is_some_and(|row| row.ending != "rejected") {
            faults.push(format!("refused with {} and yet {row:?}", entry.status));
        }
    }
    let known: BTreeSet<(Uuid, Uuid)> = entries.iter().filter_map(|e| Some((e.workspace_id, e.id?))).collect();
    let unasked =
        rows.iter().filter(|row| !known.contains(&(row.workspace_id, row.id)) && !diary.is_stranger(&row.customer));
    faults.extend(unasked.map(|row| format!("nobody asked for {row:?}")));
    let mut keys = BTreeSet::new();
    for row in rows.iter().filter(|row| row.ending == "recorded") {
        if !keys.insert((row.workspace_id, &row.customer, &row.event_key)) {
            faults.push(format!("recorded twice: {row:?}"));
        }
    }
    for row in rows.iter().filter(|row| row.ending == "duplicate") {
        if !keys.contains(&(row.workspace_id, &row.customer, &row.event_key)) {
            faults.push(format!("duplicate of nothing: {row:?}"));
        }
    }
    faults.extend(broken_sums(pool).await);
    faults
}

/// What in a row is not what its request asked for, or not what its caller was told.
fn contradicts(entry: &Entry, row: &LeadRow) -> Option<String> {
    let lead = entry.lead.as_ref()?;
    let same_key = row.customer == lead.customer_external_id && row.event_key == event_key(&lead.event_name);
    let repeats = entry.ending.as_deref() == Some("duplicate") && row.ending == "recorded";
    let told = entry.ending.as_deref().is_none_or(|ending| ending == row.ending) || repeats;
    let own = repeats || equals(lead, row);
    (!(same_key && told && own)).then(|| format!("{entry:?} became {row:?}"))
}

fn equals(lead: &TrackLead, row: &LeadRow) -> bool {
    let click = lead.click_id.is_none()
        || !["recorded", "deferred"].contains(&row.ending.as_str())
        || lead.click_id == row.click_id;
    row.event_name == lead.event_name
        && row.mode == lead.mode.as_str()
        && row.quantity == lead.quantity
        && row.metadata == lead.metadata
        && row.follow_up == lead.click_id.is_none()
        && click
}

async fn broken_sums(pool: &PgPool) -> Vec<String> {
    let rules = [
        (
            "links.leads is not the sum of recorded quantities",
            "SELECT l.id::text || ' ' || l.leads FROM links l LEFT JOIN (SELECT link_id, sum(quantity) AS n FROM leads \
             WHERE ending = 'recorded' GROUP BY link_id) r ON r.link_id = l.id WHERE l.leads <> coalesce(r.n, 0)",
        ),
        (
            "a recorded lead without a link",
            "SELECT id::text FROM leads WHERE ending IN ('recorded', 'deferred') AND (link_id IS NULL OR click_id IS NULL)",
        ),
        (
            "a follow-up that does not carry its customer's click",
            "SELECT r.id::text FROM leads r LEFT JOIN customers c ON c.workspace_id = r.workspace_id \
             AND c.external_id = r.customer_external_id WHERE r.follow_up AND r.ending = 'recorded' \
             AND (r.click_id, r.link_id) IS DISTINCT FROM (c.click_id, c.link_id)",
        ),
        (
            "a recorded lead without its customer",
            "SELECT r.id::text FROM leads r WHERE ending IN ('recorded', 'deferred') AND NOT EXISTS (SELECT FROM customers c \
             WHERE c.workspace_id = r.workspace_id AND c.external_id = r.customer_external_id AND c.click_id IS NOT NULL)",
        ),
        (
            "an ended lead that is still parked",
            "SELECT p.id::text FROM parked_leads p JOIN leads l ON l.workspace_id = p.workspace_id AND l.id = p.id",
        ),
    ];
    let mut faults = Vec::new();
    for (what, statement) in rules {
        let offenders: Vec<String> = sqlx::query_scalar(statement).fetch_all(pool).await.unwrap();
        faults.extend(offenders.iter().map(|offender| format!("{what}: {offender}")));
    }
    faults
}

/// The server schema's reading of a body, for comparisons in tests.
pub(crate) fn wish(body: &serde_json::Value) -> TrackLead {
    TrackLead::parse(body.to_string().as_bytes(), Schema::Server).unwrap()
}
