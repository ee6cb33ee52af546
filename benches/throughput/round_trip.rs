//! The bare round trip: publish to the wait queue, consume, commit one lead's rows, reply.
//!
//! One in flight, closed loop or paced. The reply is the evidence, so the publish is not confirmed
//! separately; publishing and consuming have their own connections, as in the product.
//!
//! **Invariant:** the clock stops only at the reply to a committed lead.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Consumer};
use leadline::lead::LeadMessage;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use sqlx::PgPool;

use crate::bare::{Bare, hang_up, properties};
use crate::queues::WAIT;
use crate::template::message;
use crate::{Outcome, rows};

impl Bare<'_> {
    /// Round trips for so long, `pace` per second or 0 for a closed loop; each in milliseconds.
    pub(crate) async fn round_trips(&self, seconds: f64, pace: f64) -> Outcome<Vec<f64>> {
        let (publishing, consuming) = (self.queues.connect().await?, self.queues.connect().await?);
        let inlet = consuming.create_channel().await?;
        let letters = self.queues.consume(&inlet, WAIT, 64).await?;
        let replies = consuming.create_channel().await?;
        let (queue, inbox) = reply_queue(&replies).await?;
        let (asking, answering) = (publishing.create_channel().await?, publishing.create_channel().await?);
        let took = tokio::select! {
            took = self.ask(&asking, inbox, &queue, seconds, pace) => took?,
            ended = serve(inlet, letters, answering, self.scratch.pool.clone()) => {
                ended?;
                return Err("the bare worker ended".into());
            }
        };
        hang_up([publishing, consuming]).await;
        Ok(took)
    }

    async fn ask(
        &self,
        channel: &Channel,
        mut inbox: Consumer,
        queue: &str,
        seconds: f64,
        pace: f64,
    ) -> Outcome<Vec<f64>> {
        let until = Instant::now() + Duration::from_secs_f64(seconds);
        let mut rng = SmallRng::from_os_rng();
        let (mut took, mut next) = (Vec::new(), tokio::time::Instant::now());
        while Instant::now() < until {
            if pace > 0.0 {
                tokio::time::sleep_until(next).await;
                next += Duration::from_secs_f64(1.0 / pace);
            }
            let clicks = &self.seeds.clicks;
            let click = clicks.get(rng.random_range(0..clicks.len())).ok_or("no clicks")?;
            let began = Instant::now();
            let message = message(self.seeds.workspace_id, rng.random(), click);
            let properties = properties(&message).with_reply_to(queue.into());
            let body = message.encode()?;
            let sent = channel.basic_publish(
                self.queues.exchange().into(),
                WAIT.into(),
                BasicPublishOptions::default(),
                &body,
                properties,
            );
            sent.await?;
            let reply = inbox.next().await.ok_or("the reply queue is gone")??;
            took.push(began.elapsed().as_secs_f64() * 1000.0);
            let correlation = reply.properties.correlation_id().as_ref().map(|id| id.as_str());
            if correlation != Some(message.id.to_string().as_str()) {
                return Err("a reply to another request".into());
            }
        }
        Ok(took)
    }
}

async fn reply_queue(channel: &Channel) -> Outcome<(String, Consumer)> {
    let queue = channel.queue_declare("".into(), QueueDeclareOptions::exclusive(), FieldTable::default()).await?;
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let name = queue.name().to_string();
    let inbox = channel.basic_consume(name.as_str().into(), "".into(), options, FieldTable::default());
    Ok((name, inbox.await?))
}

async fn serve(inlet: Channel, mut letters: Consumer, replies: Channel, pool: PgPool) -> Outcome<()> {
    let mut connection = pool.acquire().await?;
    while let Some(delivery) = letters.next().await {
        let delivery = delivery?;
        let message = LeadMessage::decode(&delivery.data)?;
        let id = message.id.to_string();
        rows::write(&mut connection, &mut [message]).await?;
        let queue = delivery.properties.reply_to().clone().ok_or("nobody asks")?;
        let body = format!(r#"{{"v":1,"id":"{id}","ending":"recorded"}}"#);
        let properties = BasicProperties::default().with_correlation_id(id.into());
        replies.basic_publish("".into(), queue, BasicPublishOptions::default(), body.as_bytes(), properties).await?;
        inlet.basic_ack(delivery.delivery_tag, BasicAckOptions::default()).await?;
    }
    Ok(())
}
