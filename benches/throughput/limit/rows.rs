//! The rows of new leads of new customers, written the shortest way.
//!
//! One transaction, three statements: customers, leads, counters of links; counters last, so that
//! the hot rows are held shortest. No conflict clauses, no reading back.
//!
//! **Invariant:** the rows are those the product writes for the same messages.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use leadline::lead::{LeadMessage, event_key};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::Outcome;

/// Writes a batch and commits it.
pub(super) async fn write(connection: &mut PgConnection, messages: &mut [LeadMessage]) -> Outcome<()> {
    messages.sort_unstable_by(|a, b| a.customer_external_id.cmp(&b.customer_external_id));
    let Some(workspace_id) = messages.first().map(|message| message.workspace_id) else {
        return Ok(());
    };
    let mut tx = connection.begin().await?;
    customers(&mut tx, workspace_id, messages).await?;
    leads(&mut tx, workspace_id, messages).await?;
    counters(&mut tx, messages).await?;
    tx.commit().await?;
    Ok(())
}

async fn customers(tx: &mut PgConnection, workspace_id: Uuid, messages: &[LeadMessage]) -> Outcome<()> {
    let ids: Vec<Uuid> = messages.iter().map(|_| Uuid::now_v7()).collect();
    let resolved = || messages.iter().map(|m| m.resolved.as_ref());
    sqlx::query(
        "INSERT INTO customers (workspace_id, external_id, id, name, email, avatar, click_id, link_id, clicked_at, country)
        SELECT $1, * FROM unnest($2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::uuid[],
            $9::timestamptz[], $10::text[])",
    )
    .bind(workspace_id)
    .bind(texts(messages, |m| Some(&m.customer_external_id)))
    .bind(ids)
    .bind(texts(messages, |m| m.customer_name.as_deref()))
    .bind(texts(messages, |m| m.customer_email.as_deref()))
    .bind(texts(messages, |m| m.customer_avatar.as_deref()))
    .bind(texts(messages, |m| m.click_id.as_deref()))
    .bind(resolved().map(|r| r.map(|r| r.link_id)).collect::<Vec<Option<Uuid>>>())
    .bind(resolved().map(|r| r.map(|r| r.clicked_at)).collect::<Vec<Option<DateTime<Utc>>>>())
    .bind(texts(messages, |m| m.resolved.as_ref()?.country.as_deref()))
    .execute(tx)
    .await?;
    Ok(())
}

async fn leads(tx: &mut PgConnection, workspace_id: Uuid, messages: &[LeadMessage]) -> Outcome<()> {
    let keys: Vec<String> = messages.iter().map(|m| event_key(&m.event_name)).collect();
    let resolved = || messages.iter().map(|m| m.resolved.as_ref());
    sqlx::query(
        "INSERT INTO leads (workspace_id, id, customer_external_id, event_key, event_name, mode, ending, quantity, follow_up,
            click_id, link_id, clicked_at, country, metadata, accepted_at)
        SELECT $1, id, customer, event_key, event_name, mode, 'recorded', quantity, false, click_id, link_id, clicked_at,
            country, metadata, accepted_at
        FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[], $8::text[], $9::uuid[],
            $10::timestamptz[], $11::text[], $12::text[], $13::timestamptz[])
            AS t(id, customer, event_key, event_name, mode, quantity, click_id, link_id, clicked_at, country, metadata,
            accepted_at)",
    )
    .bind(workspace_id)
    .bind(messages.iter().map(|m| m.id).collect::<Vec<Uuid>>())
    .bind(texts(messages, |m| Some(&m.customer_external_id)))
    .bind(keys)
    .bind(texts(messages, |m| Some(&m.event_name)))
    .bind(texts(messages, |m| Some(m.mode.as_str())))
    .bind(messages.iter().map(|m| m.quantity).collect::<Vec<i32>>())
    .bind(texts(messages, |m| m.click_id.as_deref()))
    .bind(resolved().map(|r| r.map(|r| r.link_id)).collect::<Vec<Option<Uuid>>>())
    .bind(resolved().map(|r| r.map(|r| r.clicked_at)).collect::<Vec<Option<DateTime<Utc>>>>())
    .bind(texts(messages, |m| m.resolved.as_ref()?.country.as_deref()))
    .bind(texts(messages, |m| m.metadata.as_deref()))
    .bind(messages.iter().map(|m| m.accepted_at).collect::<Vec<DateTime<Utc>>>())
    .execute(tx)
    .await?;
    Ok(())
}

async fn counters(tx: &mut PgConnection, messages: &[LeadMessage]) -> Outcome<()> {
    let mut sums: BTreeMap<Uuid, i64> = BTreeMap::new();
    for (message, click) in messages.iter().filter_map(|m| Some((m, m.resolved.as_ref()?))) {
        *sums.entry(click.link_id).or_default() += i64::from(message.quantity);
    }
    sqlx::query(
        "UPDATE links SET leads = links.leads + d.n, last_lead_at = now()
        FROM (SELECT * FROM unnest($1::uuid[], $2::bigint[]) AS t(id, n) ORDER BY id) AS d WHERE links.id = d.id",
    )
    .bind(sums.keys().copied().collect::<Vec<Uuid>>())
    .bind(sums.values().copied().collect::<Vec<i64>>())
    .execute(tx)
    .await?;
    Ok(())
}

fn texts<'a>(messages: &'a [LeadMessage], field: impl Fn(&'a LeadMessage) -> Option<&'a str>) -> Vec<Option<&'a str>> {
    messages.iter().map(field).collect()
}
