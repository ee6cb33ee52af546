//! What migrations do to those who write meanwhile.
//!
//! Enters: each migration, on the schema before it and with its rows. Leaves: what its transaction did to tables that were
//! there, by PostgreSQL's own account. A lock is short or long by what is done under it, so that is what is asked for.
//!
//! **Invariant:** nothing is judged by time, and a migration that would stop writes for as long as a table is long is found
//! on tables of a few rows.

use std::process::{Command, Stdio};

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use super::history::{lived, migrations, versions};
use crate::harness::database::Database;

/// A table that was there before.
struct Table {
    oid: i64,
    name: String,
    file: i64,
}

#[tokio::test]
async fn no_migration_stops_writes_for_as_long_as_a_table_is_long() {
    for pair in versions().await.windows(2) {
        let (before, version) = (pair[0], pair[1]);
        let migrations = migrations().await;
        let migration = migrations.iter().find(|migration| migration.version == version).unwrap();
        // Those outside of a transaction may do one thing only, see tests/tidy.
        if !migration.no_tx {
            let (database, _guard) = lived(before).await;
            let faults = faults(&database, migration.sql.as_str()).await;
            assert_eq!(faults, Vec::<String>::new(), "migration {version}: see migrations/README.md");
        }
    }
}

#[tokio::test]
async fn what_stops_writes_for_long_is_found() {
    let (database, _guard) = lived(i64::MAX).await;
    for (found, statement) in [
        ("builds an index on leads", "CREATE INDEX x ON leads (customer_external_id)"),
        ("rewrites leads", "ALTER TABLE leads ALTER COLUMN quantity TYPE bigint"),
        ("rewrites clicks", "ALTER TABLE clicks ADD COLUMN random float8 NOT NULL DEFAULT random()"),
        ("reads all of leads", "ALTER TABLE leads ADD CONSTRAINT x CHECK (quantity > 0)"),
        ("reads all of customers", "ALTER TABLE customers ALTER COLUMN id SET NOT NULL, ADD CHECK (external_id <> '')"),
        ("changes rows of links", "UPDATE links SET leads = leads WHERE id = '01900000-0000-7000-8000-0000000002a1'"),
        ("changes rows of clicks", "DELETE FROM clicks WHERE clicked_at < '2024-06-03'"),
        ("rewrites attempts", "TRUNCATE attempts"),
        ("reads all of leads", "CREATE TABLE sums AS SELECT link_id, sum(quantity) AS leads FROM leads GROUP BY 1"),
    ] {
        let faults = faults(&database, statement).await;
        assert!(faults.iter().any(|fault| fault == found), "{statement}: {faults:?}");
    }
    for statement in [
        "ALTER TABLE leads ADD COLUMN note text",
        "ALTER TABLE leads ADD COLUMN weight integer NOT NULL DEFAULT 1",
        "ALTER TABLE leads ADD CONSTRAINT x CHECK (quantity > 0) NOT VALID",
        "ALTER TABLE leads SET (fillfactor = 90)",
        "CREATE TABLE notes (id uuid PRIMARY KEY); CREATE INDEX notes_idx ON notes (id); INSERT INTO notes SELECT gen_random_uuid()",
        "DROP TABLE attempts",
    ] {
        assert_eq!(faults(&database, statement).await, Vec::<String>::new(), "{statement}");
    }
}

/// Runs statements in a transaction, asks what it did, and takes it back.
async fn faults(database: &Database, statements: &str) -> Vec<String> {
    // A fresh one each time: what a session has counted is still there in its next transaction.
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let tables = sqlx::query(
        "SELECT oid::int8 AS oid, relname::text AS name, pg_relation_filenode(oid)::int8 AS file FROM pg_class \
         WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
    );
    let tables: Vec<Table> = tables
        .fetch_all(&mut *transaction)
        .await
        .unwrap()
        .iter()
        .map(|row| Table { oid: row.get("oid"), name: row.get("name"), file: row.get("file") })
        .collect();
    let indexes: Vec<i64> =
        sqlx::query_scalar("SELECT indexrelid::int8 FROM pg_index").fetch_all(&mut *transaction).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut *transaction).await.unwrap();
    let mut faults = Vec::new();
    for table in &tables {
        let done = sqlx::query(
            "SELECT pg_relation_filenode($1::int8::oid)::int8 AS file, \
             pg_stat_get_xact_tuples_returned($1::int8::oid) AS read, \
             pg_stat_get_xact_tuples_updated($1::int8::oid) + pg_stat_get_xact_tuples_deleted($1::int8::oid) AS changed, \
             (SELECT count(*) FROM pg_index WHERE indrelid = $1::int8::oid AND indexrelid::int8 <> ALL ($2)) AS built",
        );
        let done = done.bind(table.oid).bind(&indexes).fetch_one(&mut *transaction).await.unwrap();
        // One that was dropped is nobody's to wait for.
        let Some(file) = done.get::<Option<i64>, _>("file") else { continue };
        for (is, what) in [
            (file != table.file, "rewrites"),
            (done.get::<i64, _>("read") > 0, "reads all of"),
            (done.get::<i64, _>("changed") > 0, "changes rows of"),
            (done.get::<i64, _>("built") > 0, "builds an index on"),
        ] {
            if is {
                faults.push(format!("{what} {}", table.name));
            }
        }
    }
    transaction.rollback().await.unwrap();
    connection.close().await.unwrap();
    faults
}

#[tokio::test]
async fn a_migration_gives_up_on_a_table_that_somebody_holds_and_changes_nothing() {
    let (database, _guard) = lived(4).await;
    let mut reader = PgConnection::connect(&database.url).await.unwrap();
    let mut reading = reader.begin().await.unwrap();
    sqlx::query("SELECT FROM probes").fetch_all(&mut *reading).await.unwrap();
    let output = migrate(&database.url).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), said.as_str()),
        (
            Some(1),
            "leadline: migration 5 waited 2s for a table that another session holds, and changed nothing: \
             run `leadline migrate` again\n"
        )
    );
    let done: i64 =
        sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(&mut *reading).await.unwrap();
    assert_eq!(done, 4);
    reading.rollback().await.unwrap();
    assert!(migrate(&database.url).status().unwrap().success());
}

#[tokio::test]
async fn who_migrates_while_another_one_does_waits_and_finds_it_done() {
    let (database, _guard) = lived(1).await;
    let children: Vec<_> = (0..4).map(|_| migrate(&database.url).spawn().unwrap()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
}

fn migrate(url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leadline"));
    command.arg("migrate").env("DATABASE_URL", url).stdout(Stdio::null());
    command
}
