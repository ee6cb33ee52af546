//! A visit to the broker for a person: what it is, how much waits on it, what it lets us do.
//!
//! Enters: one address of `broker.url`. Leaves: its name, the depth of each queue, whether what stands there is ours, which
//! rights we have, whether publishers are blocked. A right is asked for by a request that RabbitMQ checks for it first and
//! then refuses for a value in it, so that nothing happens also where we have the right.
//!
//! **Invariant:** a visit leaves no queue, exchange or message behind, and takes none; no answer is waited for longer than
//! `broker.rpc_timeout`.

use std::fmt;

use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::uri::AMQPUri;
use lapin::{BasicProperties, Event, ExchangeKind};
use secrecy::{ExposeSecret, SecretString};

use super::greeting::{Greeting, greet};
use super::keeper::addresses;
use super::session::Session;
use super::{BrokerError, Queue, Topology};
use crate::config;

/// One address of `broker.url`.
#[derive(Clone)]
pub struct Node {
    uri: AMQPUri,
    config: config::Broker,
}

impl Node {
    /// All addresses, in their order.
    ///
    /// # Errors
    /// [`BrokerError::Address`] when one cannot be used.
    pub fn all(config: &config::Broker) -> Result<Vec<Self>, BrokerError> {
        let uris = addresses(config.url.expose_secret())?;
        Ok(uris.into_iter().map(|uri| Self { uri, config: config.clone() }).collect())
    }

    /// Host and port.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}:{}", self.uri.authority.host, self.uri.authority.port)
    }

    /// The virtual host.
    #[must_use]
    pub fn vhost(&self) -> &str {
        &self.uri.vhost
    }

    /// The user, and what proves that we are him.
    #[must_use]
    pub fn login(&self) -> (&str, SecretString) {
        let user = &self.uri.authority.userinfo;
        (&user.username, SecretString::from(user.password.as_str()))
    }

    /// Who answers there; nothing of ours is told. Cancel-safe.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn greet(&self) -> Result<Greeting, BrokerError> {
        greet(&self.uri, &self.config).await
    }

    /// Logs in. Nothing is declared. Cancel-safe.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn visit(&self) -> Result<Visit, BrokerError> {
        let session = Session::connect(self.uri.clone(), "leadline visit", &self.config).await?;
        Ok(Visit { session, topology: Topology::new(&self.config) })
    }
}

impl fmt::Debug for Node {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Node").field(&self.name()).finish()
    }
}

/// How much a queue holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Messages that nobody was handed yet.
    pub ready: u32,
    /// Who consumes it.
    pub consumers: u32,
}

/// A connection that only looks.
#[derive(Debug)]
pub struct Visit {
    session: Session,
    topology: Topology,
}

impl Visit {
    /// The names that are asked for.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// How much a queue holds; `None` when there is no such queue.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn depth(&self, queue: Queue) -> Result<Option<Depth>, BrokerError> {
        // A refusal costs the channel its life, here and below.
        let channel = self.session.channel().await?;
        let name = self.topology.queue_name(queue).into();
        let asked = channel.queue_declare(name, QueueDeclareOptions::durable().passive(), FieldTable::default());
        let found = match self.session.within("queue.declare", asked).await {
            Err(error) if error.is_missing() => return Ok(None),
            found => found?,
        };
        let depth = Depth { ready: found.message_count(), consumers: found.consumer_count() };
        self.session.within("channel.close", channel.close(200, "OK".into())).await?;
        Ok(Some(depth))
    }

    /// Whether an exchange is there, by its full name.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn has_exchange(&self, name: &str) -> Result<bool, BrokerError> {
        let channel = self.session.channel().await?;
        let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        let asked = channel.exchange_declare(name.into(), ExchangeKind::Direct, options, FieldTable::default());
        match self.session.within("exchange.declare", asked).await {
            Err(error) if error.is_missing() => return Ok(false),
            found => found?,
        }
        self.session.within("channel.close", channel.close(200, "OK".into())).await?;
        Ok(true)
    }

    /// Declares a queue that is there once more, as every start does: shows whether it has our arguments, and whether we have
    /// the right to configure it.
    ///
    /// # Errors
    /// [`BrokerError::Mismatch`] and [`BrokerError::Refused`] if not.
    pub async fn redeclare_queue(&self, queue: Queue) -> Result<(), BrokerError> {
        let channel = self.session.channel().await?;
        self.topology.declare_queue(&self.session, &channel, queue).await?;
        self.session.within("channel.close", channel.close(200, "OK".into())).await
    }

    /// The same for an exchange that is there, by its full name.
    ///
    /// # Errors
    /// As [`Visit::redeclare_queue`].
    pub async fn redeclare_exchange(&self, name: &str) -> Result<(), BrokerError> {
        let channel = self.session.channel().await?;
        self.topology.declare_exchange(&self.session, &channel, name).await?;
        self.session.within("channel.close", channel.close(200, "OK".into())).await
    }

    /// Whether we may consume from a queue: asked with a priority that is no number.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] if not.
    pub async fn may_consume(&self, queue: Queue) -> Result<(), BrokerError> {
        let channel = self.session.channel().await?;
        let at_most = channel.basic_qos(1, BasicQosOptions::default());
        self.session.within("basic.qos", at_most).await?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-priority".into(), AMQPValue::LongString("none".into()));
        let (name, options) = (self.topology.queue_name(queue).into(), BasicConsumeOptions::default());
        let consuming = channel.basic_consume(name, ShortString::default(), options, arguments);
        match self.session.within("basic.consume", consuming).await {
            Err(error) if error.is_precondition() => Ok(()),
            Err(error) => Err(error),
            // One that does not look at priorities: the right is shown, and what it handed out goes back at once.
            Ok(_) => self.session.within("channel.close", channel.close(200, "OK".into())).await,
        }
    }

    /// Whether we may have a reply queue, which goes with this connection.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] if not.
    pub async fn may_listen(&self) -> Result<(), BrokerError> {
        let channel = self.session.channel().await?;
        let options = QueueDeclareOptions { auto_delete: true, ..QueueDeclareOptions::exclusive() };
        let declared = channel.queue_declare(ShortString::default(), options, FieldTable::default());
        let name = self.session.within("queue.declare", declared).await?.name().clone();
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let consuming = channel.basic_consume(name, ShortString::default(), options, FieldTable::default());
        self.session.within("basic.consume", consuming).await?;
        self.session.within("channel.close", channel.close(200, "OK".into())).await
    }

    /// Whether we may publish to an exchange: asked with a message that expires at no number, of a user who is not us. The
    /// reason why the broker takes nothing from anybody, if it does not; the visit is over then.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] if not.
    pub async fn may_publish(&self, exchange: &str) -> Result<Option<String>, BrokerError> {
        let channel = self.session.channel().await?;
        let confirming = channel.confirm_select(ConfirmSelectOptions::default());
        self.session.within("confirm.select", confirming).await?;
        let mut events = std::pin::pin!(self.session.events());
        let blocked = async {
            loop {
                match events.next().await {
                    Some(Event::ConnectionBlocked(reason)) => return reason,
                    Some(_) => {}
                    None => std::future::pending().await,
                }
            }
        };
        let properties =
            BasicProperties::default().with_expiration("never".into()).with_user_id("nobody at all".into());
        let (to, key) = (exchange.into(), "nowhere".into());
        let published =
            async { channel.basic_publish(to, key, BasicPublishOptions::default(), b"", properties).await?.await };
        tokio::select! {
            reason = blocked => {
                self.session.abandon();
                Ok(Some(reason))
            }
            word = self.session.within("basic.publish", published) => match word {
                Err(error) if error.is_precondition() => Ok(None),
                Err(error) => Err(error),
                Ok(_) => Ok(None),
            },
        }
    }

    /// Ends the connection.
    pub async fn close(self) {
        self.session.close().await;
    }
}
