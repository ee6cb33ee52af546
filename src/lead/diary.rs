//! The diary: one JSON line per finished lead request, as its sender saw it.
//!
//! Load generators (the demo, the benchmark, the tests) write it; `leadline ledger --diary` checks it
//! against `PostgreSQL`. A line is written once the request is over: answered, or its connection lost.
//!
//! ```json
//! {"lead_id":"lead_…","workspace_id":"ws_…","customer":"user-1","event":"Sign Up","mode":"async","click_id":"",
//!  "quantity":1,"status":200,"ending":null,"duplicate":false,"link":"link_…","at":1763000000000}
//! ```
//!
//! **Invariant:** a line says only what travelled over HTTP; nothing in it is guessed from `PostgreSQL`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ending::Ending;
use super::mode::Mode;
use super::text::js_trim;

/// One lead request and its answer. Readers ignore fields they do not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiaryLine {
    /// The answer's `x-lead-id`; `None` when there was no answer or no such header.
    #[serde(default, with = "lead_id")]
    pub lead_id: Option<Uuid>,
    /// Whose key it was sent with; may be left out where the reader is told.
    #[serde(default, with = "workspace_id", skip_serializing_if = "Option::is_none")]
    pub workspace_id: Option<Uuid>,
    /// `customerExternalId` as sent.
    pub customer: String,
    /// `eventName` as sent.
    pub event: String,
    /// The mode sent, or the default.
    pub mode: Mode,
    /// `clickId` as sent; empty for a follow-up.
    #[serde(default)]
    pub click_id: String,
    /// `eventQuantity` as sent, or 1.
    #[serde(default = "one")]
    pub quantity: i32,
    /// The answer's status; 0 when the connection was lost or the sender gave up waiting.
    pub status: u16,
    /// The answer's `x-lead-ending`.
    #[serde(default)]
    pub ending: Option<Ending>,
    /// The answer was 200 and its `link` was null.
    #[serde(default)]
    pub duplicate: bool,
    /// The id of the answer's `link`.
    #[serde(default, with = "link_id")]
    pub link: Option<Uuid>,
    /// When it was sent, in milliseconds since 1970, by the sender's clock.
    pub at: i64,
}

/// What an answer promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// 200: durable, reaches exactly one ending.
    Kept,
    /// 4xx: never recorded.
    Refused,
    /// 5xx, or no answer: may end, at most once.
    Unknown,
}

impl DiaryLine {
    /// Reads one line.
    ///
    /// # Errors
    /// `serde_json`'s, for anything but a line of this shape.
    pub fn parse(line: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(line)
    }

    /// The line to write, with its line feed.
    ///
    /// # Errors
    /// None in practice: every field is plain data; the error is `serde_json`'s.
    pub fn line(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self).map(|json| json + "\n")
    }

    /// What its answer promises.
    #[must_use]
    pub fn promise(&self) -> Promise {
        match self.status {
            200 => Promise::Kept,
            400..=499 => Promise::Refused,
            _ => Promise::Unknown,
        }
    }

    /// Customer, event and click as they are stored: trimmed.
    #[must_use]
    pub fn trimmed(mut self) -> Self {
        for text in [&mut self.customer, &mut self.event, &mut self.click_id] {
            let trimmed = js_trim(text);
            if trimmed.len() != text.len() {
                *text = trimmed.to_owned();
            }
        }
        self
    }
}

fn one() -> i32 {
    1
}

/// An optional shown id under its prefix.
macro_rules! shown {
    ($name:ident, $prefix:expr) => {
        mod $name {
            use serde::{Deserialize, Deserializer, Serializer, de::Error};
            use uuid::Uuid;

            use crate::lead::id;

            pub(super) fn serialize<S: Serializer>(value: &Option<Uuid>, serializer: S) -> Result<S::Ok, S::Error> {
                match value {
                    Some(value) => serializer.serialize_str(&id::show($prefix, *value)),
                    None => serializer.serialize_none(),
                }
            }

            pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Uuid>, D::Error> {
                let Some(text) = Option::<String>::deserialize(deserializer)? else {
                    return Ok(None);
                };
                id::read($prefix, &text)
                    .map(Some)
                    .ok_or_else(|| D::Error::custom(format_args!("no {} id: {text}", $prefix)))
            }
        }
    };
}

shown!(lead_id, id::LEAD);
shown!(workspace_id, id::WORKSPACE);
shown!(link_id, id::LINK);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back() {
        let line = DiaryLine {
            lead_id: Some(Uuid::now_v7()),
            workspace_id: None,
            customer: "x".to_owned(),
            event: "Sign Up".to_owned(),
            mode: Mode::Wait,
            click_id: String::new(),
            quantity: 3,
            status: 200,
            ending: Some(Ending::Recorded),
            duplicate: false,
            link: Some(Uuid::now_v7()),
            at: 1,
        };
        let text = line.line().unwrap();
        assert!(text.ends_with('\n') && !text.contains("workspace_id"));
        assert_eq!(DiaryLine::parse(text.trim_end()).unwrap(), line);
    }

    #[test]
    fn a_lost_connection_needs_few_fields() {
        let text = r#"{"lead_id":null,"customer":" x ","event":"e","mode":"async","status":0,"at":1,"took_ms":7}"#;
        let line = DiaryLine::parse(text).unwrap().trimmed();
        assert_eq!((line.promise(), line.quantity, line.customer.as_str()), (Promise::Unknown, 1, "x"));
        assert!(DiaryLine::parse(&text.replace("null", "\"lead_1\"")).is_err());
    }
}
