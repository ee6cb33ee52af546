//! Many leads in one request, and each result as if it were the answer to a call of its own.
//!
//! **Invariant:** every result is noted in the diary, so the books balance as they do for single calls.

use leadline::lead::Schema;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::Harness;
use super::client::{Answer, Call};

impl Harness {
    /// `POST /track/lead/batch` to the first API; the answer to the whole must be 200. Returns what it says of each.
    pub(crate) async fn batch(&self, bodies: &[Value]) -> Vec<Answer> {
        let call = Call::post("/track/lead/batch", &json!(bodies)).key(&self.workspace.secret);
        let whole = self.call(call).await.ok();
        let each: Vec<Answer> = whole.body.as_array().unwrap().iter().map(single).collect();
        assert_eq!(each.len(), bodies.len());
        for (body, answer) in bodies.iter().zip(&each) {
            self.diary.note(self.workspace.id, body, Schema::Server, answer);
        }
        let unavailable = each.iter().any(|answer| answer.status == 503);
        assert_eq!(whole.header("retry-after").is_some(), unavailable, "Retry-After goes with 503");
        each
    }
}

/// A result in the form of a call's answer.
pub(crate) fn single(result: &Value) -> Answer {
    let mut headers =
        HeaderMap::from_iter([("content-type".parse().unwrap(), HeaderValue::from_static("application/json"))]);
    for (name, field) in [("x-lead-id", "leadId"), ("x-lead-ending", "ending")] {
        if let Some(text) = result[field].as_str() {
            headers.insert(name, text.parse().unwrap());
        }
    }
    let body = match result.get("lead") {
        Some(lead) => lead.clone(),
        None => json!({"error": result["error"]}),
    };
    Answer { status: result["status"].as_u64().unwrap().try_into().unwrap(), headers, body }
}
