//! What tests do all the time: make clicks and customers, send leads, put messages into queues, read rows.
//!
//! **Invariant:** every lead request goes through [`Harness::track_as`], or `batch`, so the diary is complete.

use chrono::Utc;
use leadline::lead::message::ResolvedClick;
use leadline::lead::{LeadMessage, Schema, id};
use serde_json::{Value, json};
use sqlx::Row;
use uuid::Uuid;

use super::client::{Answer, Call};
use super::eventually::{eventually, holds};
use super::given::{self, Workspace};
use super::ledger::{self, LeadRow};
use super::{Harness, queues::Queues};

/// A customer nobody has heard of.
pub(crate) fn somebody() -> String {
    format!("customer-{}", id::alphanumerics(10))
}

/// The smallest body of a lead.
pub(crate) fn lead(click: &str, event: &str, customer: &str) -> Value {
    json!({"clickId": click, "eventName": event, "customerExternalId": customer})
}

/// A body with some fields put in or replaced.
pub(crate) fn with(mut body: Value, fields: Value) -> Value {
    if let (Value::Object(body), Value::Object(fields)) = (&mut body, fields) {
        body.extend(fields);
    }
    body
}

impl Harness {
    /// A fresh click on the test's link.
    pub(crate) async fn click(&self) -> String {
        given::click(&self.pool, &self.link).await
    }

    /// `POST /track/lead` to the first API.
    pub(crate) async fn track(&self, body: &Value) -> Answer {
        self.track_at(0, body).await
    }

    /// `POST /track/lead` to some API.
    pub(crate) async fn track_at(&self, api: usize, body: &Value) -> Answer {
        let call = Call::post("/track/lead", body).key(&self.workspace.secret);
        self.track_as(&self.workspace, api, call, body).await
    }

    /// Any call that may track a lead, noted in the diary.
    pub(crate) async fn track_as(&self, workspace: &Workspace, api: usize, call: Call, body: &Value) -> Answer {
        let answer = call.send(self.client(), self.apis[api].address).await;
        self.diary.note(workspace.id, body, Schema::Server, &answer);
        answer
    }

    /// Any other call.
    pub(crate) async fn call(&self, call: Call) -> Answer {
        call.send(self.client(), self.apis[0].address).await
    }

    /// The message that a body would become, unresolved.
    pub(crate) fn message(&self, body: &Value) -> LeadMessage {
        LeadMessage::new(Uuid::now_v7(), self.workspace.id, Utc::now(), ledger::wish(body))
    }

    /// The message that a body with a click on the test's link would become.
    pub(crate) fn resolved(&self, body: &Value) -> LeadMessage {
        let mut message = self.message(body);
        let clicked_at = leadline::lead::message::whole_millis(Utc::now());
        message.resolved = Some(ResolvedClick { link_id: self.link.id, clicked_at, country: None });
        message
    }

    /// Puts messages into their shards and notes them.
    pub(crate) async fn publish(&self, messages: &[LeadMessage]) {
        for message in messages {
            self.diary.note_message(message);
        }
        self.queues.publish_all(messages).await;
    }

    /// Puts one message into its shard without noting it: one more copy.
    pub(crate) async fn publish_again(&self, message: &LeadMessage) {
        self.queues.publish(message).await;
    }

    /// Waits until a shard queue holds so many messages.
    pub(crate) async fn queued(&self, message: &LeadMessage, n: u32) {
        let queue = Queues::shard(message);
        eventually("messages in the shard", || async {
            let depth = self.queues.depth(&queue).await;
            holds(depth == Some(n), depth)
        })
        .await;
    }

    /// The row of a lead, once it has one.
    pub(crate) async fn ended(&self, id: Uuid) -> LeadRow {
        eventually("an ending", || async { self.row(id).await.ok_or(id) }).await
    }

    /// The row of a lead, if it has one.
    pub(crate) async fn row(&self, id: Uuid) -> Option<LeadRow> {
        ledger::leads(&self.pool).await.into_iter().find(|row| row.id == id)
    }

    /// The rows of a customer.
    pub(crate) async fn rows(&self, customer: &str) -> Vec<LeadRow> {
        let mut rows = ledger::leads(&self.pool).await;
        rows.retain(|row| row.customer == customer);
        rows
    }

    /// The click a stored customer has; `None` without customer.
    pub(crate) async fn customer_click(&self, customer: &str) -> Option<Option<String>> {
        let row = sqlx::query("SELECT click_id FROM customers WHERE external_id = $1").bind(customer);
        row.fetch_optional(&self.pool).await.unwrap().map(|row| row.get(0))
    }

    /// `links.leads` of the test's link.
    pub(crate) async fn counted(&self) -> i64 {
        sqlx::query_scalar("SELECT leads FROM links WHERE id = $1")
            .bind(self.link.id)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// Rows of a table.
    pub(crate) async fn count(&self, table: &str) -> i64 {
        let statement = format!("SELECT count(*) FROM {table}");
        sqlx::query_scalar(sqlx::AssertSqlSafe(statement)).fetch_one(&self.pool).await.unwrap()
    }
}
