//! Where a lead is: looked up by id, or by customer and event, for `leadline lead show`.
//!
//! Rows that are not recorded have no index by key, so a look-up by key reads its workspace's leads;
//! it is for people, not for requests.
//!
//! **Invariant:** nothing here writes.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Store, StoreError};
use crate::lead::LeadKey;

/// One row of `leads`, whole but for its metadata.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns' own names")]
pub struct FoundLead {
    pub workspace_id: Uuid,
    pub id: Uuid,
    pub customer_external_id: String,
    pub event_name: String,
    pub mode: String,
    pub ending: String,
    pub reason: Option<String>,
    pub quantity: i32,
    pub follow_up: bool,
    pub click_id: Option<String>,
    pub link_id: Option<Uuid>,
    pub accepted_at: DateTime<Utc>,
    pub recorded_at: DateTime<Utc>,
}

/// One row of `parked_leads`.
#[derive(Debug, Clone)]
pub struct ParkedLead {
    /// The tenant.
    pub workspace_id: Uuid,
    /// The lead.
    pub id: Uuid,
    /// The customer it waits for.
    pub customer_external_id: String,
    /// The lead message.
    pub message: Vec<u8>,
    /// Since when.
    pub parked_at: DateTime<Utc>,
    /// When a sweep will reject it, unless a click comes first.
    pub expires_at: DateTime<Utc>,
}

impl Store {
    /// A lead's row, whichever workspace it belongs to.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn lead_by_id(&self, id: Uuid) -> Result<Option<FoundLead>, StoreError> {
        let lead = sqlx::query_as!(
            FoundLead,
            "SELECT l.workspace_id, l.id, l.customer_external_id, l.event_name, l.mode, l.ending, l.reason,
                    l.quantity, l.follow_up, l.click_id, l.link_id, l.accepted_at, l.recorded_at
             FROM workspaces w JOIN leads l ON l.workspace_id = w.id AND l.id = $1 LIMIT 1",
            id
        )
        .fetch_optional(&self.pool())
        .await;
        self.noted(lead)
    }

    /// All rows of a key: the recorded one first, then by time.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn leads_by_key(&self, key: &LeadKey) -> Result<Vec<FoundLead>, StoreError> {
        let leads = sqlx::query_as!(
            FoundLead,
            "SELECT workspace_id, id, customer_external_id, event_name, mode, ending, reason,
                    quantity, follow_up, click_id, link_id, accepted_at, recorded_at
             FROM leads WHERE workspace_id = $1 AND customer_external_id = $2 AND event_key = $3
             ORDER BY (ending <> 'recorded'), accepted_at, id",
            key.workspace_id,
            key.customer_external_id,
            key.event_key
        )
        .fetch_all(&self.pool())
        .await;
        self.noted(leads)
    }

    /// A parked lead, whichever workspace it belongs to.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn parked_by_id(&self, id: Uuid) -> Result<Option<ParkedLead>, StoreError> {
        let parked = sqlx::query_as!(
            ParkedLead,
            "SELECT p.workspace_id, p.id, p.customer_external_id, p.message, p.parked_at, p.expires_at
             FROM workspaces w JOIN parked_leads p ON p.workspace_id = w.id AND p.id = $1 LIMIT 1",
            id
        )
        .fetch_optional(&self.pool())
        .await;
        self.noted(parked)
    }

    /// Everything parked for a customer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn parked_by_customer(&self, workspace: Uuid, customer: &str) -> Result<Vec<ParkedLead>, StoreError> {
        let parked = sqlx::query_as!(
            ParkedLead,
            "SELECT workspace_id, id, customer_external_id, message, parked_at, expires_at
             FROM parked_leads WHERE workspace_id = $1 AND customer_external_id = $2 ORDER BY parked_at",
            workspace,
            customer
        )
        .fetch_all(&self.pool())
        .await;
        self.noted(parked)
    }
}
