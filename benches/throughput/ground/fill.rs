//! Rows that are already there: leads and customers as if they had been recorded yesterday.
//!
//! Enters: a database that Leadline works on while nobody sends, and how many rows it shall hold. Leaves
//! the rows, the links' counters that go with them, and fresh statistics. Indexes are as migrated, and
//! rows come in the order of their external ids or not, as the load that follows will.
//!
//! **Invariant:** counters equal the recorded rows, so that the ledger stays clean.

use uuid::Uuid;

use super::{Scratch, Seeds};
use crate::Outcome;

/// Rows per statement: a few seconds of work.
const CHUNK: u64 = 250_000;

/// What the rows look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// External ids counted up, as the generator's sequential ones are.
    Sequential,
    /// External ids spread evenly, as hashes are.
    Random,
}

impl Scratch {
    /// Adds the rows from the `from`th to before the `to`th.
    pub(crate) async fn fill(&self, seeds: &Seeds, order: Order, from: u64, to: u64) -> Outcome<()> {
        let mut next = from;
        while next < to {
            let end = to.min(next + CHUNK);
            self.fill_chunk(seeds, order, i64::try_from(next)?, i64::try_from(end)? - 1).await?;
            next = end;
        }
        self.tidy().await
    }

    /// Vacuums, and writes to disk what was changed before, so that whatever is measured next begins alike.
    pub(crate) async fn tidy(&self) -> Outcome<()> {
        sqlx::query("VACUUM ANALYZE customers, leads, links").execute(&self.pool).await?;
        // Not every role may; then the log says how much was written.
        drop(sqlx::query("CHECKPOINT").execute(&self.pool).await);
        Ok(())
    }

    async fn fill_chunk(&self, seeds: &Seeds, order: Order, first: i64, last: i64) -> Outcome<()> {
        let links: Vec<Uuid> = seeds.links.to_vec();
        let clicks: Vec<&str> = seeds.clicks.iter().take(links.len()).map(|click| click.id.as_str()).collect();
        let customers = "INSERT INTO customers
                (workspace_id, external_id, id, name, email, click_id, link_id, clicked_at, country, created_at)
            SELECT $1, 'user_' || x, id, 'Ada Lovelace', left(x, 12) || '@example.com', ($5::text[])[1 + n % cardinality($4)],
                ($4::uuid[])[1 + n % cardinality($4)], now() - interval '1 day', 'DE', now() - interval '1 day'
            FROM (SELECT n, {x} AS x, {id} AS id FROM generate_series($2::bigint, $3::bigint) AS n) AS rows";
        let leads = "INSERT INTO leads (workspace_id, id, customer_external_id, event_key, event_name, mode, ending, quantity,
                follow_up, click_id, link_id, clicked_at, country, accepted_at, recorded_at)
            SELECT $1, id, 'user_' || x, 'sign-up', 'Sign Up', 'async', 'recorded', 1, false,
                ($5::text[])[1 + n % cardinality($4)], ($4::uuid[])[1 + n % cardinality($4)], now() - interval '1 day', 'DE',
                now() - interval '1 day', now() - interval '1 day'
            FROM (SELECT n, {x} AS x, {id} AS id FROM generate_series($2::bigint, $3::bigint) AS n) AS rows";
        let counters = "UPDATE links SET leads = leads + d.n, last_lead_at = now() - interval '1 day'
            FROM (SELECT ($4::uuid[])[1 + n % cardinality($4)] AS id, count(*) AS n
                FROM generate_series($2::bigint, $3::bigint) AS n GROUP BY 1) AS d
            WHERE links.id = d.id AND links.workspace_id = $1";
        let mut tx = self.pool.begin().await?;
        for statement in [customers, leads, counters] {
            let statement = statement.replace("{x}", external_id(order)).replace("{id}", ID);
            sqlx::query(sqlx::AssertSqlSafe(statement))
                .bind(seeds.workspace_id)
                .bind(first)
                .bind(last)
                .bind(&links)
                .bind(&clicks)
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }
}

/// Twenty hexadecimal digits, as the generator's.
fn external_id(order: Order) -> &'static str {
    match order {
        Order::Sequential => "lpad(to_hex(n), 20, '0')",
        Order::Random => "left(md5('bench' || n), 20)",
    }
}

/// A UUIDv7 of yesterday; a thousand to the millisecond, in the order of the rows.
const ID: &str = "(lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - 86400000 + n / 1000), 12, '0')
    || '7' || lpad(to_hex(n % 1000), 3, '0') || '8' || substr(md5('id' || n), 1, 15))::uuid";
