//! One letter as it was received, free of the client library.
//!
//! Enters: lapin's delivery. Leaves: a [`Delivery`] or [`ReplyDelivery`] for each letter in it, of which those of a pack share
//! tag, headers and reply queue. A header that is missing or of
//! an unexpected type counts as absent: 3.10 and 4.x differ in what they set on a first delivery.
//!
//! **Invariant:** the body of a letter that came alone is moved, never copied, and none ever shows in `Debug`.

use std::fmt;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use uuid::Uuid;

use super::Queue;
use super::pack::{self, unpack};
use crate::lead::Trace;

/// The headers of a traced message, named as W3C Trace Context names them.
pub(super) const TRACE_PARENT: &str = "traceparent";
pub(super) const TRACE_STATE: &str = "tracestate";

/// One letter taken from a queue of the topology, unsettled.
pub struct Delivery {
    /// What to settle it by, together with whatever else came in the same message; meaningful to the inlet that handed it out,
    /// and to no other.
    pub tag: u64,
    /// The queue it came from.
    pub queue: Queue,
    /// The bytes.
    pub body: Vec<u8>,
    /// Message id, as its sender set it.
    pub message_id: Option<String>,
    /// The reply queue on which its sender waits.
    pub reply_to: Option<String>,
    /// How often it came back to its queue before (`x-delivery-count`); 0 if the broker does not say.
    pub delivery_count: u32,
    /// The broker's flag: it was handed out before.
    pub redelivered: bool,
    /// Why the broker first gave it up (`x-first-death-reason`), in the dead queue.
    pub death: Option<String>,
    /// Where it stands in a trace, as its headers say; those of a pack say nothing.
    pub trace: Option<Box<Trace>>,
}

/// One letter taken from the reply queue; nothing has to be settled.
pub struct ReplyDelivery {
    /// Whom it is for.
    pub id: Option<Uuid>,
    /// The bytes.
    pub body: Vec<u8>,
}

impl Delivery {
    /// Takes the letters out of a message; returns how many there are, one at least. What calls itself a pack and is none is
    /// handed out as it is.
    pub(super) fn open(queue: Queue, from: lapin::message::Delivery, into: &mut Vec<Self>) -> usize {
        let packed = is_pack(&from.properties);
        let whole = Self::new(queue, from);
        let Some(letters) = packed.then(|| unpack(&whole.body)).flatten() else {
            into.push(whole);
            return 1;
        };
        into.extend(letters.iter().map(|(id, body)| Self {
            message_id: Some(id.to_string()),
            reply_to: whole.reply_to.clone(),
            death: whole.death.clone(),
            trace: None,
            body: body.to_vec(),
            ..whole
        }));
        letters.len()
    }

    fn new(queue: Queue, from: lapin::message::Delivery) -> Self {
        let properties = &from.properties;
        let headers = properties.headers().as_ref();
        Self {
            tag: from.delivery_tag,
            queue,
            message_id: properties.message_id().as_ref().map(text),
            reply_to: properties.reply_to().as_ref().map(text),
            delivery_count: headers.and_then(delivery_count).unwrap_or(0),
            redelivered: from.redelivered,
            death: headers.and_then(death),
            trace: headers.and_then(trace),
            body: from.data,
        }
    }
}

impl ReplyDelivery {
    /// Takes the letters out of a message.
    pub(super) fn open(from: lapin::message::Delivery, into: &mut Vec<Self>) {
        match is_pack(&from.properties).then(|| unpack(&from.data)).flatten() {
            Some(letters) => {
                into.extend(letters.iter().map(|(id, body)| Self { id: Some(*id), body: body.to_vec() }));
            }
            None => into.push(Self::new(from)),
        }
    }

    fn new(from: lapin::message::Delivery) -> Self {
        let id = from.properties.correlation_id().as_ref();
        Self { id: id.and_then(|id| Uuid::try_parse(id.as_str()).ok()), body: from.data }
    }
}

fn is_pack(properties: &BasicProperties) -> bool {
    properties.content_type().as_ref().is_some_and(|kind| kind.as_str() == pack::CONTENT_TYPE)
}

fn text(short: &ShortString) -> String {
    short.as_str().to_owned()
}

fn delivery_count(headers: &FieldTable) -> Option<u32> {
    let count = match headers.inner().get("x-delivery-count")? {
        AMQPValue::LongLongInt(n) => *n,
        AMQPValue::LongInt(n) => i64::from(*n),
        AMQPValue::LongUInt(n) => i64::from(*n),
        AMQPValue::ShortInt(n) => i64::from(*n),
        AMQPValue::ShortUInt(n) => i64::from(*n),
        AMQPValue::ShortShortInt(n) => i64::from(*n),
        AMQPValue::ShortShortUInt(n) => i64::from(*n),
        _ => return None,
    };
    u32::try_from(count).ok()
}

fn death(headers: &FieldTable) -> Option<String> {
    words(headers, "x-first-death-reason")
}

fn trace(headers: &FieldTable) -> Option<Box<Trace>> {
    let parent = words(headers, TRACE_PARENT)?;
    Some(Box::new(Trace::new(parent, words(headers, TRACE_STATE).unwrap_or_default())))
}

fn words(headers: &FieldTable, name: &str) -> Option<String> {
    match headers.inner().get(name)? {
        AMQPValue::LongString(words) => Some(String::from_utf8_lossy(words.as_bytes()).into_owned()),
        AMQPValue::ShortString(words) => Some(text(words)),
        _ => None,
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("tag", &self.tag)
            .field("queue", &self.queue)
            .field("message_id", &self.message_id)
            .field("delivery_count", &self.delivery_count)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ReplyDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyDelivery").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::types::{Boolean, LongString};
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = AMQPValue> {
        prop_oneof![
            any::<i64>().prop_map(AMQPValue::LongLongInt),
            any::<i32>().prop_map(AMQPValue::LongInt),
            any::<u32>().prop_map(AMQPValue::LongUInt),
            any::<i8>().prop_map(AMQPValue::ShortShortInt),
            any::<u8>().prop_map(AMQPValue::ShortShortUInt),
            any::<bool>().prop_map(|flag: Boolean| AMQPValue::Boolean(flag)),
            any::<f64>().prop_map(AMQPValue::Double),
            any::<Vec<u8>>().prop_map(|bytes| AMQPValue::LongString(LongString::from(bytes))),
            Just(AMQPValue::Void),
            Just(AMQPValue::FieldTable(FieldTable::default())),
        ]
    }

    proptest! {
        #[test]
        fn headers_of_any_type_are_read_or_count_as_absent(count in value(), reason in value(), parent in value()) {
            let mut headers = FieldTable::default();
            headers.insert(TRACE_PARENT.into(), parent.clone());
            headers.insert("x-delivery-count".into(), count.clone());
            headers.insert("x-first-death-reason".into(), reason.clone());
            let expected = match count {
                AMQPValue::LongLongInt(n) => u32::try_from(n).ok(),
                AMQPValue::LongInt(n) => u32::try_from(n).ok(),
                AMQPValue::LongUInt(n) => Some(n),
                AMQPValue::ShortShortInt(n) => u32::try_from(n).ok(),
                AMQPValue::ShortShortUInt(n) => Some(n.into()),
                _ => None,
            };
            prop_assert_eq!(delivery_count(&headers), expected);
            prop_assert_eq!(death(&headers).is_some(), matches!(reason, AMQPValue::LongString(_)));
            prop_assert_eq!(trace(&headers).is_some(), matches!(parent, AMQPValue::LongString(_)));
        }
    }
}
