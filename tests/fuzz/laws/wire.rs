//! Laws of what comes out of queues: lead messages and replies.
//!
//! **Invariant:** what decodes encodes to bytes that decode to the same.

use leadline::lead::LeadMessage;
use leadline::lead::message::Undecodable;
use leadline::reply::Reply;

/// `LeadMessage::decode`.
pub(super) fn message(bytes: &[u8]) {
    match LeadMessage::decode(bytes) {
        Ok(message) => {
            assert_eq!(LeadMessage::decode(&message.encode().unwrap()).unwrap(), message);
            assert!(message.shard() < 4);
            assert_eq!(message.key().workspace_id, message.workspace_id);
        }
        Err(Undecodable::Version(version)) => assert_ne!(version, 1),
        Err(Undecodable::Shape(_)) => {}
    }
}

/// `Reply::decode`.
pub(super) fn reply(bytes: &[u8]) {
    if let Ok(reply) = Reply::decode(bytes) {
        assert_eq!(Reply::decode(&reply.encode().unwrap()).unwrap(), reply);
    }
}
