//! Migrations: compiled in, forward only, run by `leadline migrate` and by nobody else.
//!
//! **Invariant:** a starting API or worker never changes the schema; it only looks whether it fits.

use sqlx::PgConnection;
use sqlx::migrate::Migrator;
use thiserror::Error;

use super::{Store, StoreError};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Why the schema could not be brought up to date.
#[derive(Debug, Error)]
pub enum MigrateError {
    /// A migration failed, or the database has one this binary does not know.
    #[error("migrations: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
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

/// Applies what is missing; returns how many migrations the schema then has. Idempotent.
///
/// # Errors
/// [`MigrateError`].
pub async fn migrate(store: &Store) -> Result<usize, MigrateError> {
    let mut connection = store.pool().acquire().await.map_err(StoreError::from)?;
    MIGRATIONS.run(&mut *connection).await?;
    Ok(MIGRATIONS.iter().count())
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
    for known in MIGRATIONS.iter() {
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
    let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    match applied.cmp(&known) {
        std::cmp::Ordering::Equal => SchemaState::Current,
        std::cmp::Ordering::Less => SchemaState::Behind,
        std::cmp::Ordering::Greater => SchemaState::Ahead,
    }
}

fn is_no_table(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "42P01")
}
