//! Scratch queues with exactly the arguments of topology v1, under a prefix of their own.
//!
//! Written out once more instead of taken from the product: the limit must not move with the code
//! that is held against it.
//!
//! **Invariant:** only names under this run's prefix are ever purged or deleted.

use lapin::options::{
    BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties, Consumer, ExchangeKind};

use crate::Outcome;

/// The queues that carry leads to the worker's lanes.
pub(crate) const SHARDS: [&str; 4] = ["s00", "s01", "s02", "s03"];
/// The queue of `wait` requests.
pub(crate) const WAIT: &str = "wait";
const DEAD: &str = "dead";

/// The names of one prefix on one broker.
#[derive(Debug)]
pub(crate) struct Queues {
    url: String,
    pub(crate) prefix: String,
}

impl Queues {
    /// Names nothing else uses.
    pub(crate) fn new(url: &str, label: &str) -> Self {
        let random = leadline::lead::id::alphanumerics(8).to_lowercase();
        let prefix = format!("bench-{label}-{random}.");
        Self { url: url.to_owned(), prefix }
    }

    /// The exchange of leads.
    pub(crate) fn exchange(&self) -> String {
        format!("{}leads.v1", self.prefix)
    }

    fn dead_exchange(&self) -> String {
        format!("{}leads.v1.dead", self.prefix)
    }

    fn queue(&self, key: &str) -> String {
        format!("{}leads.v1.{key}", self.prefix)
    }

    /// The port of the first broker named.
    pub(crate) fn port(&self) -> Option<u16> {
        let first = url::Url::parse(self.url.split(',').next()?).ok()?;
        Some(first.port().unwrap_or(5672))
    }

    /// A connection to the first broker named.
    pub(crate) async fn connect(&self) -> Outcome<Connection> {
        let first = self.url.split(',').next().unwrap_or_default();
        let properties = ConnectionProperties::default().with_connection_name("leadline bench".into());
        Ok(Connection::connect(first, properties).await?)
    }

    /// Declares topology v1.
    pub(crate) async fn declare(&self) -> Outcome<()> {
        let connection = self.connect().await?;
        let channel = connection.create_channel().await?;
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let (exchange, dead) = (self.exchange(), self.dead_exchange());
        let mut alternate = FieldTable::default();
        alternate.insert("alternate-exchange".into(), text(&dead));
        channel.exchange_declare(dead.as_str().into(), ExchangeKind::Fanout, durable, FieldTable::default()).await?;
        channel.exchange_declare(exchange.as_str().into(), ExchangeKind::Direct, durable, alternate).await?;
        for key in SHARDS.into_iter().chain([WAIT, DEAD]) {
            let from = if key == DEAD { &dead } else { &exchange };
            channel.queue_declare(self.queue(key).into(), QueueDeclareOptions::durable(), self.arguments(key)).await?;
            channel
                .queue_bind(
                    self.queue(key).into(),
                    from.as_str().into(),
                    key.into(),
                    QueueBindOptions::default(),
                    FieldTable::default(),
                )
                .await?;
        }
        connection.close(200, "OK".into()).await?;
        Ok(())
    }

    fn arguments(&self, key: &str) -> FieldTable {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), text("quorum"));
        arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(1_000_000));
        arguments.insert("x-overflow".into(), text("reject-publish"));
        if key != DEAD {
            arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(2_000_000));
            arguments.insert("x-dead-letter-exchange".into(), text(&self.dead_exchange()));
            arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
        }
        arguments
    }

    /// Consumes one queue on a channel.
    pub(crate) async fn consume(&self, channel: &Channel, key: &str, prefetch: u16) -> Outcome<Consumer> {
        channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
        let consumer = channel.basic_consume(
            self.queue(key).into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        Ok(consumer.await?)
    }

    /// Messages that are ready in the shards; those handed out and not settled yet are not among them.
    pub(crate) async fn depth(&self, channel: &Channel) -> Outcome<u32> {
        let mut messages = 0;
        for key in SHARDS {
            let options = QueueDeclareOptions::durable().passive();
            let queue = channel.queue_declare(self.queue(key).into(), options, FieldTable::default()).await?;
            messages += queue.message_count();
        }
        Ok(messages)
    }

    /// Empties the shards.
    pub(crate) async fn purge(&self) -> Outcome<()> {
        let connection = self.connect().await?;
        let channel = connection.create_channel().await?;
        for key in SHARDS.into_iter().chain([WAIT]) {
            channel.queue_purge(self.queue(key).into(), QueuePurgeOptions::default()).await?;
        }
        connection.close(200, "OK".into()).await?;
        Ok(())
    }

    /// Deletes everything under the prefix; what does not exist is no error.
    pub(crate) async fn remove(&self) -> Outcome<()> {
        let connection = self.connect().await?;
        let channel = connection.create_channel().await?;
        for key in SHARDS.into_iter().chain([WAIT, DEAD]) {
            channel.queue_delete(self.queue(key).into(), QueueDeleteOptions::default()).await?;
        }
        for exchange in [self.exchange(), self.dead_exchange()] {
            channel.exchange_delete(exchange.into(), ExchangeDeleteOptions::default()).await?;
        }
        connection.close(200, "OK".into()).await?;
        Ok(())
    }
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}
