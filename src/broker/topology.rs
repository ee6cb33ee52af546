//! Topology v1: which exchanges and queues exist, with which arguments.
//!
//! Enters: prefix and queue length of the configuration. Leaves: names, and declarations that succeed
//! as often as they are repeated. The arguments are constants of v1, because the broker refuses a queue
//! declared with others: changing one means a v2 beside v1.
//!
//! **Invariant:** nothing is deleted, purged or redefined; a difference is reported with both sides.

use std::sync::Arc;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};

use super::error::{PRECONDITION_FAILED, said};
use super::session::Session;
use super::{BrokerError, Queue};
use crate::config;

/// Never reached: the broker must not give a message up, we do. Without a limit 3.10 returns a message
/// to the back of its queue, and 4.x assumes 20.
const DELIVERY_LIMIT: i64 = 1_000_000;

/// Names and arguments of topology v1; clones share them.
#[derive(Debug, Clone)]
pub struct Topology {
    prefix: Arc<str>,
    max_length: i64,
}

impl Topology {
    /// The topology of a configuration.
    #[must_use]
    pub fn new(config: &config::Broker) -> Self {
        Self { prefix: config.prefix.as_str().into(), max_length: config.queue_max_length.into() }
    }

    /// The exchange letters to queues go through.
    #[must_use]
    pub fn exchange(&self) -> String {
        format!("{}leads.v1", self.prefix)
    }

    /// The exchange of what the broker gives up or cannot route.
    #[must_use]
    pub fn dead_exchange(&self) -> String {
        format!("{}leads.v1.dead", self.prefix)
    }

    /// The full name of a queue.
    #[must_use]
    pub fn queue_name(&self, queue: Queue) -> String {
        format!("{}leads.v1.{}", self.prefix, queue.as_str())
    }

    /// Declares everything on a channel of its own, which a refusal costs its life.
    pub(super) async fn declare(&self, session: &Session) -> Result<(), BrokerError> {
        let channel = session.channel().await?;
        let (exchange, dead) = (self.exchange(), self.dead_exchange());
        for name in [&dead, &exchange] {
            self.declare_exchange(session, &channel, name).await?;
        }
        for queue in Queue::ALL {
            self.declare_queue(session, &channel, queue).await?;
            let (name, key) = (self.queue_name(queue), queue.as_str());
            let from = if queue == Queue::Dead { &dead } else { &exchange };
            let bound = channel.queue_bind(
                name.into(),
                from.as_str().into(),
                key.into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            );
            session.within("queue.bind", bound).await?;
        }
        session.within("channel.close", channel.close(200, "OK".into())).await
    }

    /// Declares one of the two exchanges, by its full name.
    pub(super) async fn declare_exchange(
        &self,
        session: &Session,
        channel: &Channel,
        name: &str,
    ) -> Result<(), BrokerError> {
        let dead = self.dead_exchange();
        let (kind, arguments) = if name == dead {
            (ExchangeKind::Fanout, FieldTable::default())
        } else {
            (ExchangeKind::Direct, table(&[("alternate-exchange", text(&dead))]))
        };
        let ours = shown(&format!("durable {kind:?}"), &arguments);
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let declared = channel.exchange_declare(name.into(), kind, options, arguments);
        let declared = session.within("exchange.declare", declared).await;
        declared.map_err(|error| mismatch(error, name.to_owned(), ours))
    }

    /// Declares one queue.
    pub(super) async fn declare_queue(
        &self,
        session: &Session,
        channel: &Channel,
        queue: Queue,
    ) -> Result<(), BrokerError> {
        let (name, arguments) = (self.queue_name(queue), self.arguments(queue));
        let ours = shown("durable", &arguments);
        let declared = channel.queue_declare(name.as_str().into(), QueueDeclareOptions::durable(), arguments);
        let declared = session.within("queue.declare", declared).await;
        declared.map(|_| ()).map_err(|error| mismatch(error, name, ours))
    }

    fn arguments(&self, queue: Queue) -> FieldTable {
        let mut arguments = vec![
            ("x-queue-type", text("quorum")),
            ("x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT)),
            ("x-overflow", text("reject-publish")),
        ];
        let dead = self.dead_exchange();
        if queue != Queue::Dead {
            arguments.extend([
                ("x-max-length", AMQPValue::LongLongInt(self.max_length)),
                ("x-dead-letter-exchange", text(&dead)),
                ("x-dead-letter-strategy", text("at-least-once")),
            ]);
        }
        table(&arguments)
    }
}

fn mismatch(error: BrokerError, queue: String, ours: String) -> BrokerError {
    let sentence = match &error {
        BrokerError::Away(source) => said(source).filter(|s| s.get_id() == PRECONDITION_FAILED),
        _ => None,
    };
    match sentence.map(|s| s.get_message().to_string()) {
        Some(said) => BrokerError::Mismatch { queue, ours, said },
        None => error,
    }
}

fn table(pairs: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in pairs {
        table.insert((*name).into(), value.clone());
    }
    table
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// Arguments for people: `durable, x-delivery-limit=1000000, x-overflow=reject-publish`.
fn shown(first: &str, arguments: &FieldTable) -> String {
    let mut words = vec![first.to_lowercase()];
    words.extend(arguments.inner().iter().map(|(name, value)| {
        let value = match value {
            AMQPValue::LongString(text) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
            AMQPValue::LongLongInt(number) => number.to_string(),
            other => format!("{other:?}"),
        };
        format!("{name}={value}")
    }));
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_arguments_of_v1_never_move() {
        let mut config = config::load(None).unwrap().broker;
        config.prefix = "t.".into();
        let topology = Topology::new(&config);
        assert_eq!(topology.exchange(), "t.leads.v1");
        assert_eq!(topology.queue_name(Queue::Shard(3)), "t.leads.v1.s03");
        assert_eq!(
            shown("durable", &topology.arguments(Queue::Wait)),
            "durable, x-dead-letter-exchange=t.leads.v1.dead, \
             x-dead-letter-strategy=at-least-once, x-delivery-limit=1000000, \
             x-max-length=2000000, x-overflow=reject-publish, x-queue-type=quorum"
        );
        assert_eq!(
            shown("durable", &topology.arguments(Queue::Dead)),
            "durable, x-delivery-limit=1000000, x-overflow=reject-publish, x-queue-type=quorum"
        );
    }
}
