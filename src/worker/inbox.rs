//! Deliveries sorted: what can be read, what can only be buried, what must be handled alone.
//!
//! **Invariant:** every delivery that comes in goes out in exactly one of the three piles.

use uuid::Uuid;

use crate::broker::{Delivery, Queue};
use crate::lead::LeadMessage;
use crate::lead::message::Undecodable;
use crate::lifecycle::fault;
use crate::record::Received;
use crate::store::{Grave, identity};

/// A delivery that was read.
#[derive(Debug)]
pub(super) struct Readable {
    pub(super) tag: u64,
    pub(super) queue: Queue,
    pub(super) received: Received,
    pub(super) body: Vec<u8>,
    pub(super) message_id: Option<String>,
}

/// A delivery to be buried, and under which cause it is counted.
#[derive(Debug)]
pub(super) struct Condemned {
    pub(super) tag: u64,
    pub(super) cause: &'static str,
    pub(super) grave: Grave,
}

/// Deliveries, sorted.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    pub(super) readable: Vec<Readable>,
    pub(super) condemned: Vec<Condemned>,
    pub(super) suspects: Vec<Delivery>,
}

/// Sorts deliveries; those that came back `suspect_after` times or more are suspects and stay unread.
pub(super) fn sort(deliveries: impl IntoIterator<Item = Delivery>, suspect_after: u32) -> Inbox {
    let mut inbox = Inbox::default();
    for delivery in deliveries {
        if delivery.queue == Queue::Dead {
            inbox.condemned.push(dead(delivery));
        } else if delivery.delivery_count >= suspect_after {
            inbox.suspects.push(delivery);
        } else {
            read(delivery, &mut inbox);
        }
    }
    inbox
}

/// Reads one delivery onto its pile.
pub(super) fn read(delivery: Delivery, inbox: &mut Inbox) {
    let Delivery { tag, queue, body, message_id, reply_to, redelivered: again, trace, .. } = delivery;
    fault::payload("worker.read", &body);
    match LeadMessage::decode(&body) {
        Ok(mut message) => {
            // Another publisher than ours may say it in headers only.
            message.trace = message.trace.or(trace);
            let received = Received { message, reply_to, again };
            inbox.readable.push(Readable { tag, queue, received, body, message_id });
        }
        Err(error) => {
            let cause = match error {
                Undecodable::Shape(_) => "undecodable",
                Undecodable::Version(_) => "foreign",
            };
            let grave = grave(message_id.as_deref(), body, error.to_string());
            inbox.condemned.push(Condemned { tag, cause, grave });
        }
    }
}

/// The grave of a message; who it was is read from the bytes if they can be read.
pub(super) fn grave(message_id: Option<&str>, message: Vec<u8>, reason: String) -> Grave {
    let lead = LeadMessage::decode(&message).ok();
    let claimed = message_id.and_then(|id| Uuid::parse_str(id).ok());
    Grave {
        identity: identity(message_id, &message),
        workspace_id: lead.as_ref().map(|lead| lead.workspace_id),
        lead_id: lead.map(|lead| lead.id).or(claimed),
        reason,
        message,
    }
}

fn dead(delivery: Delivery) -> Condemned {
    let why = delivery.death.as_deref().unwrap_or("unknown");
    let reason = format!("the broker moved it to the dead queue: {why}");
    let grave = grave(delivery.message_id.as_deref(), delivery.body, reason);
    Condemned { tag: delivery.tag, cause: "dead", grave }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(tag: u64, body: &[u8], delivery_count: u32, queue: Queue) -> Delivery {
        Delivery {
            tag,
            queue,
            body: body.to_vec(),
            message_id: None,
            reply_to: None,
            delivery_count,
            redelivered: delivery_count > 0,
            death: None,
            trace: None,
        }
    }

    #[test]
    fn every_delivery_lands_on_one_pile() {
        let inbox = sort(
            [
                delivery(1, b"nonsense", 0, Queue::Shard(0)),
                delivery(2, br#"{"v":9}"#, 1, Queue::Shard(1)),
                delivery(3, b"nonsense", 2, Queue::Wait),
                delivery(4, b"nonsense", 0, Queue::Dead),
            ],
            2,
        );
        assert!(inbox.readable.is_empty());
        let condemned: Vec<_> = inbox.condemned.iter().map(|c| (c.tag, c.cause)).collect();
        assert_eq!(condemned, [(1, "undecodable"), (2, "foreign"), (4, "dead")]);
        assert_eq!(inbox.suspects.iter().map(|s| s.tag).collect::<Vec<_>>(), [3]);
    }
}
