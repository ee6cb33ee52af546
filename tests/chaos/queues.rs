//! The suite's own hand in the broker, past every proxy: plants messages.
//!
//! The names are spelt here once more on purpose: topology v1 must not move.
//!
//! **Invariant:** each call uses a connection of its own, so that no fault of the broker outlasts it here.

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use leadline::lead::LeadMessage;
use tokio::time::timeout;

use crate::clock::EVENTUALLY;

/// Every queue of topology v1.
pub(crate) const QUEUES: [&str; 6] = ["s00", "s01", "s02", "s03", "wait", "dead"];

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
    /// Its nodes; any will do.
    pub(crate) urls: Vec<String>,
}

impl Queues {
    /// Publishes, and says of each whether the broker took it.
    pub(crate) async fn plant(&self, planted: &[Planted]) -> Result<Vec<bool>, String> {
        let (connection, channel) = soon(async {
            let (connection, channel) = self.open().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Ok((connection, channel))
        })
        .await?;
        let mut taken = Vec::with_capacity(planted.len());
        for some in planted.chunks(500) {
            taken.extend(soon(published(&channel, some)).await?);
        }
        soon(connection.close(200, "OK".into())).await?;
        Ok(taken)
    }

    /// A channel on the first node that gives one.
    async fn open(&self) -> lapin::Result<(Connection, Channel)> {
        let mut last = None;
        for url in &self.urls {
            match Connection::connect(url, ConnectionProperties::default()).await {
                Ok(connection) => {
                    let channel = connection.create_channel().await?;
                    return Ok((connection, channel));
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| lapin::ErrorKind::MissingHeartbeatError.into()))
    }
}

async fn published(channel: &Channel, planted: &[Planted]) -> lapin::Result<Vec<bool>> {
    let mut confirms = Vec::with_capacity(planted.len());
    for Planted { queue, id, body } in planted {
        let properties = BasicProperties::default().with_delivery_mode(2).with_message_id(id.as_str().into());
        let options = BasicPublishOptions::default();
        confirms
            .push(channel.basic_publish("leads.v1".into(), queue.as_str().into(), options, body, properties).await?);
    }
    let mut taken = Vec::with_capacity(planted.len());
    for confirm in confirms {
        taken.push(matches!(confirm.await?, Confirmation::Ack(_)));
    }
    Ok(taken)
}

async fn soon<T>(work: impl Future<Output = lapin::Result<T>>) -> Result<T, String> {
    match timeout(EVENTUALLY, work).await {
        Ok(worked) => worked.map_err(|error| error.to_string()),
        Err(_) => Err("RabbitMQ did not answer the suite".to_owned()),
    }
}
