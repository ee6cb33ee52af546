//! How many messages wait in each queue, and how many consumers it has, for the metrics.
//!
//! Enters: a session. Leaves: two gauges per queue, every few seconds. The broker counts messages that are
//! ready; those handed out and unsettled are not among them.
//!
//! **Invariant:** asking never declares anything, and a queue that cannot be asked costs only its gauges.

use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;

use super::session::Session;
use super::{BrokerError, Queue, Topology};
use crate::telemetry::Metrics;

const ASK_EVERY: Duration = Duration::from_secs(5);

/// Asks for ever, or until the session is over.
pub(super) async fn watch(session: &Session, topology: &Topology, metrics: &Metrics) {
    let mut every = tokio::time::interval(ASK_EVERY);
    loop {
        every.tick().await;
        if let Err(error) = ask(session, topology, metrics).await {
            tracing::debug!(%error, "queue depths unknown");
        }
    }
}

async fn ask(session: &Session, topology: &Topology, metrics: &Metrics) -> Result<(), BrokerError> {
    // A refusal costs the channel its life, so it is one nobody else uses.
    let channel = session.channel().await?;
    for queue in Queue::ALL {
        let options = QueueDeclareOptions::durable().passive();
        let name = topology.queue_name(queue).into();
        let asked = channel.queue_declare(name, options, FieldTable::default());
        let answer = session.within("queue.declare", asked).await?;
        metrics.queue_messages.with_label_values(&[queue.as_str()]).set(answer.message_count().into());
        metrics.queue_consumers.with_label_values(&[queue.as_str()]).set(answer.consumer_count().into());
    }
    session.within("channel.close", channel.close(200, "OK".into())).await
}
