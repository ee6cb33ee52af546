//! The reply message, version 1: the ending of one lead.
//!
//! Enters: an ending. Leaves: JSON bytes, and back. Grows by optional fields only; readers ignore fields
//! they do not know.
//!
//! **Invariant:** decoding what [`Reply::encode`] wrote gives the same reply.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use crate::lead::{Ending, Reason, Trace};

/// What became of one lead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// Message version, always [`Reply::VERSION`].
    pub v: u8,
    /// The lead.
    pub id: Uuid,
    /// How it ended.
    pub ending: Ending,
    /// Why it was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The click its row carries; of a follow-up, the customer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub click_id: Option<String>,
    /// The link its row carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_id: Option<Uuid>,
    /// Whether it brought its customer, who is stored as it describes him. Otherwise he was there before, or the worker is
    /// one of before this field.
    #[serde(default, skip_serializing_if = "is_false")]
    pub brought: bool,
    /// Where it stands in the lead's trace, if that is traced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Box<Trace>>,
}

/// Bytes that are no v1 reply.
#[derive(Debug, Error)]
pub enum Unreadable {
    /// Not JSON of the right shape.
    #[error("not a reply: {0}")]
    Shape(#[from] serde_json::Error),
    /// Another version.
    #[error("reply version {0} is unknown")]
    Version(u8),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Reply {
    /// The only version there is.
    pub const VERSION: u8 = 1;

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
    /// [`Unreadable`] when they are no v1 reply.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let reply: Self = serde_json::from_slice(bytes)?;
        if reply.v == Self::VERSION { Ok(reply) } else { Err(Unreadable::Version(reply.v)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_survives_the_wire_and_foreign_ones_do_not() {
        let reply = Reply {
            v: Reply::VERSION,
            id: Uuid::now_v7(),
            ending: Ending::Rejected,
            reason: Some(Reason::LinkForeign),
            click_id: Some("click".to_owned()),
            link_id: None,
            brought: true,
            trace: Some(Box::new(Trace::new("00-1-2-01".to_owned(), String::new()))),
        };
        assert_eq!(Reply::decode(&reply.encode().unwrap()).unwrap(), reply);
        let foreign = Reply { v: 2, ..reply };
        let read = Reply::decode(&foreign.encode().unwrap());
        assert!(matches!(read, Err(Unreadable::Version(2))));
        assert!(matches!(Reply::decode(b"no"), Err(Unreadable::Shape(_))));
    }

    #[test]
    fn a_reply_that_does_not_say_whose_the_customer_is_is_one_of_before() {
        let old = format!(r#"{{"v":1,"id":"{}","ending":"recorded","news":[]}}"#, Uuid::now_v7());
        let reply = Reply::decode(old.as_bytes()).unwrap();
        assert!(!reply.brought);
        assert!(!String::from_utf8(reply.encode().unwrap()).unwrap().contains("brought"));
    }
}
