//! The bare round trip: publish to the wait queue, consume, commit the lead's rows, reply.
//!
//! Open loop: requests fall due evenly and are timed from then, as `wait` requests are. What piled up
//! while a transaction ran is the next one, so that a bare worker is never slower than it need be. The
//! reply is the evidence, so the publish is not confirmed separately; publishing and consuming have their
//! own connections, as in the product.
//!
//! **Invariant:** the clock of a request stops only at the reply to its committed lead.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Consumer};
use leadline::lead::LeadMessage;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use sqlx::PgPool;
use tokio::task::JoinSet;

use super::bare::{Bare, hang_up, properties};
use super::rows;
use crate::Outcome;
use crate::ground::{Seeds, WAIT};
use crate::load::{Ticker, message};
use crate::stats::{self, Times};

/// Messages in hand, and most of them in one transaction.
const PREFETCH: u16 = 256;
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);

/// From when the requests under way are timed, by correlation id.
type UnderWay = Arc<Mutex<HashMap<String, Instant>>>;

impl Bare<'_> {
    /// Round trips at a rate, for so long.
    pub(crate) async fn round_trips(&self, seconds: f64, rate: f64) -> Outcome<Times> {
        self.clear().await?;
        let (publishing, consuming) = (self.queues.connect().await?, self.queues.connect().await?);
        let inlet = consuming.create_channel().await?;
        let letters = self.queues.consume(&inlet, WAIT, PREFETCH).await?;
        let replies = consuming.create_channel().await?;
        let (queue, inbox) = reply_queue(&replies).await?;
        let (asking, answering) = (publishing.create_channel().await?, publishing.create_channel().await?);
        let most = (seconds * rate).round().max(1.0) as u32;
        let under_way = UnderWay::default();
        let asker = Asker { channel: asking, exchange: self.queues.exchange(), queue, seeds: self.seeds.clone() };
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(inlet, letters, answering, self.scratch.pool.clone()));
        tasks.spawn(asker.ask(Arc::clone(&under_way), rate, most));
        let limit = Duration::from_secs_f64(seconds) + ANSWERED_WITHIN;
        let answers = tokio::time::timeout(limit, take(inbox, under_way, most));
        let took = tokio::select! {
            took = answers => took.map_err(|_| format!("the bare round trip cannot keep up with {rate:.0}/s"))??,
            error = failed(&mut tasks) => return Err(error),
        };
        tasks.shutdown().await;
        hang_up([publishing, consuming]).await;
        Ok(Times::of(took))
    }
}

/// The first failure of the tasks; the asker's good end is none.
async fn failed(tasks: &mut JoinSet<Outcome<()>>) -> Box<dyn std::error::Error + Send + Sync> {
    loop {
        match tasks.join_next().await {
            Some(Ok(Ok(()))) => {}
            Some(Ok(Err(error))) => return error,
            Some(Err(error)) => return error.into(),
            None => return "the bare worker ended".into(),
        }
    }
}

struct Asker {
    channel: Channel,
    exchange: String,
    queue: String,
    seeds: Seeds,
}

impl Asker {
    async fn ask(self, under_way: UnderWay, rate: f64, most: u32) -> Outcome<()> {
        let interval = Duration::from_secs_f64(1.0 / rate);
        let (began, mut ticker) = (Instant::now(), Ticker::every(interval)?);
        let mut rng = SmallRng::from_os_rng();
        let mut n = 0;
        while n < most {
            for _ in 0..ticker.ticks().await? {
                n += 1;
                self.send(&mut rng, &under_way, began + interval * n).await?;
                if n == most {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn send(&self, rng: &mut SmallRng, under_way: &UnderWay, due: Instant) -> Outcome<()> {
        let clicks = &self.seeds.clicks;
        let click = clicks.get(rng.random_range(0..clicks.len())).ok_or("no clicks")?;
        let message = message(self.seeds.workspace_id, rng.random(), click);
        let properties = properties(&message).with_reply_to(self.queue.as_str().into());
        under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(message.id.to_string(), due);
        let body = message.encode()?;
        let options = BasicPublishOptions::default();
        self.channel.basic_publish(self.exchange.as_str().into(), WAIT.into(), options, &body, properties).await?;
        Ok(())
    }
}

/// Takes all replies; how long each took, in milliseconds.
async fn take(mut inbox: Consumer, under_way: UnderWay, most: u32) -> Outcome<Vec<f64>> {
    let mut took = Vec::new();
    while took.len() < most as usize {
        let reply = inbox.next().await.ok_or("the reply queue is gone")??;
        let correlation = reply.properties.correlation_id().as_ref().map(|id| id.as_str().to_owned());
        let due = under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&correlation.unwrap_or_default());
        took.push(stats::ms(due.ok_or("a reply to no request")?.elapsed()));
    }
    Ok(took)
}

async fn reply_queue(channel: &Channel) -> Outcome<(String, Consumer)> {
    let queue = channel.queue_declare("".into(), QueueDeclareOptions::exclusive(), FieldTable::default()).await?;
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let name = queue.name().to_string();
    let inbox = channel.basic_consume(name.as_str().into(), "".into(), options, FieldTable::default());
    Ok((name, inbox.await?))
}

async fn serve(inlet: Channel, letters: Consumer, replies: Channel, pool: PgPool) -> Outcome<()> {
    let mut connection = pool.acquire().await?;
    let mut letters = letters.ready_chunks(usize::from(PREFETCH));
    while let Some(batch) = letters.next().await {
        let batch = batch.into_iter().collect::<lapin::Result<Vec<_>>>()?;
        let mut messages = Vec::with_capacity(batch.len());
        for delivery in &batch {
            messages.push(LeadMessage::decode(&delivery.data)?);
        }
        let ids: Vec<String> = messages.iter().map(|message| message.id.to_string()).collect();
        rows::write(&mut connection, &mut messages).await?;
        for (delivery, id) in batch.iter().zip(ids) {
            let queue = delivery.properties.reply_to().clone().ok_or("nobody asks")?;
            let body = format!(r#"{{"v":1,"id":"{id}","ending":"recorded"}}"#);
            let properties = BasicProperties::default().with_correlation_id(id.into());
            replies
                .basic_publish("".into(), queue, BasicPublishOptions::default(), body.as_bytes(), properties)
                .await?;
        }
        if let Some(last) = batch.last() {
            inlet.basic_ack(last.delivery_tag, BasicAckOptions { multiple: true }).await?;
        }
    }
    Err("the broker ended the bare worker's consumer".into())
}
