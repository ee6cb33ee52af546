//! The reply queue of one process: exclusive, named by the server, gone with its connection.
//!
//! Enters: nothing. Leaves: replies as they arrive. A reply is a convenience, so the queue is a classic
//! one that drops its oldest when nobody reads, and nothing is acknowledged.
//!
//! **Invariant:** a reply is never worth waiting for the queue: what does not fit is dropped.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use lapin::options::{BasicConsumeOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Consumer};
use tokio_util::sync::DropGuard;

use super::session::Session;
use super::{BrokerError, ReplyDelivery};

/// Replies the broker keeps for us before it drops the oldest.
const MAX_LENGTH: i32 = 16_384;

/// The reply queue, open.
#[derive(Debug)]
pub struct ReplyInlet {
    session: Arc<Session>,
    channel: Channel,
    consumer: Consumer,
    queue: String,
    _held: Arc<DropGuard>,
}

impl ReplyInlet {
    pub(super) async fn open(session: Arc<Session>, held: Arc<DropGuard>) -> Result<Self, BrokerError> {
        let channel = session.channel().await?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(MAX_LENGTH));
        arguments.insert("x-overflow".into(), AMQPValue::LongString("drop-head".into()));
        let options = QueueDeclareOptions { auto_delete: true, ..QueueDeclareOptions::exclusive() };
        let declared = channel.queue_declare(ShortString::default(), options, arguments);
        let declared = session.within("queue.declare", declared).await?;
        let options = BasicConsumeOptions { no_ack: true, exclusive: true, ..BasicConsumeOptions::default() };
        let name = declared.name().clone();
        let consuming = channel.basic_consume(name.clone(), ShortString::default(), options, FieldTable::default());
        let consumer = session.within("basic.consume", consuming).await?;
        Ok(Self { queue: name.as_str().to_owned(), session, channel, consumer, _held: held })
    }

    /// The name to put into `reply_to`; another one after every reconnect.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// Waits for one reply, then takes all that have arrived. Cancel-safe.
    ///
    /// # Errors
    /// The queue is gone: open another.
    pub async fn receive(&mut self, into: &mut Vec<ReplyDelivery>) -> Result<(), BrokerError> {
        let session = Arc::clone(&self.session);
        tokio::select! {
            biased;
            () = session.gone() => Err(BrokerError::Gone("the connection")),
            arrived = std::future::poll_fn(|cx| self.poll_arrived(cx, into)) => arrived,
        }
    }

    /// Closes the channel, and with it the queue.
    pub async fn close(self) {
        let closed = self.channel.close(200, "OK".into());
        if let Err(error) = self.session.within("channel.close", closed).await {
            tracing::debug!(%error, "channel not closed in good order");
        }
    }

    fn poll_arrived(&mut self, cx: &mut Context<'_>, into: &mut Vec<ReplyDelivery>) -> Poll<Result<(), BrokerError>> {
        let before = into.len();
        loop {
            match Pin::new(&mut self.consumer).poll_next(cx) {
                Poll::Ready(Some(delivery)) => ReplyDelivery::open(delivery?, into),
                Poll::Ready(None) => return Poll::Ready(Err(BrokerError::Gone("a consumer"))),
                Poll::Pending if into.len() > before => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
