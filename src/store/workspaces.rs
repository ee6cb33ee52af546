//! Workspaces: the tenants.
//!
//! Enters: a name, a slug, settings. Leaves: rows. Names, slugs and host names are checked by the caller.
//!
//! **Invariant:** `conversion_enabled` is kept and shown, and nothing ever decides by it, as in the contract.

use chrono::{DateTime, Utc};
use thiserror::Error;
use uuid::Uuid;

use super::{Store, StoreError};

/// One tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// Its id; shown with prefix `ws_`.
    pub id: Uuid,
    /// Unique, lower case.
    pub slug: String,
    /// For people.
    pub name: String,
    /// A default for link forms; the server never consults it.
    pub conversion_enabled: bool,
    /// Host names whose pages may send clicks and client-side leads; empty: all.
    pub allowed_hostnames: Vec<String>,
    /// When it was created, by `PostgreSQL`'s clock.
    pub created_at: DateTime<Utc>,
}

/// What to change in a workspace; `None` leaves a value as it is.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the fields of Workspace")]
pub struct WorkspaceChange {
    pub slug: Option<String>,
    pub name: Option<String>,
    pub conversion_enabled: Option<bool>,
    pub allowed_hostnames: Option<Vec<String>>,
}

/// Why a workspace was not written.
#[derive(Debug, Error)]
pub enum WorkspaceError {
    /// Another workspace has the slug.
    #[error("the slug is already in use")]
    SlugTaken,
    /// `PostgreSQL` does not serve.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for WorkspaceError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { .. } => Self::SlugTaken,
            other => Self::Store(other),
        }
    }
}

impl Store {
    /// Creates a workspace.
    ///
    /// # Errors
    /// [`WorkspaceError`].
    pub async fn create_workspace(&self, name: &str, slug: &str) -> Result<Workspace, WorkspaceError> {
        let created = sqlx::query_as!(
            Workspace,
            "INSERT INTO workspaces (id, slug, name) VALUES ($1, $2, $3)
             RETURNING id, slug, name, conversion_enabled, allowed_hostnames, created_at",
            Uuid::now_v7(),
            slug,
            name,
        )
        .fetch_one(&self.pool())
        .await;
        Ok(self.noted(created)?)
    }

    /// All workspaces, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn workspaces(&self) -> Result<Vec<Workspace>, StoreError> {
        let rows = sqlx::query_as!(
            Workspace,
            "SELECT id, slug, name, conversion_enabled, allowed_hostnames, created_at
             FROM workspaces ORDER BY id",
        )
        .fetch_all(&self.pool())
        .await;
        self.noted(rows)
    }

    /// A workspace by id or, failing that, by slug.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn workspace(&self, id: Option<Uuid>, slug: &str) -> Result<Option<Workspace>, StoreError> {
        let row = sqlx::query_as!(
            Workspace,
            "SELECT id, slug, name, conversion_enabled, allowed_hostnames, created_at
             FROM workspaces WHERE id = $1 OR slug = $2 ORDER BY (id = $1) DESC NULLS LAST LIMIT 1",
            id,
            slug,
        )
        .fetch_optional(&self.pool())
        .await;
        self.noted(row)
    }

    /// Changes a workspace; `None` when there is no such.
    ///
    /// # Errors
    /// [`WorkspaceError`].
    pub async fn change_workspace(
        &self,
        id: Uuid,
        change: &WorkspaceChange,
    ) -> Result<Option<Workspace>, WorkspaceError> {
        let row = sqlx::query_as!(
            Workspace,
            "UPDATE workspaces SET
                 slug = coalesce($2, slug),
                 name = coalesce($3, name),
                 conversion_enabled = coalesce($4, conversion_enabled),
                 allowed_hostnames = coalesce($5, allowed_hostnames),
                 updated_at = now()
             WHERE id = $1
             RETURNING id, slug, name, conversion_enabled, allowed_hostnames, created_at",
            id,
            change.slug,
            change.name,
            change.conversion_enabled,
            change.allowed_hostnames.as_deref(),
        )
        .fetch_optional(&self.pool())
        .await;
        Ok(self.noted(row)?)
    }
}
