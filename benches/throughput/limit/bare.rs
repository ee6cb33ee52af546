//! P and C: the bare loop between a message and its rows. No HTTP, keys, look-ups, deduplication.
//!
//! P publishes with confirms while two lanes consume, write and acknowledge; it ends when the last
//! row is committed. C finds the queues filled and only does the second half. Confirm window and
//! batch are swept once, the best three plans twice; the best of them is P's and C's.
//!
//! **Invariant:** every message is confirmed, committed and acknowledged, in that order, before the clock stops.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::{FuturesUnordered, select_all};
use lapin::options::{BasicAckOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Connection};
use leadline::lead::LeadMessage;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::rows;
use crate::Outcome;
use crate::ground::{Ground, Queues, SHARDS, Scratch, Seeds};
use crate::load::message;

const PUBLISHERS: usize = 2;
const LANES: usize = 2;
const WINDOWS: [usize; 3] = [128, 512, 2048];
const BATCHES: [usize; 3] = [256, 512, 1024];
/// For a quick look.
const PLANS: [Plan; 3] =
    [Plan { window: 512, batch: 512 }, Plan { window: 2048, batch: 512 }, Plan { window: 2048, batch: 1024 }];
const SWEEP: usize = 12_000;
const HANG_UP_WITHIN: Duration = Duration::from_secs(5);

/// Plans of the sweep that are tried again, so that no single lucky moment decides.
const TRIED_AGAIN: usize = 3;

/// What the sweep varies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Unconfirmed messages per publishing channel.
    pub(crate) window: usize,
    /// Most messages in one transaction, and prefetched per queue.
    pub(crate) batch: usize,
}

/// The bare loop and what it works on.
#[derive(Debug)]
pub(crate) struct Bare<'a> {
    pub(crate) scratch: &'a Scratch,
    pub(crate) queues: &'a Queues,
    pub(crate) seeds: &'a Seeds,
}

struct Tally {
    committed: AtomicUsize,
    count: usize,
    done: CancellationToken,
}

impl<'a> Bare<'a> {
    /// On the databases and queues that are the limit's.
    pub(crate) fn on(ground: &'a Ground) -> Self {
        Self { scratch: &ground.bare_base, queues: &ground.bare_queues, seeds: &ground.seeds }
    }

    /// The best plan of the sweep, and its messages per second.
    pub(crate) async fn sweep(&self, quick: bool) -> Outcome<(Plan, f64)> {
        self.through(Plan { window: 512, batch: 512 }, SWEEP).await?;
        let every = WINDOWS.iter().flat_map(|window| BATCHES.map(|batch| Plan { window: *window, batch }));
        let mut tried = Vec::new();
        for plan in if quick { PLANS.to_vec() } else { every.collect() } {
            tried.push((plan, self.through(plan, SWEEP).await?));
        }
        tried.sort_by(|a, b| b.1.total_cmp(&a.1));
        tried.truncate(TRIED_AGAIN);
        for (plan, rate) in &mut tried {
            *rate = f64::midpoint(*rate, self.through(*plan, SWEEP).await?);
        }
        let best = tried.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).ok_or("nothing was tried")?;
        eprintln!("  P: best window {} per channel, batch {}: {:.0}/s", best.0.window, best.0.batch, best.1);
        Ok(best)
    }

    /// P: messages per second, first publish to last acknowledgement.
    pub(crate) async fn through(&self, plan: Plan, count: usize) -> Outcome<f64> {
        self.clear().await?;
        let (publishing, consuming) = (self.queues.connect().await?, self.queues.connect().await?);
        let began = Instant::now();
        let (published, consumed) =
            tokio::join!(self.publish(&publishing, plan, count), self.consume(&consuming, plan, count));
        published?;
        consumed?;
        let rate = per_s(count, began);
        hang_up([publishing, consuming]).await;
        Ok(rate)
    }

    /// C: messages per second from filled queues, first consume to last acknowledgement.
    pub(crate) async fn drain(&self, plan: Plan, count: usize) -> Outcome<f64> {
        self.fill_anew(plan, count).await?;
        self.drain_filled(plan, count).await
    }

    /// The second half of C: the queues hold so many messages.
    pub(crate) async fn drain_filled(&self, plan: Plan, count: usize) -> Outcome<f64> {
        let consuming = self.queues.connect().await?;
        let began = Instant::now();
        self.consume(&consuming, plan, count).await?;
        let rate = per_s(count, began);
        hang_up([consuming]).await;
        Ok(rate)
    }

    /// Empties everything, then fills the queues.
    pub(crate) async fn fill_anew(&self, plan: Plan, count: usize) -> Outcome<()> {
        self.clear().await?;
        self.fill(plan, count).await
    }

    /// Empties queues and tables.
    pub(super) async fn clear(&self) -> Outcome<()> {
        self.queues.purge().await?;
        self.scratch.empty().await
    }

    /// Fills the queues.
    pub(crate) async fn fill(&self, plan: Plan, count: usize) -> Outcome<()> {
        let publishing = self.queues.connect().await?;
        self.publish(&publishing, plan, count).await?;
        hang_up([publishing]).await;
        Ok(())
    }

    async fn publish(&self, connection: &Connection, plan: Plan, count: usize) -> Outcome<()> {
        let mut tasks = JoinSet::new();
        for n in 0..PUBLISHERS {
            let channel = connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            let share = count / PUBLISHERS + usize::from(n < count % PUBLISHERS);
            tasks.spawn(publish(channel, self.queues.exchange(), self.seeds.clone(), plan.window, share));
        }
        all(tasks).await
    }

    async fn consume(&self, connection: &Connection, plan: Plan, count: usize) -> Outcome<()> {
        let done = CancellationToken::new();
        let tally = Arc::new(Tally { committed: AtomicUsize::new(0), count, done });
        let prefetch = u16::try_from(plan.batch)?;
        let mut tasks = JoinSet::new();
        for _ in 0..LANES {
            let channel = connection.create_channel().await?;
            let mut consumers = Vec::new();
            for key in SHARDS {
                consumers.push(self.queues.consume(&channel, key, prefetch).await?);
            }
            let deliveries = select_all(consumers).ready_chunks(plan.batch);
            tasks.spawn(lane(channel, deliveries, self.scratch.pool.clone(), Arc::clone(&tally)));
        }
        all(tasks).await
    }
}

async fn publish(channel: Channel, exchange: String, seeds: Seeds, window: usize, count: usize) -> Outcome<()> {
    let mut rng = SmallRng::from_os_rng();
    let mut confirms = FuturesUnordered::new();
    for _ in 0..count {
        if confirms.len() >= window {
            confirmed(confirms.next().await)?;
        }
        let click = seeds.clicks.get(rng.random_range(0..seeds.clicks.len())).ok_or("no clicks")?;
        let message = message(seeds.workspace_id, rng.random(), click);
        let key = SHARDS.get(usize::from(message.shard())).ok_or("no such shard")?;
        let body = message.encode()?;
        let sent = channel.basic_publish(
            exchange.as_str().into(),
            (*key).into(),
            BasicPublishOptions::default(),
            &body,
            properties(&message),
        );
        confirms.push(sent.await?);
    }
    while !confirms.is_empty() {
        confirmed(confirms.next().await)?;
    }
    Ok(())
}

/// Persistent, with the lead's id, as the product publishes.
pub(super) fn properties(message: &LeadMessage) -> BasicProperties {
    BasicProperties::default()
        .with_delivery_mode(2)
        .with_content_type("application/json".into())
        .with_message_id(message.id.to_string().into())
}

fn confirmed(confirm: Option<lapin::Result<lapin::Confirmation>>) -> Outcome<()> {
    match confirm {
        Some(Ok(lapin::Confirmation::Ack(None))) => Ok(()),
        Some(Err(error)) => Err(error.into()),
        other => Err(format!("a message was not confirmed: {other:?}").into()),
    }
}

async fn lane<S>(channel: Channel, mut deliveries: S, pool: PgPool, tally: Arc<Tally>) -> Outcome<()>
where
    S: futures_util::Stream<Item = Vec<lapin::Result<lapin::message::Delivery>>> + Unpin,
{
    let mut connection = pool.acquire().await?;
    let mut settled = Settled { lowest: 1, above: BTreeSet::new() };
    loop {
        let batch = tokio::select! {
            batch = deliveries.next() => batch.ok_or("the broker ended the consumers")?,
            () = tally.done.cancelled() => return Ok(()),
        };
        let batch = batch.into_iter().collect::<lapin::Result<Vec<_>>>()?;
        let mut messages = Vec::with_capacity(batch.len());
        for delivery in &batch {
            messages.push(LeadMessage::decode(&delivery.data)?);
        }
        rows::write(&mut connection, &mut messages).await?;
        if let Some(tag) = settled.through(batch.iter().map(|delivery| delivery.delivery_tag)) {
            channel.basic_ack(tag, BasicAckOptions { multiple: true }).await?;
        }
        let before = tally.committed.fetch_add(batch.len(), Ordering::Relaxed);
        if before + batch.len() >= tally.count {
            tally.done.cancel();
        }
    }
}

/// Which tags are written: four consumers share a channel, so batches leave gaps.
struct Settled {
    lowest: u64,
    above: BTreeSet<u64>,
}

impl Settled {
    /// The tag up to which everything is written, if it moved.
    fn through(&mut self, tags: impl Iterator<Item = u64>) -> Option<u64> {
        let before = self.lowest;
        self.above.extend(tags);
        while self.above.remove(&self.lowest) {
            self.lowest += 1;
        }
        (self.lowest > before).then_some(self.lowest - 1)
    }
}

async fn all(mut tasks: JoinSet<Outcome<()>>) -> Outcome<()> {
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// Ends connections whose work is done. Their channels may be closing already, which lapin calls an error; and
/// once, after tasks that used them had been stopped, it never came back.
pub(super) async fn hang_up<const N: usize>(connections: [Connection; N]) {
    for connection in connections {
        drop(timeout(HANG_UP_WITHIN, connection.close(200, "OK".into())).await);
    }
}

fn per_s(count: usize, began: Instant) -> f64 {
    count as f64 / began.elapsed().as_secs_f64()
}
