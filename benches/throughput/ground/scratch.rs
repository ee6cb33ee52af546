//! Scratch databases, migrated and seeded with a tenant, and what they are asked.
//!
//! Enters: the URL of a server where databases may be created. Leaves: a database of our own. Its
//! connections plan as the product's do.
//!
//! **Invariant:** only databases created here are ever emptied or dropped.

use std::time::Duration;

use chrono::{DateTime, Utc};
use leadline::lead::id;
use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use uuid::Uuid;

use super::seeds::Seeds;
use crate::Outcome;
use crate::stats::Times;

/// A database of our own.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) url: String,
    pub(crate) pool: PgPool,
    name: String,
    server: String,
}

impl Scratch {
    /// Creates, migrates and seeds a database.
    pub(crate) async fn create(server: &str, label: &str, seeds: &Seeds) -> Outcome<Self> {
        let name = format!("leadline_bench_{label}_{}", id::alphanumerics(8).to_lowercase());
        let mut admin = PgConnection::connect(server).await?;
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut admin).await?;
        let mut url = url::Url::parse(server)?;
        url.set_path(&name);
        let options: PgConnectOptions = url.as_str().parse()?;
        let options = options.application_name("bench").options([
            ("enable_seqscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            ("plan_cache_mode", "force_generic_plan"),
            ("jit", "off"),
        ]);
        let pool = PgPoolOptions::new().max_connections(8).connect_lazy_with(options);
        let (url, server) = (url.to_string(), server.to_owned());
        let scratch = Self { url, pool, name, server };
        let seeded = scratch.seed(seeds).await;
        if seeded.is_err() {
            scratch.remove().await?;
        }
        seeded.map(|()| scratch)
    }

    async fn seed(&self, seeds: &Seeds) -> Outcome<()> {
        sqlx::migrate!("./migrations").run(&self.pool).await?;
        self.settle(seeds).await
    }

    /// Adds one more tenant with links and clicks.
    pub(crate) async fn settle(&self, seeds: &Seeds) -> Outcome<()> {
        let (workspace, now) = (seeds.workspace_id, Utc::now());
        let domain = format!("{}.example", seeds.label);
        sqlx::query("INSERT INTO workspaces (id, slug, name) VALUES ($1, $2, 'Bench')")
            .bind(workspace)
            .bind(seeds.label)
            .execute(&self.pool)
            .await?;
        sqlx::query("INSERT INTO domains (name, workspace_id) VALUES ($2, $1)")
            .bind(workspace)
            .bind(&domain)
            .execute(&self.pool)
            .await?;
        sqlx::query(
            "INSERT INTO api_keys (id, workspace_id, kind, hash, hint, name) VALUES ($1, $2, 'secret', $3, 'll_...', 'bench')",
        )
        .bind(Uuid::now_v7())
        .bind(workspace)
        .bind(Sha256::digest(seeds.key.as_bytes()).to_vec())
        .execute(&self.pool)
        .await?;
        sqlx::query(
            "INSERT INTO links (id, workspace_id, domain, key, url, track_conversion)
            SELECT id, $1, $3, 'k' || to_char(n, 'FM999999000'), 'https://www.example.com/landing', true
            FROM unnest($2::uuid[]) WITH ORDINALITY AS t(id, n)",
        )
        .bind(workspace)
        .bind(&*seeds.links)
        .bind(&domain)
        .execute(&self.pool)
        .await?;
        let ids: Vec<&str> = seeds.clicks.iter().map(|click| click.id.as_str()).collect();
        let links: Vec<Uuid> = seeds.clicks.iter().map(|click| click.link_id).collect();
        sqlx::query(
            "INSERT INTO clicks (id, link_id, workspace_id, clicked_at, url, country, ip, user_agent, trigger)
            SELECT id, link_id, $1, $2, 'https://www.example.com/landing', 'DE', '192.0.2.1', 'Mozilla/5.0', 'link'
            FROM unnest($3::text[], $4::uuid[]) AS t(id, link_id)",
        )
        .bind(workspace)
        .bind(now)
        .bind(ids)
        .bind(links)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Lets every transaction that records leads wait so long when it has written them, whatever others do meanwhile. No counter
    /// of a link is locked by then.
    pub(crate) async fn slow_down(&self, by: Duration) -> Outcome<()> {
        let wait = format!(
            "CREATE FUNCTION slow_down() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN PERFORM pg_sleep({}); RETURN NULL; END $$;
            CREATE TRIGGER slow_down AFTER INSERT ON leads FOR EACH STATEMENT EXECUTE FUNCTION slow_down()",
            by.as_secs_f64()
        );
        sqlx::raw_sql(AssertSqlSafe(wait)).execute(&self.pool).await?;
        Ok(())
    }

    /// Of every lead, when it was accepted and when the transaction began that gave its ending, in seconds since then.
    pub(crate) async fn course(&self, since: DateTime<Utc>) -> Outcome<Vec<(f64, f64)>> {
        let rows = sqlx::query_as(
            "SELECT extract(epoch FROM accepted_at - $1)::float8, extract(epoch FROM recorded_at - $1)::float8
            FROM leads ORDER BY accepted_at",
        );
        Ok(rows.bind(since).fetch_all(&self.pool).await?)
    }

    /// Removes all leads and customers, and brings the counters back to zero.
    pub(crate) async fn empty(&self) -> Outcome<()> {
        sqlx::query("TRUNCATE leads, customers").execute(&self.pool).await?;
        sqlx::query("UPDATE links SET leads = 0").execute(&self.pool).await?;
        Ok(())
    }

    /// Leads that have an ending and were accepted under this id or a later one.
    pub(crate) async fn ended(&self, since: Uuid) -> Outcome<u64> {
        let count = sqlx::query_scalar("SELECT count(*) FROM leads WHERE id >= $1").bind(since);
        let count: i64 = count.fetch_one(&self.pool).await?;
        Ok(u64::try_from(count)?)
    }

    /// Leads recorded so far, by the links' counters: cheap, however many rows there are.
    pub(crate) async fn counted(&self) -> Outcome<u64> {
        let sum = sqlx::query_scalar("SELECT coalesce(sum(leads), 0)::bigint FROM links");
        let sum: i64 = sum.fetch_one(&self.pool).await?;
        Ok(u64::try_from(sum)?)
    }

    /// From accept to the begin of the transaction that gave the ending: what rows can tell.
    pub(crate) async fn accept_to_begin(&self, since: Uuid) -> Outcome<Times> {
        let times = sqlx::query_scalar(
            "SELECT percentile_disc(ARRAY[0.5, 0.99, 0.999]) WITHIN GROUP
                (ORDER BY (extract(epoch FROM recorded_at - accepted_at) * 1000)::float8)
            FROM leads WHERE id >= $1",
        );
        let times: Option<Vec<f64>> = times.bind(since).fetch_one(&self.pool).await?;
        match times.as_deref() {
            Some(&[p50, p99, p999]) => Ok(Times { p50, p99, p999 }),
            _ => Ok(Times::default()),
        }
    }

    /// Bytes of write-ahead log the server has written since it was made.
    pub(crate) async fn wal_bytes(&self) -> Outcome<f64> {
        let bytes = sqlx::query_scalar("SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::float8");
        Ok(bytes.fetch_one(&self.pool).await?)
    }

    /// A process of the server, if it runs on this machine: its parent is the server itself.
    pub(crate) async fn backend(&self) -> Outcome<u32> {
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&self.pool).await?;
        Ok(u32::try_from(pid)?)
    }

    /// Drops the database, whoever is still connected to it.
    pub(crate) async fn remove(&self) -> Outcome<()> {
        self.pool.close().await;
        let mut admin = PgConnection::connect(&self.server).await?;
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        sqlx::query(AssertSqlSafe(drop)).execute(&mut admin).await?;
        Ok(())
    }
}
