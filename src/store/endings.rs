//! What is already known of lead ids: ended, parked or buried.
//!
//! Enters: pairs of workspace and lead id. Leaves: what is stored of them; ids nobody knows are absent.
//! Here and elsewhere `LATERAL … OFFSET 0` fixes the order of a join: look each of ours up by index,
//! whatever the planner believes of a table that was empty when the statement was prepared.
//!
//! **Invariant:** a stored ending is read here and changed nowhere.

use std::collections::HashMap;

use uuid::Uuid;

use super::StoreError;
use super::write::Tx;
use crate::lead::{Ending, Reason};

/// What is stored of one lead id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// It has ended.
    Ended(Ended),
    /// It waits for its customer's click.
    Parked,
}

/// A stored ending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub ending: Ending,
    /// Why, if rejected.
    pub reason: Option<Reason>,
    /// The click it was attributed to.
    pub click_id: Option<String>,
    /// That click's link.
    pub link_id: Option<Uuid>,
}

impl Tx {
    /// What is stored of these ids; `workspaces` and `ids` are columns of equal length.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn known(&mut self, workspaces: &[Uuid], ids: &[Uuid]) -> Result<HashMap<Uuid, Known>, StoreError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = sqlx::query!(
            r#"WITH asked AS (SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS a(workspace_id, id))
            SELECT l.id AS "id!", l.ending AS "ending!", l.reason, l.click_id, l.link_id
            FROM asked, LATERAL (SELECT * FROM leads WHERE id = asked.id AND workspace_id = asked.workspace_id OFFSET 0) l
            UNION ALL
            SELECT p.id, 'parked', NULL, NULL, NULL
            FROM asked, LATERAL (SELECT id FROM parked_leads
                WHERE id = asked.id AND workspace_id = asked.workspace_id OFFSET 0) p
            UNION ALL
            SELECT b.lead_id, 'buried', NULL, NULL, NULL
            FROM asked, LATERAL (SELECT lead_id FROM buried_leads WHERE lead_id = asked.id OFFSET 0) b"#,
            workspaces,
            ids,
        )
        .fetch_all(&mut *self.connection)
        .await?;
        let mut known = HashMap::with_capacity(rows.len());
        for row in rows {
            let stored = match Ending::parse(&row.ending) {
                None => Known::Parked,
                Some(ending) => Known::Ended(Ended {
                    ending,
                    reason: row.reason.as_deref().and_then(Reason::parse),
                    click_id: row.click_id,
                    link_id: row.link_id,
                }),
            };
            // An id can be ended and still parked for a moment; the ending stands.
            if stored != Known::Parked || !known.contains_key(&row.id) {
                known.insert(row.id, stored);
            }
        }
        Ok(known)
    }
}
