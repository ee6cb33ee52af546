//! Clicks: what a visit is attributed to, and which click a visitor's repeated visits stand for.
//!
//! A click is claimed, stored and counted in one statement, which is one transaction: of two first
//! visits at once, through any two API processes, one gets the claim and the other its id. The claim
//! expires by `PostgreSQL`'s clock, and is bound to the link's id: a link made anew under an old name
//! never hands out the clicks of the deleted one.
//!
//! **Invariant:** a click id that is handed out for reuse has a row in `clicks`, and `links.clicks` counted it once.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Store, StoreError};

/// What a click needs to know of its link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClickTarget {
    /// The link.
    pub link_id: Uuid,
    /// Whose it is.
    pub workspace_id: Uuid,
    /// Where it leads.
    pub url: String,
    /// Of a partner link.
    pub program_id: Option<String>,
    /// Of a partner link.
    pub partner_id: Option<String>,
    /// The partner's tenant.
    pub tenant_id: Option<String>,
    /// Host names whose pages may send; empty: all.
    pub allowed_hostnames: Vec<String>,
    /// The visitor on this link, to claim a click with.
    pub visitor: Vec<u8>,
    /// The click this visitor's visits stand for until it expires.
    pub reused: Option<String>,
}

/// A click to be stored.
#[derive(Debug, Clone)]
pub struct NewClick {
    /// 16 alphanumerics.
    pub id: String,
    /// The link.
    pub link_id: Uuid,
    /// Whose it is.
    pub workspace_id: Uuid,
    /// By the API's clock, whole milliseconds.
    pub clicked_at: DateTime<Utc>,
    /// Where the visitor landed.
    pub url: String,
    /// Two letters, if known.
    pub country: Option<String>,
    /// Empty where it must not be kept.
    pub ip: String,
    /// As sent.
    pub user_agent: String,
    /// As sent.
    pub referrer: Option<String>,
}

impl Store {
    /// The link a click is on, with the click its visitor already has; `None` when there is no such link.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn click_target(
        &self,
        domain: &str,
        key: &str,
        visitor: &[u8; 32],
    ) -> Result<Option<ClickTarget>, StoreError> {
        let row = sqlx::query_as!(
            ClickTarget,
            r#"SELECT l.id AS link_id, l.workspace_id, l.url, l.program_id, l.partner_id, l.tenant_id,
                      w.allowed_hostnames, v.visitor AS "visitor!",
                      (SELECT r.click_id FROM click_reuse r
                       WHERE r.visitor = v.visitor AND r.expires_at > now()) AS reused
               FROM links l JOIN workspaces w ON w.id = l.workspace_id
               CROSS JOIN LATERAL (SELECT sha256($3::bytea || uuid_send(l.id)) AS visitor) v
               WHERE l.domain = $1 AND lower(l.key) = lower($2 COLLATE "C")"#,
            domain,
            key,
            visitor.as_slice(),
        )
        .fetch_optional(&self.pool())
        .await;
        self.noted(row)
    }

    /// Stores and counts a click unless its visitor has one already; returns the id that stands.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claim_click(&self, visitor: &[u8], click: &NewClick) -> Result<String, StoreError> {
        let claimed = sqlx::query_scalar!(
            r#"WITH claim AS (
                 INSERT INTO click_reuse AS r (visitor, click_id, expires_at)
                 VALUES ($1, $2, now() + interval '1 hour')
                 ON CONFLICT (visitor) DO UPDATE
                 SET click_id = EXCLUDED.click_id, expires_at = EXCLUDED.expires_at
                 WHERE r.expires_at <= now()
                 RETURNING r.click_id
               ), stored AS (
                 INSERT INTO clicks (id, link_id, workspace_id, clicked_at, url, country, ip, user_agent, referrer, trigger)
                 SELECT claim.click_id, $3, $4, $5, $6, $7, $8, $9, $10, 'link' FROM claim
               ), counted AS (
                 UPDATE links SET clicks = clicks + 1, last_clicked = greatest(last_clicked, $5)
                 WHERE id = $3 AND EXISTS (SELECT FROM claim)
               )
               SELECT click_id FROM claim"#,
            visitor,
            click.id,
            click.link_id,
            click.workspace_id,
            click.clicked_at,
            click.url,
            click.country,
            click.ip,
            click.user_agent,
            click.referrer,
        )
        .fetch_optional(&self.pool())
        .await;
        if let Some(id) = self.noted(claimed)? {
            return Ok(id);
        }
        // Somebody else's claim was in the way, and is committed by now.
        let theirs = sqlx::query_scalar!("SELECT click_id FROM click_reuse WHERE visitor = $1", visitor,)
            .fetch_one(&self.pool())
            .await;
        self.noted(theirs)
    }

    /// Forgets up to a thousand expired claims; returns how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_visitors(&self) -> Result<u64, StoreError> {
        let forgotten = sqlx::query!(
            "DELETE FROM click_reuse WHERE visitor IN
                 (SELECT visitor FROM click_reuse WHERE expires_at <= now()
                  ORDER BY expires_at LIMIT 1000 FOR UPDATE SKIP LOCKED)",
        )
        .execute(&self.pool())
        .await;
        Ok(self.noted(forgotten)?.rows_affected())
    }
}
