//! Migrations: compiled in, forward only, run by `leadline migrate` and by nobody else.
//!
//! Leads are recorded meanwhile. So a migration waits for a lock only briefly, since everybody who wants to write waits
//! behind it; what it does once it has the lock is the business of `migrations/README.md`.
//!
//! **Invariant:** a starting API or worker never changes the schema; it only looks whether it fits.

use std::time::Duration;

use sqlx::migrate::{MigrateError as Failure, Migrator};
use sqlx::{Connection, PgConnection};
use thiserror::Error;
use tokio::time::sleep;

use super::{Store, StoreError};

/// How long a migration waits for a lock.
const LOCK_TIMEOUT: &str = "2s";
/// The advisory lock of whoever migrates.
const MIGRATING: i64 = 0x6c65_6164_6d69_6772;
/// Between looks whether another one has done so.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Why the schema could not be brought up to date.
#[derive(Debug, Error)]
pub enum MigrateError {
    /// A migration failed, or the database has one this binary does not know.
    #[error("migrations: {0}")]
    Migration(#[source] Failure),
    /// Somebody held a table for too long.
    #[error(
        "migration {0} waited {waited} for a table that another session holds, and changed nothing: run `leadline migrate` again",
        waited = LOCK_TIMEOUT
    )]
    Locked(i64),
    /// `PostgreSQL` does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How the database's schema compares with this binary's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaState {
    /// The same.
    Current,
    /// Migrations of this binary are missing in the database.
    Behind,
    /// The database was migrated by a newer binary; migrations are additive, so this one may run.
    Ahead,
}

/// Applies what is missing; returns how many migrations this binary knows. Idempotent; waits for another one that is at it.
/// What a newer binary has applied stays as it is.
///
/// # Errors
/// [`MigrateError`].
pub async fn migrate(store: &Store) -> Result<usize, MigrateError> {
    // A connection that is thrown away, and its settings and locks with it.
    let mut connection = store.pool().acquire().await.map_err(StoreError::from)?.detach();
    let outcome = apply(&mut connection).await;
    connection.close().await.ok();
    outcome.map_err(|failure| match locked(&failure) {
        Some(version) => MigrateError::Locked(version),
        None => MigrateError::Migration(failure),
    })
}

async fn apply(connection: &mut PgConnection) -> Result<usize, Failure> {
    let settings = "SELECT set_config('lock_timeout', $1, false), set_config('statement_timeout', '0', false)";
    sqlx::query(settings).bind(LOCK_TIMEOUT).execute(&mut *connection).await?;
    // Asked for again and again instead of waited for: an index that is built concurrently waits for every statement that is
    // under way, and so for one that waits for this lock.
    while !sqlx::query_scalar::<_, bool>("SELECT pg_try_advisory_lock($1)")
        .bind(MIGRATING)
        .fetch_one(&mut *connection)
        .await?
    {
        sleep(LOOK_EVERY).await;
    }
    let migrations = migrations();
    migrations.run(&mut *connection).await?;
    Ok(migrations.iter().count())
}

fn migrations() -> Migrator {
    let mut migrations = sqlx::migrate!("./migrations");
    // After a rollback the schema stays as the newer binary made it.
    migrations.set_ignore_missing(true);
    migrations
}

/// Which migration did not get a lock, if that is what failed.
fn locked(failure: &Failure) -> Option<i64> {
    let Failure::ExecuteMigration(error, version) = failure else { return None };
    (error.as_database_error()?.code()? == "55P03").then_some(*version)
}

/// Compares the schema with the migrations compiled in.
///
/// # Errors
/// [`StoreError`] when `PostgreSQL` does not answer.
pub async fn schema_state(store: &Store) -> Result<SchemaState, StoreError> {
    let applied: Result<i64, sqlx::Error> =
        sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success")
            .fetch_one(&store.pool())
            .await;
    let applied = match applied {
        Err(error) if is_no_table(&error) => 0,
        other => store.noted(other)?,
    };
    Ok(state(applied))
}

/// A migration that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// It failed half-way.
    Dirty(i64),
    /// The database has another one under this number.
    Changed(i64),
    /// The database has it not, though it has a later one.
    Skipped(i64),
}

/// Compares each applied migration with the one compiled in; for the doctor.
pub(super) async fn flaws(connection: &mut PgConnection) -> Result<(SchemaState, Vec<Flaw>), sqlx::Error> {
    let applied: Result<Vec<(i64, bool, Vec<u8>)>, sqlx::Error> =
        sqlx::query_as("SELECT version, success, checksum FROM _sqlx_migrations ORDER BY version")
            .fetch_all(connection)
            .await;
    let applied = match applied {
        Err(error) if is_no_table(&error) => Vec::new(),
        other => other?,
    };
    let newest = applied.iter().filter(|(_, success, _)| *success).map(|(version, ..)| *version).max().unwrap_or(0);
    let mut flaws = Vec::new();
    for known in migrations().iter() {
        match applied.iter().find(|(version, ..)| *version == known.version) {
            Some((version, false, _)) => flaws.push(Flaw::Dirty(*version)),
            Some((version, true, checksum)) if *checksum != *known.checksum => flaws.push(Flaw::Changed(*version)),
            None if known.version < newest => flaws.push(Flaw::Skipped(known.version)),
            _ => {}
        }
    }
    Ok((state(newest), flaws))
}

fn state(applied: i64) -> SchemaState {
    let known = migrations().iter().map(|migration| migration.version).max().unwrap_or(0);
    match applied.cmp(&known) {
        std::cmp::Ordering::Equal => SchemaState::Current,
        std::cmp::Ordering::Less => SchemaState::Behind,
        std::cmp::Ordering::Greater => SchemaState::Ahead,
    }
}

fn is_no_table(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "42P01")
}
