//! Resolves requests in batches: those that arrive while a statement runs form the next one.
//!
//! A click never changes, so it is kept; a link's state is believed for a moment; "unknown" is never
//! kept. While `PostgreSQL` is away nobody waits, and a request that waited too long goes on unresolved.
//!
//! **Invariant:** an answer is never older than `link_ttl` in what it says of a link, and never
//! says "unknown" from memory.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::config;
use crate::lifecycle::{Stop, Tasks};
use crate::store::{Click, Found, FoundLink, Question, Store};
use crate::telemetry::Metrics;

/// A handle on the resolver; clones share caches and lanes.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    asks: mpsc::Sender<Ask>,
    clicks: Cache<String, Arc<Click>>,
    links: Cache<Uuid, Arc<FoundLink>>,
    store: Store,
    patience: Duration,
    metrics: Metrics,
}

#[derive(Debug)]
struct Ask {
    question: Question,
    answer: oneshot::Sender<Found>,
}

impl Resolver {
    /// Starts the lanes that run the statements.
    pub(super) fn start(store: &Store, config: &config::Intake, metrics: &Metrics, tasks: &mut Tasks) -> Self {
        let (asks, queue) = mpsc::channel(config.max_in_flight.max(1));
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..config.resolve_lanes {
            let (queue, store, metrics) = (Arc::clone(&queue), store.clone(), metrics.clone());
            tasks.spawn("resolver", serve(queue, store, metrics, config.resolve_batch, tasks.stop().clone()));
        }
        Self {
            asks,
            clicks: Cache::new(config.click_cache),
            links: Cache::builder().max_capacity(config.click_cache).time_to_live(config.link_ttl).build(),
            store: store.clone(),
            patience: config.resolve_timeout,
            metrics: metrics.clone(),
        }
    }

    /// Answers one question, or `None` when that takes too long or `PostgreSQL` is away. Cancel-safe.
    pub(super) async fn resolve(&self, mut question: Question) -> Option<Found> {
        let began = Instant::now();
        let click = question.click_id.as_ref().and_then(|id| self.clicks.get(id));
        let mut link = None;
        if let Some(click) = &click {
            question.click_id = None;
            link = self.links.get(&click.link_id);
            question.link_id = link.is_none().then_some(click.link_id);
        }
        let follow_up = click.is_none() && question.click_id.is_none();
        let found =
            if self.store.is_up() { timeout(self.patience, self.ask(question)).await.ok().flatten() } else { None };
        let result = if found.is_some() { "resolved" } else { "skipped" };
        self.metrics.resolve_seconds.with_label_values(&[result]).observe(began.elapsed().as_secs_f64());
        let mut found = found?;
        self.remember(&found, follow_up);
        if let Some(click) = click {
            found.click = Some(Click::clone(&click));
        }
        if let Some(link) = link {
            found.link = Some(FoundLink::clone(&link));
        }
        Some(found)
    }

    async fn ask(&self, question: Question) -> Option<Found> {
        let (answer, answered) = oneshot::channel();
        self.asks.send(Ask { question, answer }).await.ok()?;
        answered.await.ok()
    }

    fn remember(&self, found: &Found, follow_up: bool) {
        if let Some(click) = &found.click {
            self.clicks.insert(click.click_id.clone(), Arc::new(click.clone()));
        }
        if let Some(link) = found.link.as_ref().filter(|_| !follow_up) {
            self.links.insert(link.id, Arc::new(link.clone()));
        }
    }
}

async fn serve(queue: Arc<Mutex<mpsc::Receiver<Ask>>>, store: Store, metrics: Metrics, most: usize, stop: Stop) {
    let mut asks = Vec::with_capacity(most);
    loop {
        let taken = stop.unless_asked(async { queue.lock().await.recv_many(&mut asks, most).await }).await;
        if taken.is_none_or(|n| n == 0) {
            // Whoever asks has ended before the stop of this stage: nothing comes any more.
            return stop.asked().await;
        }
        asks.retain(|ask| !ask.answer.is_closed());
        let (questions, answers): (Vec<Question>, Vec<_>) =
            asks.drain(..).map(|ask| (ask.question, ask.answer)).unzip();
        if questions.is_empty() {
            continue;
        }
        metrics.resolve_batch.with_label_values(&[] as &[&str]).observe(questions.len() as f64);
        match store.find(&questions).await {
            Ok(found) => answers.into_iter().zip(found).for_each(|(answer, found)| drop(answer.send(found))),
            Err(error) => tracing::debug!(%error, "requests go on unresolved"),
        }
    }
}
