//! A look at each server of `store.url` for a person: settings, rights, schema, connections, clock.
//!
//! Enters: the addresses. Leaves: [`Facts`] that say nothing of right or wrong. Each server is asked over one connection of
//! its own, with the settings that all of ours have; a standby and one that is read-only are asked too, where a pool
//! would turn away.
//!
//! **Invariant:** nothing here writes, and no password is part of a name.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Row};
use tokio::time::timeout;

use super::migrate::{Flaw, flaws};
use super::pool::{Plans, dressed};
use super::servers::Servers;
use super::{SchemaState, StoreError};
use crate::config;

/// For a connection, and for all that is asked over it.
const PATIENCE: Duration = Duration::from_secs(10);
/// The clock is asked so often, and the quickest answer counts.
const LOOKS: usize = 5;

/// What the role of `store.url` must be allowed to do with each table.
pub const NEEDED: &[(&str, &str)] = &[
    ("_sqlx_migrations", "SELECT"),
    ("workspaces", "SELECT,INSERT,UPDATE"),
    ("domains", "SELECT,INSERT"),
    ("api_keys", "SELECT,INSERT,UPDATE"),
    ("links", "SELECT,INSERT,UPDATE,DELETE"),
    ("clicks", "SELECT,INSERT"),
    ("click_reuse", "SELECT,INSERT,UPDATE,DELETE"),
    ("customers", "SELECT,INSERT,UPDATE,DELETE"),
    ("leads", "SELECT,INSERT,UPDATE"),
    ("parked_leads", "SELECT,INSERT,UPDATE,DELETE"),
    ("buried_leads", "SELECT,INSERT,UPDATE,DELETE"),
    ("attempts", "SELECT,INSERT,UPDATE,DELETE"),
    ("horizons", "SELECT,INSERT,UPDATE,DELETE"),
];

const SETTINGS: &[&str] = &[
    "server_version",
    "server_version_num",
    "server_encoding",
    "synchronous_commit",
    "synchronous_standby_names",
    "fsync",
    "full_page_writes",
    "default_transaction_read_only",
    "max_connections",
    "superuser_reserved_connections",
    "reserved_connections",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "autovacuum",
];

/// One server of `store.url`.
#[derive(Debug)]
pub struct Server {
    options: PgConnectOptions,
}

/// A setting as our connections have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its value, in the unit of `pg_settings`.
    pub value: String,
    /// Where it comes from: `default`, `configuration file`, `database`, `user`, …
    pub source: String,
}

/// How far the server's clock is from this machine's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clock {
    /// Seconds that the server is ahead.
    pub ahead: f64,
    /// Give or take so many.
    pub give: f64,
}

/// What a server says of itself.
#[derive(Debug, Clone)]
pub struct Facts {
    /// By name; a setting that this version does not have is missing.
    pub settings: HashMap<String, Setting>,
    /// Whether it is a standby.
    pub in_recovery: bool,
    /// How its schema compares with this binary's.
    pub schema: SchemaState,
    /// Migrations that failed half-way, or are not what this binary knows under their number.
    pub flaws: Vec<Flaw>,
    /// Rights that are missing, such as `UPDATE on links`.
    pub missing_rights: Vec<String>,
    /// Connections open, this one included.
    pub connections: i64,
    /// Those of them that are Leadline's, this one not.
    pub ours: i64,
    /// The role's and the database's own limits of connections, where they have one.
    pub limits: Vec<(String, i64)>,
    /// How far its clock is from this machine's.
    pub clock: Clock,
}

/// The servers of `store.url`, in their order.
///
/// # Errors
/// [`StoreError`] when the URL cannot be read.
pub fn examinees(config: &config::Store) -> Result<Vec<Server>, StoreError> {
    let servers = Servers::read(config.url.expose_secret(), |server| dressed(server, config, "doctor", Plans::Free))?;
    Ok(servers.all().map(|options| Server { options: options.clone() }).collect())
}

impl Server {
    /// Host and port.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}:{}", self.options.get_host(), self.options.get_port())
    }

    /// The role.
    #[must_use]
    pub fn role(&self) -> &str {
        self.options.get_username()
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> &str {
        self.options.get_database().unwrap_or_else(|| self.role())
    }

    /// Looks it over.
    ///
    /// # Errors
    /// [`StoreError`] when it does not let us in, or does not answer in time.
    pub async fn examine(&self) -> Result<Facts, StoreError> {
        let connecting = timeout(PATIENCE, PgConnection::connect_with(&self.options)).await;
        let mut connection = connecting.map_err(|_| StoreError::Silent("a new connection"))??;
        let facts = timeout(PATIENCE, facts(&mut connection)).await;
        let facts = facts.map_err(|_| StoreError::Silent("a look at its settings"))??;
        connection.close().await?;
        Ok(facts)
    }
}

async fn facts(connection: &mut PgConnection) -> Result<Facts, StoreError> {
    let clock = clock(connection).await?;
    let (schema, flaws) = flaws(connection).await?;
    let row = sqlx::query(
        "SELECT pg_is_in_recovery() AS recovering,
                (SELECT coalesce(sum(numbackends), 0)::bigint FROM pg_stat_database) AS connections,
                (SELECT count(*) FROM pg_stat_activity
                 WHERE application_name LIKE 'leadline-%' AND pid <> pg_backend_pid()) AS ours",
    )
    .fetch_one(&mut *connection)
    .await?;
    Ok(Facts {
        settings: settings(connection).await?,
        in_recovery: row.try_get("recovering")?,
        schema,
        flaws,
        missing_rights: missing_rights(connection).await?,
        connections: row.try_get("connections")?,
        ours: row.try_get("ours")?,
        limits: limits(connection).await?,
        clock,
    })
}

/// The middle of question and answer is when the server looked at its clock, give or take half of what lies between.
async fn clock(connection: &mut PgConnection) -> Result<Clock, sqlx::Error> {
    let mut best = Clock { ahead: 0.0, give: f64::INFINITY };
    for _ in 0..LOOKS {
        let (asked, since) = (Utc::now(), Instant::now());
        let theirs: DateTime<Utc> = sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&mut *connection).await?;
        let give = since.elapsed().as_secs_f64() / 2.0;
        if give < best.give {
            let ahead = theirs.signed_duration_since(asked).as_seconds_f64() - give;
            best = Clock { ahead, give };
        }
    }
    Ok(best)
}

async fn settings(connection: &mut PgConnection) -> Result<HashMap<String, Setting>, sqlx::Error> {
    let names: Vec<&str> = SETTINGS.to_vec();
    let rows = sqlx::query("SELECT name, setting, source FROM pg_settings WHERE name = ANY ($1)").bind(names);
    let rows = rows.fetch_all(connection).await?;
    rows.into_iter()
        .map(|row| {
            Ok((row.try_get("name")?, Setting { value: row.try_get("setting")?, source: row.try_get("source")? }))
        })
        .collect()
}

/// A table that is not there lacks no right (the answer is NULL then): that is the schema's fault.
async fn missing_rights(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    let (tables, rights): (Vec<&str>, Vec<&str>) = NEEDED.iter().copied().unzip();
    let missing = sqlx::query_scalar(
        "SELECT r.name || ' on ' || n.name
         FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS n (name, rights, place),
              unnest(string_to_array(n.rights, ',')) WITH ORDINALITY AS r (name, place)
         WHERE NOT has_table_privilege(to_regclass(n.name), r.name)
         UNION ALL
         SELECT 'EXECUTE on ' || p.oid::regprocedure::text FROM pg_proc p
         WHERE p.proname LIKE 'record\\_new\\_v%' AND pg_function_is_visible(p.oid)
           AND NOT has_function_privilege(p.oid, 'EXECUTE')",
    );
    missing.bind(tables).bind(rights).fetch_all(connection).await
}

async fn limits(connection: &mut PgConnection) -> Result<Vec<(String, i64)>, sqlx::Error> {
    let limits = sqlx::query_as(
        "SELECT 'role ' || rolname, rolconnlimit::bigint FROM pg_roles WHERE rolname = current_user AND rolconnlimit >= 0
         UNION ALL
         SELECT 'database ' || datname, datconnlimit::bigint FROM pg_database
         WHERE datname = current_database() AND datconnlimit >= 0",
    );
    limits.fetch_all(connection).await
}
