//! The worker's side: sends the ending of a lead to whoever waits for it.
//!
//! **Invariant:** sending never waits and never fails the batch; a lost reply is counted, nothing more.

use super::Reply;
use crate::broker::{Address, Letter, Publisher};
use crate::telemetry::Metrics;

/// Sends a reply to the queue its request named. To be called after the commit.
pub fn send(publisher: &Publisher, metrics: &Metrics, reply_to: String, reply: &Reply) {
    let sent = reply.encode().is_ok_and(|body| {
        let (to, trace) = (Address::Reply(reply_to), reply.trace.clone());
        publisher.post(Letter { to, id: reply.id, body, reply_to: None, trace })
    });
    let result = if sent { "sent" } else { "lost" };
    metrics.replies.with_label_values(&[result]).inc();
}
