//! Domains: each belongs to the workspace that registered it first.
//!
//! Enters: a lower-case host name. Leaves: whose it is.
//!
//! **Invariant:** a domain never changes its workspace, so a link's domain and workspace always agree.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Store, StoreError};

/// One registered domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// Lower-case host name without `www.`.
    pub name: String,
    /// Whose it is.
    pub workspace_id: Uuid,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
}

impl Store {
    /// Registers a domain for a workspace, unless somebody has it; returns the row that stands then.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_domain(&self, workspace_id: Uuid, name: &str) -> Result<Domain, StoreError> {
        let name = name.to_owned();
        self.write(move |connection| {
            Box::pin(async move {
                register(connection, workspace_id, &name).await?;
                sqlx::query_as!(Domain, "SELECT name, workspace_id, created_at FROM domains WHERE name = $1", name)
                    .fetch_one(connection)
                    .await
            })
        })
        .await
    }

    /// The domains of a workspace, oldest first; the first is its default.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn domains(&self, workspace_id: Uuid) -> Result<Vec<Domain>, StoreError> {
        let rows = sqlx::query_as!(
            Domain,
            "SELECT name, workspace_id, created_at FROM domains WHERE workspace_id = $1
             ORDER BY created_at, name",
            workspace_id,
        )
        .fetch_all(&self.pool())
        .await;
        self.noted(rows)
    }
}

/// Whose the domain is; registers it for `workspace_id` first when nobody has it and `register` says so.
pub(super) async fn owner(
    connection: &mut PgConnection,
    workspace_id: Uuid,
    name: &str,
    register_free: bool,
) -> Result<Option<Uuid>, sqlx::Error> {
    if register_free {
        register(connection, workspace_id, name).await?;
    }
    // A statement of its own: it must see what a concurrent registration committed meanwhile.
    sqlx::query_scalar!("SELECT workspace_id FROM domains WHERE name = $1", name).fetch_optional(connection).await
}

async fn register(connection: &mut PgConnection, workspace_id: Uuid, name: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO domains (name, workspace_id) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
        name,
        workspace_id,
    )
    .execute(connection)
    .await
    .map(|_| ())
}
