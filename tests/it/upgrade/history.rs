//! A database that lives through the migrations, and gets at each of them what only its schema could hold.
//!
//! Enters: `migrations/`, and the file of data that stands here for each. Leaves: a database as it would be today, had it
//! been set up with the first release, and what its tables hold.
//!
//! **Invariant:** a file of data is run on the schema that it was written for and on no other, so it stays true for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

use crate::harness::database::{Database, Guard};
use crate::harness::fresh_name;

/// The rows of each table.
pub(super) type Rows = BTreeMap<String, Vec<Map<String, Value>>>;

/// What stands in `migrations/`.
pub(super) async fn migrations() -> Migrator {
    Migrator::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations")).await.unwrap()
}

/// The versions, the first one first.
pub(super) async fn versions() -> Vec<i64> {
    migrations().await.iter().map(|migration| migration.version).collect()
}

/// The data of a schema.
pub(super) fn data(version: i64) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/it/upgrade", &format!("{version:04}.sql")].iter().collect();
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}: see migrations/README.md", path.display()))
}

/// Tables, and columns as `table.column`, that the migrations after a version take away, as their data say.
pub(super) async fn gone_after(version: i64) -> BTreeSet<String> {
    let later = versions().await.into_iter().filter(|later| *later > version);
    let texts: Vec<String> = later.map(data).collect();
    texts
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| line.strip_prefix("-- gone: "))
        .map(str::to_owned)
        .collect()
}

/// A database that has lived through the migrations up to a version; none if there is no such version.
pub(super) async fn lived(until: i64) -> (Database, Guard) {
    let database = Database::bare(&fresh_name()).await;
    let guard = Guard(database.clone());
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    let migrations = migrations().await;
    for version in migrations.iter().map(|migration| migration.version).filter(|version| *version <= until) {
        migrations.run_to(version, &mut connection).await.unwrap();
        let data = sqlx::raw_sql(AssertSqlSafe(data(version))).execute(&mut connection).await;
        data.unwrap_or_else(|error| panic!("the data of schema {version}: {error}"));
    }
    connection.close().await.unwrap();
    (database, guard)
}

/// Everything that stands in a database.
pub(super) async fn everything(pool: &PgPool) -> Rows {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace \
         AND relname <> '_sqlx_migrations'",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let mut everything = Rows::new();
    for table in tables {
        let statement = format!("SELECT to_jsonb(t)::text FROM {table} t");
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(statement)).fetch_all(pool).await.unwrap();
        everything.insert(table, rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect());
    }
    everything
}
