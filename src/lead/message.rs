//! The lead message, version 1: what travels through the queue.
//!
//! Enters: an accepted [`TrackLead`] with its id. Leaves: JSON bytes, and back. Version 1 grows by
//! optional fields only; readers ignore fields they do not know, so old and new processes can share
//! a queue. Any other version inside a v1 queue is foreign.
//!
//! **Invariant:** decoding what [`LeadMessage::encode`] wrote gives the same message.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use super::key::{LeadKey, event_key, shard};
use super::mode::Mode;
use super::trace::Trace;
use super::track::TrackLead;

/// The only version these queues carry.
pub const VERSION: u8 = 1;

/// One accepted request on its way to the worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeadMessage {
    /// Message version, always [`VERSION`].
    pub v: u8,
    /// The lead's id: UUIDv7, made once at accept.
    pub id: Uuid,
    /// The tenant.
    pub workspace_id: Uuid,
    /// When the API took it, by the API's clock.
    #[serde(with = "chrono::serde::ts_milliseconds")]
    pub accepted_at: DateTime<Utc>,
    /// How the caller wished to be answered.
    pub mode: Mode,
    /// The caller's name of the customer.
    pub customer_external_id: String,
    /// The event, in the caller's spelling.
    pub event_name: String,
    /// How many events this one stands for, 1..=100.
    pub quantity: i32,
    /// The customer's name, if given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_name: Option<String>,
    /// The customer's e-mail address, if given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_email: Option<String>,
    /// The customer's avatar, if given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_avatar: Option<String>,
    /// A JSON object as text, if given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// The click as sent; absent in a follow-up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub click_id: Option<String>,
    /// What the click was resolved to at accept; absent when unresolved or a follow-up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<ResolvedClick>,
    /// Somebody waits for the verdict of this follow-up, so it may park only briefly.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub awaited: bool,
    /// Where it stands in its trace, if that is exported; a lead that nobody traces takes no byte and no allocation for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Box<Trace>>,
}

/// A click as the store knows it; final once resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedClick {
    /// The link that was clicked.
    pub link_id: Uuid,
    /// When, by the API's clock.
    #[serde(with = "chrono::serde::ts_milliseconds")]
    pub clicked_at: DateTime<Utc>,
    /// Two-letter country, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
}

/// Bytes that are no v1 message.
#[derive(Debug, Error)]
pub enum Undecodable {
    /// Not JSON of the right shape.
    #[error("not a lead message: {0}")]
    Shape(#[from] serde_json::Error),
    /// Another version.
    #[error("message version {0} is foreign to this queue")]
    Version(u64),
}

impl LeadMessage {
    /// Stamps a wish with its id and moment of accept.
    #[must_use]
    pub fn new(id: Uuid, workspace_id: Uuid, accepted_at: DateTime<Utc>, lead: TrackLead) -> Self {
        Self {
            v: VERSION,
            id,
            workspace_id,
            accepted_at: whole_millis(accepted_at),
            mode: lead.mode,
            customer_external_id: lead.customer_external_id,
            event_name: lead.event_name,
            quantity: lead.quantity,
            customer_name: lead.customer_name,
            customer_email: lead.customer_email,
            customer_avatar: lead.customer_avatar,
            metadata: lead.metadata,
            click_id: lead.click_id,
            resolved: None,
            awaited: false,
            trace: None,
        }
    }

    /// The bytes to publish.
    ///
    /// # Errors
    /// None in practice: every field is plain data; the error is `serde_json`'s.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Reads bytes received.
    ///
    /// # Errors
    /// [`Undecodable`] when they are no v1 lead message.
    pub fn decode(bytes: &[u8]) -> Result<Self, Undecodable> {
        match serde_json::from_slice::<Self>(bytes) {
            Ok(message) if message.v == VERSION => Ok(message),
            Ok(message) => Err(Undecodable::Version(message.v.into())),
            Err(error) => match foreign_version(bytes) {
                Some(version) => Err(Undecodable::Version(version)),
                None => Err(error.into()),
            },
        }
    }

    /// Whether it takes its click from the stored customer.
    #[must_use]
    pub fn is_follow_up(&self) -> bool {
        self.click_id.is_none()
    }

    /// What at most one recorded lead may have.
    #[must_use]
    pub fn key(&self) -> LeadKey {
        LeadKey {
            workspace_id: self.workspace_id,
            customer_external_id: self.customer_external_id.clone(),
            event_key: event_key(&self.event_name),
        }
    }

    /// The shard of its customer.
    #[must_use]
    pub fn shard(&self) -> u8 {
        shard(self.workspace_id, &self.customer_external_id)
    }
}

/// A moment without its fraction of a millisecond: the precision that travels.
#[must_use]
pub fn whole_millis(moment: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(moment.timestamp_millis()).unwrap_or(moment)
}

fn foreign_version(bytes: &[u8]) -> Option<u64> {
    let value: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    value.get("v")?.as_u64().filter(|version| *version != u64::from(VERSION))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lead::Schema;

    fn message() -> LeadMessage {
        let body = br#"{"clickId":"c","eventName":"Sign Up","customerExternalId":"x","metadata":{"a":1}}"#;
        let lead = TrackLead::parse(body, Schema::Server).unwrap();
        let mut message = LeadMessage::new(Uuid::now_v7(), Uuid::now_v7(), Utc::now(), lead);
        message.resolved =
            Some(ResolvedClick { link_id: Uuid::now_v7(), clicked_at: whole_millis(Utc::now()), country: None });
        message
    }

    #[test]
    fn a_message_survives_the_wire() {
        let message = message();
        assert_eq!(LeadMessage::decode(&message.encode().unwrap()).unwrap(), message);
    }

    #[test]
    fn a_lead_that_nobody_traces_takes_no_byte_for_it() {
        let mut message = message();
        let untraced = String::from_utf8(message.encode().unwrap()).unwrap();
        assert!(!untraced.contains("trace"), "{untraced}");
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        message.trace = Some(Box::new(Trace::new(parent.to_owned(), "a=1".to_owned())));
        assert_eq!(LeadMessage::decode(&message.encode().unwrap()).unwrap(), message);
    }

    #[test]
    fn fields_of_the_future_are_ignored() {
        let message = message();
        let mut value = serde_json::to_value(&message).unwrap();
        value["tomorrow"] = serde_json::json!({"a": 1});
        assert_eq!(LeadMessage::decode(value.to_string().as_bytes()).unwrap(), message);
    }

    #[test]
    fn other_versions_and_other_bytes_are_told_apart() {
        assert!(matches!(LeadMessage::decode(b"nonsense"), Err(Undecodable::Shape(_))));
        assert!(matches!(LeadMessage::decode(br#"{"v":2}"#), Err(Undecodable::Version(2))));
        assert!(matches!(LeadMessage::decode(br#"{"v":1}"#), Err(Undecodable::Shape(_))));
    }
}
