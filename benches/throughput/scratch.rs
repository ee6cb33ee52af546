//! Scratch databases, migrated and seeded: one workspace, its key, 100 links, 10 000 clicks on them.
//!
//! Enters: the URL of a server where databases may be created. Leaves: a database of our own, and
//! the [`Seeds`] that requests and messages are made of. Connections plan as the product's do.
//!
//! **Invariant:** only databases created here are ever emptied or dropped.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use leadline::lead::{id, message::whole_millis};
use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use uuid::Uuid;

use crate::Outcome;
use crate::load::Job;
use crate::template::Click;

const LINKS: usize = 100;
const CLICKS: usize = 10_000;

/// A database of our own.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) url: String,
    pub(crate) pool: PgPool,
    name: String,
    server: String,
}

/// What the database was seeded with.
#[derive(Debug, Clone)]
pub(crate) struct Seeds {
    pub(crate) workspace_id: Uuid,
    pub(crate) key: String,
    pub(crate) clicks: Arc<[Click]>,
    label: &'static str,
    links: Arc<[Uuid]>,
    files: PathBuf,
}

/// Where the run's files go: diary, log, figures.
pub(crate) fn folder() -> Outcome<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

impl Seeds {
    /// Makes them up; the clicks are also written to a file for the generator. One tenant per label.
    pub(crate) fn new(label: &'static str) -> Outcome<Self> {
        let links: Arc<[Uuid]> = (0..LINKS).map(|_| Uuid::now_v7()).collect();
        let now = whole_millis(Utc::now());
        let millis = u64::try_from(now.timestamp_millis())?;
        let spread = (0_u64..).zip(links.iter().cycle()).take(CLICKS);
        let clicks: Arc<[Click]> = spread
            .map(|(n, link_id)| Click {
                id: id::click_id(millis - n),
                link_id: *link_id,
                at: now - Duration::from_millis(n),
            })
            .collect();
        let files = folder()?;
        let ids: Vec<&str> = clicks.iter().map(|click| click.id.as_str()).collect();
        std::fs::write(files.join(format!("{label}-clicks.txt")), ids.join("\n"))?;
        std::fs::write(files.join("diary.ndjson"), "")?;
        let key = format!("ll_{}", id::alphanumerics(24));
        Ok(Self { workspace_id: Uuid::now_v7(), key, clicks, label, links, files })
    }

    /// Asynchronous load on an address, with the diary on.
    pub(crate) fn job(&self, address: &str, connections: usize) -> Job {
        let file = |name: &str| self.files.join(name).to_string_lossy().into_owned();
        Job {
            address: address.to_owned(),
            connections,
            seconds: 1.0,
            pace: 0.0,
            mode: "async".to_owned(),
            key: self.key.clone(),
            workspace: id::show(id::WORKSPACE, self.workspace_id),
            clicks: file(&format!("{}-clicks.txt", self.label)),
            diary: file("diary.ndjson"),
        }
    }
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
            SELECT id, $1, $3, 'k' || to_char(n, 'FM000'), 'https://www.example.com/landing', true
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

    /// Removes all leads and customers, and brings the counters back to zero.
    pub(crate) async fn empty(&self) -> Outcome<()> {
        sqlx::query("TRUNCATE leads, customers").execute(&self.pool).await?;
        sqlx::query("UPDATE links SET leads = 0").execute(&self.pool).await?;
        Ok(())
    }

    /// Leads recorded so far, by the links' counters: cheap enough to be asked often.
    pub(crate) async fn recorded(&self) -> Outcome<i64> {
        let sum = sqlx::query_scalar("SELECT coalesce(sum(leads), 0)::bigint FROM links");
        Ok(sum.fetch_one(&self.pool).await?)
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
