//! Lists of links: one workspace's, filtered, page by page.
//!
//! Pages by creation walk the index on (workspace, id), as ids are time-ordered; a cursor is an id
//! bound on either side. Pages by a counter sort what the filters left.
//!
//! **Invariant:** a list never shows another workspace's links.

use uuid::Uuid;

use super::links::{Link, links};
use super::{Store, StoreError};

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct LinkFilter {
    /// Only this domain.
    pub domain: Option<String>,
    /// Only links whose key, URL, title or external id holds this text, in any case.
    pub search: Option<String>,
    /// Only this tenant's.
    pub tenant_id: Option<String>,
    /// Only this partner's.
    pub partner_id: Option<String>,
    /// Only the link with this external id.
    pub external_id: Option<String>,
    /// Archived ones too.
    pub archived_too: bool,
}

/// By what a list of links is sorted; ties by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkOrder {
    /// By creation.
    Created,
    /// By number of clicks.
    Clicks,
    /// By the last click; links without one come last.
    LastClicked,
}

/// Which part of a list.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Only ids above; nil for all.
    pub above: Uuid,
    /// Only ids below; max for all.
    pub below: Uuid,
    /// Ascending; else descending.
    pub ascending: bool,
    /// At most so many.
    pub limit: i64,
    /// After skipping so many.
    pub offset: i64,
}

impl Store {
    /// A page of links.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn links(
        &self,
        workspace_id: Uuid,
        filter: &LinkFilter,
        order: LinkOrder,
        page: Page,
    ) -> Result<Vec<Link>, StoreError> {
        let search = filter.search.as_deref().map(like);
        macro_rules! page {
            ($order:literal) => {
                links!(
                    "SELECT "
                        + "FROM links
                           WHERE workspace_id = $1 AND id > $2 AND id < $3
                             AND ($4::text IS NULL OR domain = $4)
                             AND ($5::text IS NULL OR key ILIKE $5 OR url ILIKE $5 OR title ILIKE $5
                                  OR external_id ILIKE $5)
                             AND ($6::text IS NULL OR tenant_id = $6)
                             AND ($7::text IS NULL OR partner_id = $7)
                             AND ($8::text IS NULL OR external_id = $8)
                             AND (archived = false OR $9)
                           ORDER BY "
                        + $order
                        + " LIMIT $10 OFFSET $11",
                    workspace_id,
                    page.above,
                    page.below,
                    filter.domain,
                    search,
                    filter.tenant_id,
                    filter.partner_id,
                    filter.external_id,
                    filter.archived_too,
                    page.limit,
                    page.offset,
                )
                .fetch_all(&self.pool())
                .await
            };
        }
        let rows = match (order, page.ascending) {
            (LinkOrder::Created, false) => page!("id DESC"),
            (LinkOrder::Created, true) => page!("id"),
            (LinkOrder::Clicks, false) => page!("clicks DESC, id DESC"),
            (LinkOrder::Clicks, true) => page!("clicks, id"),
            (LinkOrder::LastClicked, false) => page!("last_clicked DESC NULLS LAST, id DESC"),
            (LinkOrder::LastClicked, true) => page!("last_clicked, id"),
        };
        self.noted(rows)
    }

    /// How many links the filters leave.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count_links(&self, workspace_id: Uuid, filter: &LinkFilter) -> Result<i64, StoreError> {
        let count = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM links
               WHERE workspace_id = $1
                 AND ($2::text IS NULL OR domain = $2)
                 AND ($3::text IS NULL OR key ILIKE $3 OR url ILIKE $3 OR title ILIKE $3
                      OR external_id ILIKE $3)
                 AND ($4::text IS NULL OR tenant_id = $4)
                 AND ($5::text IS NULL OR partner_id = $5)
                 AND ($6::text IS NULL OR external_id = $6)
                 AND (archived = false OR $7)"#,
            workspace_id,
            filter.domain,
            filter.search.as_deref().map(like),
            filter.tenant_id,
            filter.partner_id,
            filter.external_id,
            filter.archived_too,
        )
        .fetch_one(&self.pool())
        .await;
        self.noted(count)
    }
}

/// A pattern that finds a text anywhere, taken literally.
pub(super) fn like(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    #[test]
    fn patterns_are_literal() {
        assert_eq!(super::like(r"50%_a\"), r"%50\%\_a\\%");
    }
}
