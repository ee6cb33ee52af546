//! Look-ups: what is known of a request's key, click, link and customer, for many requests in one statement.
//!
//! Enters: questions. Leaves: one answer per question, in order. The API asks outside any
//! transaction to answer its callers; the worker asks inside its own to resolve what the API could not.
//!
//! **Invariant:** an answer is what one snapshot showed; nothing here decides.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::arrivals::Click;
use super::write::Tx;
use super::{Store, StoreError};

/// One question.
#[derive(Debug, Clone)]
pub struct Question {
    /// The tenant.
    pub workspace_id: Uuid,
    /// The customer.
    pub customer_external_id: String,
    /// The key to look for among recorded leads; `None` where repeats do not matter.
    pub event_key: Option<String>,
    /// The click to look for; `None` in a follow-up or when it is known already.
    pub click_id: Option<String>,
    /// The link to look for when the click is known already.
    pub link_id: Option<Uuid>,
}

/// One answer.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The recorded lead that has the key.
    pub recorded: Option<Uuid>,
    /// The click, if it was asked for and exists.
    pub click: Option<Click>,
    /// The link of that click, or that was asked for, or of the customer's click.
    pub link: Option<FoundLink>,
    /// The stored customer.
    pub customer: Option<FoundCustomer>,
}

/// A link's state.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of the table, explained in its migration")]
pub struct FoundLink {
    pub id: Uuid,
    pub workspace_id: Uuid,
    pub domain: String,
    pub key: String,
    pub url: String,
    pub external_id: Option<String>,
    pub tenant_id: Option<String>,
    pub program_id: Option<String>,
    pub partner_id: Option<String>,
    pub disabled: bool,
}

/// A stored customer.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of the table, explained in its migration")]
pub struct FoundCustomer {
    pub name: Option<String>,
    pub email: Option<String>,
    pub avatar: Option<String>,
    pub click: Option<Click>,
}

struct Row {
    recorded: Option<Uuid>,
    click_id: Option<String>,
    click_link_id: Option<Uuid>,
    clicked_at: Option<DateTime<Utc>>,
    country: Option<String>,
    link_id: Option<Uuid>,
    link_workspace_id: Option<Uuid>,
    domain: Option<String>,
    key: Option<String>,
    url: Option<String>,
    external_id: Option<String>,
    tenant_id: Option<String>,
    program_id: Option<String>,
    partner_id: Option<String>,
    disabled: Option<bool>,
    customer_id: Option<Uuid>,
    name: Option<String>,
    email: Option<String>,
    avatar: Option<String>,
    customer_click_id: Option<String>,
    customer_link_id: Option<Uuid>,
    customer_clicked_at: Option<DateTime<Utc>>,
    customer_country: Option<String>,
}

impl Store {
    /// Answers questions outside a transaction.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find(&self, questions: &[Question]) -> Result<Vec<Found>, StoreError> {
        let mut connection = self.noted(self.pool().acquire().await)?;
        self.patiently("a look-up", find(&mut connection, questions)).await
    }
}

impl Tx {
    /// Answers questions inside this transaction.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find(&mut self, questions: &[Question]) -> Result<Vec<Found>, StoreError> {
        if questions.is_empty() {
            return Ok(Vec::new());
        }
        Ok(find(&mut self.connection, questions).await?)
    }
}

async fn find(connection: &mut PgConnection, questions: &[Question]) -> Result<Vec<Found>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT
            l.id AS "recorded?", cl.id AS "click_id?", cl.link_id AS "click_link_id?", cl.clicked_at AS "clicked_at?",
            cl.country AS "country?", k.id AS "link_id?", k.workspace_id AS "link_workspace_id?", k.domain AS "domain?",
            k.key AS "key?", k.url AS "url?", k.external_id AS "external_id?", k.tenant_id AS "tenant_id?",
            k.program_id AS "program_id?", k.partner_id AS "partner_id?", (k.disabled_at IS NOT NULL) AS "disabled?",
            c.id AS "customer_id?", c.name AS "name?", c.email AS "email?", c.avatar AS "avatar?",
            c.click_id AS "customer_click_id?", c.link_id AS "customer_link_id?",
            c.clicked_at AS "customer_clicked_at?", c.country AS "customer_country?"
        FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[])
            WITH ORDINALITY AS q(workspace_id, external_id, event_key, click_id, link_id, n)
        LEFT JOIN LATERAL (SELECT id FROM leads WHERE workspace_id = q.workspace_id
            AND customer_external_id = q.external_id AND event_key = q.event_key AND ending = 'recorded' OFFSET 0) l ON true
        LEFT JOIN clicks cl ON cl.id = q.click_id
        LEFT JOIN customers c ON c.workspace_id = q.workspace_id AND c.external_id = q.external_id
        LEFT JOIN links k ON k.id = coalesce(q.link_id, cl.link_id, CASE WHEN q.click_id IS NULL THEN c.link_id END)
        ORDER BY q.n"#,
        &questions.iter().map(|q| q.workspace_id).collect::<Vec<_>>(),
        &questions.iter().map(|q| q.customer_external_id.as_str()).collect::<Vec<_>>() as &[&str],
        &questions.iter().map(|q| q.event_key.as_deref()).collect::<Vec<_>>() as &[Option<&str>],
        &questions.iter().map(|q| q.click_id.as_deref()).collect::<Vec<_>>() as &[Option<&str>],
        &questions.iter().map(|q| q.link_id).collect::<Vec<_>>() as &[Option<Uuid>],
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Found::from).collect())
}

impl From<Row> for Found {
    fn from(row: Row) -> Self {
        let clicked = click(row.click_id, row.click_link_id, row.clicked_at, row.country);
        let link = row.link_id.zip(row.link_workspace_id).map(|(id, workspace_id)| FoundLink {
            id,
            workspace_id,
            domain: row.domain.unwrap_or_default(),
            key: row.key.unwrap_or_default(),
            url: row.url.unwrap_or_default(),
            external_id: row.external_id,
            tenant_id: row.tenant_id,
            program_id: row.program_id,
            partner_id: row.partner_id,
            disabled: row.disabled.unwrap_or_default(),
        });
        let (name, email, avatar) = (row.name, row.email, row.avatar);
        let customers_click =
            click(row.customer_click_id, row.customer_link_id, row.customer_clicked_at, row.customer_country);
        let customer = row.customer_id.map(|_| FoundCustomer { name, email, avatar, click: customers_click });
        Self { recorded: row.recorded, click: clicked, link, customer }
    }
}

fn click(
    click_id: Option<String>,
    link_id: Option<Uuid>,
    clicked_at: Option<DateTime<Utc>>,
    country: Option<String>,
) -> Option<Click> {
    Some(Click { click_id: click_id?, link_id: link_id?, clicked_at: clicked_at?, country })
}
