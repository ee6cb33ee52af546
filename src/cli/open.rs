//! What commands share: reading the configuration, opening the store, naming a workspace.
//!
//! **Invariant:** a command never works on a schema older than the binary.

use std::path::Path;
use std::time::Duration;

use uuid::Uuid;

use crate::config::{self, Config};
use crate::lead::id;
use crate::store::{SchemaState, Store, schema_state};
use crate::telemetry::{self, Metrics};

use super::error::CliError;

/// A person's question may read a whole table; requests keep the configured limit.
const PATIENCE: Duration = Duration::from_secs(600);
const CONNECTIONS: u32 = 2;

/// Reads the configuration and sets up logging for a command that is no server: errors only.
///
/// # Errors
/// [`CliError`] naming the key or the relation.
pub(super) fn quiet_config(file: Option<&Path>) -> Result<Config, CliError> {
    let mut config = config::load(file)?;
    "error".clone_into(&mut config.telemetry.log);
    telemetry::init(&config.telemetry)?;
    Ok(config)
}

/// Opens the store without asking for its schema.
///
/// # Errors
/// [`CliError`] when the URL cannot be read or `PostgreSQL` does not answer.
pub(super) async fn raw_store(config: &Config) -> Result<Store, CliError> {
    let mut patient = config.store.clone();
    patient.statement_timeout = PATIENCE;
    patient.idle_in_transaction_timeout = PATIENCE;
    let metrics = Metrics::new().map_err(|error| CliError::said(error.to_string()))?;
    let store = Store::connect_command(&patient, CONNECTIONS, &metrics)?;
    store.choose().await;
    store.ping().await?;
    Ok(store)
}

/// Opens the store for a command that reads or writes rows.
///
/// # Errors
/// [`CliError`], also when the schema is older than this binary.
pub(super) async fn store(config: &Config) -> Result<Store, CliError> {
    let store = raw_store(config).await?;
    match schema_state(&store).await? {
        SchemaState::Behind => {
            Err(CliError::said("the database's schema is older than this binary: run `leadline migrate` first"))
        }
        SchemaState::Current | SchemaState::Ahead => Ok(store),
    }
}

/// The workspace that a person names by slug or `ws_` id.
///
/// # Errors
/// [`CliError`] when there is none.
pub(super) async fn workspace_id(store: &Store, name: &str) -> Result<Uuid, CliError> {
    let found = store.workspace(id::read(id::WORKSPACE, name), name).await?;
    found.map(|workspace| workspace.id).ok_or_else(|| {
        CliError::said(format!("no workspace has slug or id {name} (leadline workspace list shows them)"))
    })
}
