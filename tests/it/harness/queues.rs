//! The test's own hand in the broker: publish bytes, count, bounce, delete.
//!
//! The names are spelt here once more on purpose: topology v1 must not move.
//!
//! **Invariant:** a test touches the queues of its own prefix only.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer};
use leadline::lead::LeadMessage;
use uuid::Uuid;

/// Every queue of topology v1.
pub(crate) const QUEUES: [&str; 6] = ["s00", "s01", "s02", "s03", "wait", "dead"];

/// A connection of the test's own, beside the service's.
#[derive(Debug)]
pub(crate) struct Queues {
    connection: Connection,
    channel: Channel,
    prefix: String,
}

impl Queues {
    /// Connects to `TEST_AMQP_URL`.
    pub(crate) async fn connect(url: &str, prefix: &str) -> Self {
        let connection = Connection::connect(url, ConnectionProperties::default())
            .await
            .unwrap_or_else(|error| panic!("TEST_AMQP_URL: RabbitMQ does not answer: {error}"));
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        Self { connection, channel, prefix: prefix.to_owned() }
    }

    /// The full name of a queue.
    pub(crate) fn name(&self, queue: &str) -> String {
        format!("{}leads.v1.{queue}", self.prefix)
    }

    /// The shard queue of a message.
    pub(crate) fn shard(message: &LeadMessage) -> String {
        format!("s{:02}", message.shard())
    }

    /// Publishes a message to its customer's shard, as the API would, and waits for the confirm.
    pub(crate) async fn publish(&self, message: &LeadMessage) {
        self.publish_all(std::slice::from_ref(message)).await;
    }

    /// Publishes many, confirms awaited at the end.
    pub(crate) async fn publish_all(&self, messages: &[LeadMessage]) {
        for chunk in messages.chunks(1000) {
            let mut confirms = Vec::with_capacity(chunk.len());
            for message in chunk {
                let properties = properties(Some(&message.id.to_string()), None);
                confirms.push(self.send(&Self::shard(message), &message.encode().unwrap(), properties).await);
            }
            for confirm in confirms {
                assert!(matches!(confirm.await.unwrap(), Confirmation::Ack(None)), "the broker refused a message");
            }
        }
    }

    /// Publishes any bytes to a queue.
    pub(crate) async fn publish_bytes(&self, queue: &str, bytes: &[u8], id: Option<&str>, reply_to: Option<&str>) {
        let confirm = self.send(queue, bytes, properties(id, reply_to)).await;
        assert!(matches!(confirm.await.unwrap(), Confirmation::Ack(None)), "the broker refused a message");
    }

    async fn send(&self, queue: &str, bytes: &[u8], properties: BasicProperties) -> lapin::PublisherConfirm {
        let name = self.name(queue);
        self.channel
            .basic_publish("".into(), name.as_str().into(), BasicPublishOptions::default(), bytes, properties)
            .await
            .unwrap()
    }

    /// Messages ready in a queue; `None` while it does not exist.
    pub(crate) async fn depth(&self, queue: &str) -> Option<u32> {
        let channel = self.connection.create_channel().await.unwrap();
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let name = self.name(queue);
        let declared = channel.queue_declare(name.as_str().into(), passive, FieldTable::default()).await.ok()?;
        channel.close(200, "".into()).await.ok();
        Some(declared.message_count())
    }

    /// Messages ready in all queues.
    pub(crate) async fn total(&self) -> u32 {
        let mut total = 0;
        for queue in QUEUES {
            total += self.depth(queue).await.unwrap_or(0);
        }
        total
    }

    /// Takes `n` messages of a queue without acknowledging and lets them fall back: a crashed consumer.
    pub(crate) async fn bounce(&self, queue: &str, n: usize) {
        let channel = self.connection.create_channel().await.unwrap();
        channel.basic_qos(u16::try_from(n).unwrap(), BasicQosOptions::default()).await.unwrap();
        let name = self.name(queue);
        let mut consumer = channel
            .basic_consume(name.as_str().into(), "".into(), BasicConsumeOptions::default(), FieldTable::default())
            .await
            .unwrap();
        for _ in 0..n {
            let taken = tokio::time::timeout(Duration::from_secs(10), consumer.next()).await;
            taken.expect("a message to bounce").unwrap().unwrap();
        }
        channel.close(200, "".into()).await.unwrap();
    }

    /// The first message of a queue, which stays where it is.
    pub(crate) async fn peek(&self, queue: &str) -> (BasicProperties, Vec<u8>) {
        let channel = self.connection.create_channel().await.unwrap();
        let name = self.name(queue);
        let got = channel.basic_get(name.as_str().into(), BasicGetOptions::default()).await.unwrap();
        let message = got.expect("a message to look at").delivery;
        // Closing gives it back.
        channel.close(200, "".into()).await.unwrap();
        (message.properties, message.data)
    }

    /// A reply queue of the test's own: its name and what arrives in it.
    pub(crate) async fn replies(&self) -> (String, Consumer) {
        let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        let queue = self.channel.queue_declare("".into(), exclusive, FieldTable::default()).await.unwrap();
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let consumer =
            self.channel.basic_consume(queue.name().clone(), "".into(), options, FieldTable::default()).await.unwrap();
        (queue.name().to_string(), consumer)
    }

    /// Deletes everything under the prefix.
    pub(crate) async fn remove(&self) {
        let channel = self.connection.create_channel().await.unwrap();
        for queue in QUEUES {
            let name = self.name(queue);
            channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
        }
        for exchange in ["leads.v1", "leads.v1.dead"] {
            let name = format!("{}{exchange}", self.prefix);
            channel.exchange_delete(name.as_str().into(), ExchangeDeleteOptions::default()).await.unwrap();
        }
    }
}

fn properties(id: Option<&str>, reply_to: Option<&str>) -> BasicProperties {
    let mut properties = BasicProperties::default().with_delivery_mode(2);
    if let Some(id) = id {
        properties = properties.with_message_id(id.into());
    }
    if let Some(queue) = reply_to {
        properties = properties.with_reply_to(queue.into());
    }
    properties
}

/// A message id for [`Queues::publish_bytes`].
pub(crate) fn message_id(id: Uuid) -> String {
    id.to_string()
}
