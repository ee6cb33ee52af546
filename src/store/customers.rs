//! Customers as an administrator sees them: listed, changed, deleted. (Recording them is `record`'s.)
//!
//! Deleting removes the row, so the customer is gone for every reader, and blanks what is personal
//! elsewhere: metadata of the leads, and name, e-mail, avatar and metadata in parked and buried
//! messages. What stays is (workspace, external id, event) in `leads`: the same event of the same
//! customer is still a duplicate, for ever. A lead that arrives afterwards makes the customer anew. The
//! row is not kept as a tombstone: blank but present it would still be listed, and would keep its click.
//!
//! **Invariant:** leads never change key: a customer given another external id leaves its leads where they are.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use thiserror::Error;
use uuid::Uuid;

use super::{Page, Store, StoreError, link_lists::like};

/// One customer, and what is shown of its link.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the wire's own field names")]
pub struct Customer {
    pub id: Uuid,
    pub external_id: String,
    pub name: Option<String>,
    pub email: Option<String>,
    pub avatar: Option<String>,
    pub country: Option<String>,
    pub created_at: DateTime<Utc>,
    pub link_id: Option<Uuid>,
    pub link_domain: Option<String>,
    pub link_key: Option<String>,
    pub link_url: Option<String>,
    pub program_id: Option<String>,
}

/// How a caller names a customer of its workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CustomerName {
    /// By our id.
    Id(Uuid),
    /// By the caller's own id.
    External(String),
}

/// Which customers to list.
#[derive(Debug, Clone, Default)]
pub struct CustomerFilter {
    /// Exactly this address.
    pub email: Option<String>,
    /// Name, address or external id holds this text, in any case.
    pub search: Option<String>,
    /// Two letters.
    pub country: Option<String>,
    /// Brought by this link.
    pub link_id: Option<Uuid>,
}

/// What to change; the outer `None` leaves a value as it is.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the fields of Customer")]
pub struct CustomerChange {
    pub name: Option<Option<String>>,
    pub email: Option<Option<String>>,
    pub avatar: Option<Option<String>>,
    pub external_id: Option<String>,
}

/// Why a customer was not changed.
#[derive(Debug, Error)]
pub enum CustomerError {
    /// The workspace has a customer with this external id.
    #[error("the external id is taken")]
    ExternalIdTaken,
    /// `PostgreSQL` does not serve.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for CustomerError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { .. } => Self::ExternalIdTaken,
            other => Self::Store(other),
        }
    }
}

macro_rules! customers {
    ($tail:literal $(+ $more:literal)* $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Customer,
            r#"SELECT c.id, c.external_id, c.name, c.email, c.avatar, c.country, c.created_at, c.link_id,
                   l.domain AS "link_domain?", l.key AS "link_key?", l.url AS "link_url?", l.program_id
               FROM customers c LEFT JOIN links l ON l.id = c.link_id WHERE "#
                + $tail $(+ $more)*
            $(, $argument)*
        )
    };
}

impl Store {
    /// A customer by either of its names.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn customer(&self, workspace_id: Uuid, name: &CustomerName) -> Result<Option<Customer>, StoreError> {
        let row = match name {
            CustomerName::Id(id) => {
                customers!("c.workspace_id = $1 AND c.id = $2", workspace_id, id).fetch_optional(&self.pool()).await
            }
            CustomerName::External(external_id) => {
                customers!("c.workspace_id = $1 AND c.external_id = $2", workspace_id, external_id)
                    .fetch_optional(&self.pool())
                    .await
            }
        };
        self.noted(row)
    }

    /// A page of customers by creation.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn customers(
        &self,
        workspace_id: Uuid,
        filter: &CustomerFilter,
        page: Page,
    ) -> Result<Vec<Customer>, StoreError> {
        let search = filter.search.as_deref().map(like);
        macro_rules! page {
            ($order:literal) => {
                customers!(
                    "c.workspace_id = $1 AND c.id > $2 AND c.id < $3
                     AND ($4::text IS NULL OR c.email = $4)
                     AND ($5::text IS NULL OR c.name ILIKE $5 OR c.email ILIKE $5 OR c.external_id ILIKE $5)
                     AND ($6::text IS NULL OR c.country = $6)
                     AND ($7::uuid IS NULL OR c.link_id = $7)
                     ORDER BY "
                        + $order
                        + " LIMIT $8 OFFSET $9",
                    workspace_id,
                    page.above,
                    page.below,
                    filter.email,
                    search,
                    filter.country,
                    filter.link_id,
                    page.limit,
                    page.offset,
                )
                .fetch_all(&self.pool())
                .await
            };
        }
        let rows = if page.ascending { page!("c.id") } else { page!("c.id DESC") };
        self.noted(rows)
    }

    /// Changes a customer; whether there was one.
    ///
    /// # Errors
    /// [`CustomerError`].
    pub async fn change_customer(
        &self,
        workspace_id: Uuid,
        id: Uuid,
        change: &CustomerChange,
    ) -> Result<bool, CustomerError> {
        let changed = sqlx::query!(
            "UPDATE customers SET
                 name = CASE WHEN $3 THEN $4 ELSE name END,
                 email = CASE WHEN $5 THEN $6 ELSE email END,
                 avatar = CASE WHEN $7 THEN $8 ELSE avatar END,
                 external_id = coalesce($9, external_id)
             WHERE workspace_id = $1 AND id = $2",
            workspace_id,
            id,
            change.name.is_some(),
            change.name.clone().flatten(),
            change.email.is_some(),
            change.email.clone().flatten(),
            change.avatar.is_some(),
            change.avatar.clone().flatten(),
            change.external_id,
        )
        .execute(&self.pool())
        .await;
        Ok(self.noted(changed)?.rows_affected() > 0)
    }

    /// Deletes a customer and blanks what is personal elsewhere; `false` when it was gone already.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is changed.
    pub async fn delete_customer(&self, workspace_id: Uuid, external_id: &str) -> Result<bool, StoreError> {
        let external_id = external_id.to_owned();
        self.write(move |connection| {
            Box::pin(async move {
                // The order in which recording locks: parked, customers, leads.
                blank_parked(connection, workspace_id, &external_id).await?;
                let deleted = sqlx::query!(
                    "DELETE FROM customers WHERE workspace_id = $1 AND external_id = $2",
                    workspace_id,
                    external_id,
                )
                .execute(&mut *connection)
                .await?;
                sqlx::query!(
                    "UPDATE leads SET metadata = NULL
                     WHERE workspace_id = $1 AND customer_external_id = $2 AND metadata IS NOT NULL",
                    workspace_id,
                    external_id,
                )
                .execute(&mut *connection)
                .await?;
                blank_buried(connection, workspace_id, &external_id).await?;
                Ok(deleted.rows_affected() > 0)
            })
        })
        .await
    }
}

async fn blank_parked(connection: &mut PgConnection, workspace_id: Uuid, external_id: &str) -> Result<(), sqlx::Error> {
    let parked = sqlx::query!(
        "SELECT id, message FROM parked_leads
         WHERE workspace_id = $1 AND customer_external_id = $2 ORDER BY id FOR UPDATE",
        workspace_id,
        external_id,
    )
    .fetch_all(&mut *connection)
    .await?;
    for row in parked {
        if let Some(message) = blanked(&row.message, workspace_id, external_id) {
            sqlx::query!(
                "UPDATE parked_leads SET message = $3 WHERE workspace_id = $1 AND id = $2",
                workspace_id,
                row.id,
                message,
            )
            .execute(&mut *connection)
            .await?;
        }
    }
    Ok(())
}

/// Buried messages may lack a workspace and stand in no index by customer: they are few, and read in order.
async fn blank_buried(connection: &mut PgConnection, workspace_id: Uuid, external_id: &str) -> Result<(), sqlx::Error> {
    let mut last = Uuid::nil();
    loop {
        let buried = sqlx::query!(
            "SELECT id, message FROM buried_leads
             WHERE id > $1 AND (workspace_id = $2 OR workspace_id IS NULL)
             ORDER BY id LIMIT 100",
            last,
            workspace_id,
        )
        .fetch_all(&mut *connection)
        .await?;
        let Some(end) = buried.last() else {
            return Ok(());
        };
        last = end.id;
        for row in &buried {
            if let Some(message) = blanked(&row.message, workspace_id, external_id) {
                sqlx::query!("UPDATE buried_leads SET message = $2 WHERE id = $1", row.id, message)
                    .execute(&mut *connection)
                    .await?;
            }
        }
    }
}

/// A message of this customer without what is personal; `None` when it is another's, or has nothing to lose.
fn blanked(message: &[u8], workspace_id: Uuid, external_id: &str) -> Option<Vec<u8>> {
    let mut value: Value = serde_json::from_slice(message).ok()?;
    let fields = value.as_object_mut()?;
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    if text("customer_external_id") != Some(external_id)
        || text("workspace_id").and_then(|id| id.parse().ok()) != Some(workspace_id)
    {
        return None;
    }
    let before = fields.len();
    for personal in ["customer_name", "customer_email", "customer_avatar", "metadata"] {
        fields.shift_remove(personal);
    }
    (fields.len() < before).then(|| value.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_customers_own_message_is_blanked() {
        let workspace = Uuid::from_u128(7);
        let message = serde_json::json!({
            "v": 1, "workspace_id": workspace, "customer_external_id": "x", "event_name": "e",
            "customer_name": "n", "metadata": "{}",
        })
        .to_string()
        .into_bytes();
        let blank = blanked(&message, workspace, "x").unwrap();
        let kept: Value = serde_json::from_slice(&blank).unwrap();
        assert_eq!(
            kept.as_object().unwrap().keys().collect::<Vec<_>>(),
            ["v", "workspace_id", "customer_external_id", "event_name"]
        );
        assert_eq!(blanked(&blank, workspace, "x"), None);
        assert_eq!(blanked(&message, workspace, "y"), None);
        assert_eq!(blanked(&message, Uuid::nil(), "x"), None);
        assert_eq!(blanked(b"\xff", workspace, "x"), None);
    }
}
