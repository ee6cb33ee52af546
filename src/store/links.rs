//! Links: where a click leads and what a lead is attributed to.
//!
//! Enters: links whose fields the caller has checked. Leaves: rows, or which rule stands in the way.
//! Keys keep their spelling and are matched without regard to (ASCII) case, as the unique index does:
//! both sides of a comparison are lowered under collation `C`.
//!
//! **Invariant:** a link's domain belongs to its workspace, checked in the transaction that writes it.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use thiserror::Error;
use uuid::Uuid;

use super::{Store, StoreError, domains};

/// One link.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the wire's own field names")]
pub struct Link {
    pub id: Uuid,
    pub workspace_id: Uuid,
    pub domain: String,
    pub key: String,
    pub url: String,
    pub external_id: Option<String>,
    pub tenant_id: Option<String>,
    pub program_id: Option<String>,
    pub partner_id: Option<String>,
    pub track_conversion: bool,
    pub archived: bool,
    pub expires_at: Option<DateTime<Utc>>,
    pub disabled_at: Option<DateTime<Utc>>,
    pub title: Option<String>,
    pub description: Option<String>,
    pub comments: Option<String>,
    pub utm_source: Option<String>,
    pub utm_medium: Option<String>,
    pub utm_campaign: Option<String>,
    pub utm_term: Option<String>,
    pub utm_content: Option<String>,
    pub clicks: i64,
    pub leads: i64,
    pub last_clicked: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// How a caller names a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkName {
    /// By our id; may name another workspace's.
    Id(Uuid),
    /// By the caller's own id, inside the workspace.
    External(String),
    /// By domain and key; may name another workspace's.
    Short(String, String),
}

/// Why a link was not found or not written.
#[derive(Debug, Error)]
pub enum LinkError {
    /// Nobody has such a link.
    #[error("no such link")]
    Missing,
    /// It belongs to another workspace.
    #[error("the link belongs to another workspace")]
    Foreign,
    /// Its domain belongs to another workspace, or to nobody where that is not enough.
    #[error("the domain does not belong to the workspace")]
    ForeignDomain,
    /// Domain and key are taken.
    #[error("the key is taken")]
    KeyTaken,
    /// The workspace has a link with this external id.
    #[error("the external id is taken")]
    ExternalIdTaken,
    /// `PostgreSQL` does not serve.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for LinkError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Conflict { constraint, .. } if constraint == "links_domain_key_key" => Self::KeyTaken,
            StoreError::Conflict { constraint, .. } if constraint == "links_external_id_key" => Self::ExternalIdTaken,
            _ => Self::Store(error),
        }
    }
}

macro_rules! links {
    ($head:literal $(+ $tail:literal)+ $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Link,
            $head
                + "id, workspace_id, domain, key, url, external_id, tenant_id, program_id, partner_id,
                   track_conversion, archived, expires_at, disabled_at, title, description, comments,
                   utm_source, utm_medium, utm_campaign, utm_term, utm_content,
                   clicks, leads, last_clicked, created_at, updated_at "
                $(+ $tail)+
            $(, $argument)*
        )
    };
}
pub(super) use links;

impl Link {
    /// A new link with an id of its own and nothing but the necessary; times and counters come from the store.
    #[must_use]
    pub fn new(workspace_id: Uuid, domain: String, key: String, url: String) -> Self {
        Self {
            id: Uuid::now_v7(),
            workspace_id,
            domain,
            key,
            url,
            external_id: None,
            tenant_id: None,
            program_id: None,
            partner_id: None,
            track_conversion: false,
            archived: false,
            expires_at: None,
            disabled_at: None,
            title: None,
            description: None,
            comments: None,
            utm_source: None,
            utm_medium: None,
            utm_campaign: None,
            utm_term: None,
            utm_content: None,
            clicks: 0,
            leads: 0,
            last_clicked: None,
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
        }
    }
}

impl Store {
    /// Stores a link; a domain that nobody has is registered for its workspace when `register_free` says so.
    ///
    /// # Errors
    /// [`LinkError`]; then nothing is stored, nor registered.
    pub async fn create_link(&self, link: Link, register_free: bool) -> Result<Link, LinkError> {
        self.write(move |connection| {
            Box::pin(async move {
                let owner = domains::owner(connection, link.workspace_id, &link.domain, register_free);
                if owner.await? != Some(link.workspace_id) {
                    return Ok(Err(LinkError::ForeignDomain));
                }
                insert(connection, &link).await.map(Ok)
            })
        })
        .await?
    }

    /// Changes a link under its row's lock: `change` sees it as it stands, and whatever it leaves is written.
    ///
    /// # Errors
    /// [`LinkError`]; then nothing is changed.
    pub async fn change_link(
        &self,
        workspace_id: Uuid,
        name: &LinkName,
        register_free: bool,
        change: impl FnOnce(&mut Link) + Send + 'static,
    ) -> Result<Link, LinkError> {
        let id = self.link(workspace_id, name).await?.id;
        self.write(move |connection| {
            Box::pin(async move {
                let Some(mut link) = links!("SELECT " + "FROM links WHERE id = $1 FOR UPDATE", id)
                    .fetch_optional(&mut *connection)
                    .await?
                else {
                    return Ok(Err(LinkError::Missing));
                };
                let domain = link.domain.clone();
                change(&mut link);
                if domain != link.domain {
                    let owner = domains::owner(connection, workspace_id, &link.domain, register_free);
                    if owner.await? != Some(workspace_id) {
                        return Ok(Err(LinkError::ForeignDomain));
                    }
                }
                update(connection, &link).await.map(Ok)
            })
        })
        .await?
    }

    /// A link by any of its names.
    ///
    /// # Errors
    /// [`LinkError::Missing`], [`LinkError::Foreign`], or the store's.
    pub async fn link(&self, workspace_id: Uuid, name: &LinkName) -> Result<Link, LinkError> {
        let found = match name {
            LinkName::Id(id) => links!("SELECT " + "FROM links WHERE id = $1", id).fetch_optional(&self.pool()).await,
            LinkName::External(external_id) => {
                links!("SELECT " + "FROM links WHERE workspace_id = $1 AND external_id = $2", workspace_id, external_id)
                    .fetch_optional(&self.pool())
                    .await
            }
            LinkName::Short(domain, key) => {
                links!(
                    "SELECT " + r#"FROM links WHERE domain = $1 AND lower(key) = lower($2 COLLATE "C")"#,
                    domain,
                    key
                )
                .fetch_optional(&self.pool())
                .await
            }
        };
        match self.noted(found)? {
            None => Err(LinkError::Missing),
            Some(link) if link.workspace_id != workspace_id => Err(LinkError::Foreign),
            Some(link) => Ok(link),
        }
    }

    /// Deletes a link of a workspace; its clicks and leads stay. Whether there was one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete_link(&self, workspace_id: Uuid, id: Uuid) -> Result<bool, StoreError> {
        let deleted = sqlx::query!("DELETE FROM links WHERE id = $1 AND workspace_id = $2", id, workspace_id)
            .execute(&self.pool())
            .await;
        Ok(self.noted(deleted)?.rows_affected() > 0)
    }
}

async fn insert(connection: &mut PgConnection, link: &Link) -> Result<Link, sqlx::Error> {
    links!(
        "INSERT INTO links (id, workspace_id, domain, key, url, external_id, tenant_id, program_id,
             partner_id, track_conversion, archived, expires_at, disabled_at, title, description,
             comments, utm_source, utm_medium, utm_campaign, utm_term, utm_content)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
         RETURNING "
            + "",
        link.id,
        link.workspace_id,
        link.domain,
        link.key,
        link.url,
        link.external_id,
        link.tenant_id,
        link.program_id,
        link.partner_id,
        link.track_conversion,
        link.archived,
        link.expires_at,
        link.disabled_at,
        link.title,
        link.description,
        link.comments,
        link.utm_source,
        link.utm_medium,
        link.utm_campaign,
        link.utm_term,
        link.utm_content,
    )
    .fetch_one(connection)
    .await
}

async fn update(connection: &mut PgConnection, link: &Link) -> Result<Link, sqlx::Error> {
    links!(
        "UPDATE links SET domain = $2, key = $3, url = $4, external_id = $5, tenant_id = $6,
             program_id = $7, partner_id = $8, track_conversion = $9, archived = $10,
             expires_at = $11, disabled_at = $12, title = $13, description = $14, comments = $15,
             utm_source = $16, utm_medium = $17, utm_campaign = $18, utm_term = $19,
             utm_content = $20, updated_at = now()
         WHERE id = $1
         RETURNING "
            + "",
        link.id,
        link.domain,
        link.key,
        link.url,
        link.external_id,
        link.tenant_id,
        link.program_id,
        link.partner_id,
        link.track_conversion,
        link.archived,
        link.expires_at,
        link.disabled_at,
        link.title,
        link.description,
        link.comments,
        link.utm_source,
        link.utm_medium,
        link.utm_campaign,
        link.utm_term,
        link.utm_content,
    )
    .fetch_one(connection)
    .await
}
