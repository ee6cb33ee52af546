//! The suite's own hand in the broker, past every proxy: counts, and plants messages.
//!
//! The names are spelt here once more on purpose: topology v1 must not move.
//!
//! **Invariant:** each call uses a connection of its own, so that no fault of the broker outlasts it here.

use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use leadline::lead::LeadMessage;
use tokio::time::timeout;

/// Every queue of topology v1.
pub(crate) const QUEUES: [&str; 6] = ["s00", "s01", "s02", "s03", "wait", "dead"];

const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes for a queue.
#[derive(Debug, Clone)]
pub(crate) struct Planted {
    pub(crate) queue: String,
    pub(crate) id: String,
    pub(crate) body: Vec<u8>,
}

impl Planted {
    /// A message for its customer's shard, as the API would publish it.
    pub(crate) fn lead(message: &LeadMessage) -> Self {
        let queue = format!("s{:02}", message.shard());
        Self { queue, id: message.id.to_string(), body: message.encode().unwrap() }
    }
}

/// Where the broker is.
#[derive(Debug, Clone)]
pub(crate) struct Queues {
    pub(crate) url: String,
    pub(crate) prefix: String,
}

impl Queues {
    /// Messages ready in all queues.
    pub(crate) async fn ready(&self) -> Result<u64, String> {
        let counted = self.with(async |channel| {
            let mut ready = 0;
            for queue in QUEUES {
                let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
                let name = format!("{}leads.v1.{queue}", self.prefix);
                let declared = channel.queue_declare(name.into(), options, FieldTable::default()).await?;
                ready += u64::from(declared.message_count());
            }
            Ok(ready)
        });
        counted.await
    }

    /// Publishes, and says of each whether the broker took it.
    pub(crate) async fn plant(&self, planted: &[Planted]) -> Result<Vec<bool>, String> {
        let confirmed = self.with(async |channel| {
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            let mut taken = Vec::with_capacity(planted.len());
            for chunk in planted.chunks(500) {
                let mut confirms = Vec::with_capacity(chunk.len());
                for Planted { queue, id, body } in chunk {
                    let properties =
                        BasicProperties::default().with_delivery_mode(2).with_message_id(id.as_str().into());
                    let exchange = format!("{}leads.v1", self.prefix);
                    let options = BasicPublishOptions::default();
                    let sent = channel.basic_publish(exchange.into(), queue.as_str().into(), options, body, properties);
                    confirms.push(sent.await?);
                }
                for confirm in confirms {
                    taken.push(matches!(confirm.await?, Confirmation::Ack(_)));
                }
            }
            Ok(taken)
        });
        confirmed.await
    }

    async fn with<T>(&self, work: impl AsyncFnOnce(&Channel) -> lapin::Result<T>) -> Result<T, String> {
        let worked = async {
            let connection = Connection::connect(&self.url, ConnectionProperties::default()).await?;
            let channel = connection.create_channel().await?;
            let value = work(&channel).await?;
            connection.close(200, "OK".into()).await?;
            Ok::<T, lapin::Error>(value)
        };
        match timeout(PATIENCE * 4, worked).await {
            Ok(worked) => worked.map_err(|error| error.to_string()),
            Err(_) => Err("RabbitMQ did not answer the suite".to_owned()),
        }
    }
}
