//! Resolves requests, in batches: those that arrive while a statement runs form the next one.
//!
//! (The design stops there. But a statement is soon over, so at a few thousand requests a second nearly each had one of its own;
//! and requests that are looked up together are published together, so what is saved is more than the statement. Therefore
//! the next one begins `intake.gather` after the last one began, unless most of what is under way asks before: a quarter less CPU per
//! lead at a fifth of the peak, and a tenth more leads per second at it. Whoever is alone never waits.)
//!
//! The leads of one request are asked for together, as many at a time as fit into a statement, so that other
//! requests have their turn between. A click never changes, so it is kept; a link's state is believed for a
//! moment; "unknown" is never kept. While `PostgreSQL` is away nobody waits, and a request that waited too long
//! goes on unresolved.
//!
//! (A `wait` on a click and a link in memory is not looked up at all, unless its customer has been through here lately: whatever
//! else a look-up would say, the worker finds out when it records the lead, and says it in its reply. Somebody new, as most are who
//! are waited for, is answered sooner by a statement and its wait; of somebody known what is stored is looked up afterwards. A
//! repeat that only another process knows of ends `duplicate` under an id of its own, as one that overtakes its first does.)
//!
//! **Invariant:** an answer is never older than `link_ttl` in what it says of a link, and never
//! says "unknown" from memory.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use super::met::Met;
use super::permits::Permits;
use crate::config;
use crate::lead::{Mode, TrackLead};
use crate::lifecycle::{Stop, Tasks};
use crate::store::{Click, Found, FoundLink, Question, Store};
use crate::telemetry::Metrics;

/// So many questions are worth a statement, whoever else may come.
const ENOUGH: usize = 32;

/// A handle on the resolver; clones share caches and lanes.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    asks: mpsc::Sender<Ask>,
    clicks: Cache<String, Arc<Click>>,
    links: Cache<Uuid, Arc<FoundLink>>,
    met: Met,
    store: Store,
    patience: Duration,
    /// Most questions in one statement, and so in one ask.
    most: usize,
    metrics: Metrics,
}

/// Questions of one request; never more than one statement may have.
#[derive(Debug)]
struct Ask {
    questions: Vec<Question>,
    answer: oneshot::Sender<Vec<Found>>,
}

/// What memory says to a question.
#[derive(Debug)]
struct Known {
    click: Option<Arc<Click>>,
    link: Option<Arc<FoundLink>>,
    follow_up: bool,
}

impl Resolver {
    /// Starts the lanes that run the statements.
    pub(super) fn start(
        store: &Store,
        permits: &Permits,
        config: &config::Intake,
        metrics: &Metrics,
        tasks: &mut Tasks,
    ) -> Self {
        let (asks, queue) = mpsc::channel(config.max_in_flight.max(1));
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..config.resolve_lanes {
            let lane = Lane {
                store: store.clone(),
                permits: permits.clone(),
                metrics: metrics.clone(),
                most: config.resolve_batch,
                gather: config.gather,
            };
            tasks.spawn("resolver", lane.run(Arc::clone(&queue), tasks.stop().clone()));
        }
        Self {
            asks,
            clicks: Cache::new(config.click_cache),
            met: Met::nobody(),
            links: Cache::builder().max_capacity(config.click_cache).time_to_live(config.link_ttl).build(),
            store: store.clone(),
            patience: config.resolve_timeout,
            most: config.resolve_batch,
            metrics: metrics.clone(),
        }
    }

    /// Waits until `PostgreSQL` has answered, at most until then; returns whether it has. Cancel-safe.
    pub(super) async fn up_by(&self, until: Instant) -> bool {
        self.store.up_by(until).await
    }

    /// How many questions one statement serves.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// What is known without asking of a lead that somebody waits for, the customer taken to be new: its click and a link that it
    /// may be tracked on. `None` if either is not in memory, or the customer may not be new.
    pub(super) fn guess(&self, workspace_id: Uuid, lead: &TrackLead) -> Option<Found> {
        let click = self.clicks.get(lead.click_id.as_ref().filter(|_| lead.mode == Mode::Wait)?)?;
        let link = self.links.get(&click.link_id)?;
        let may_be = link.workspace_id == workspace_id && !link.disabled;
        if !may_be || self.met.note(workspace_id, &lead.customer_external_id) {
            return None;
        }
        let (click, link) = (Some(Click::clone(&click)), Some(FoundLink::clone(&link)));
        Some(Found { recorded: None, click, link, customer: None })
    }

    /// Notes a click that was stored just now: its lead is likely to come here too.
    pub(super) fn note(&self, click: Click) {
        self.clicks.insert(click.click_id.clone(), Arc::new(click));
    }

    /// Answers one question, or `None` when that takes too long or `PostgreSQL` is away. Cancel-safe.
    pub(super) async fn resolve(&self, question: Question) -> Option<Found> {
        self.resolve_all(vec![question]).await.pop().flatten()
    }

    /// Answers the questions of one request, in their order; one statement serves at most [`Resolver::most`]. Cancel-safe.
    pub(super) async fn resolve_all(&self, questions: Vec<Question>) -> Vec<Option<Found>> {
        let began = Instant::now();
        let (asked, known): (Vec<Question>, Vec<Known>) =
            questions.into_iter().map(|question| self.recall(question)).unzip();
        let found =
            if self.store.is_up() { timeout(self.patience, self.ask(asked)).await.ok().flatten() } else { None };
        let result = if found.is_some() { "resolved" } else { "skipped" };
        let (took, seconds) =
            (began.elapsed().as_secs_f64(), self.metrics.resolve_seconds.with_label_values(&[result]));
        known.iter().for_each(|_| seconds.observe(took));
        let mut found = found.unwrap_or_default().into_iter();
        known.into_iter().map(|known| found.next().map(|found| self.complete(found, known))).collect()
    }

    /// Takes out of a question what memory answers.
    fn recall(&self, mut question: Question) -> (Question, Known) {
        self.met.note(question.workspace_id, &question.customer_external_id);
        let click = question.click_id.as_ref().and_then(|id| self.clicks.get(id));
        let mut link = None;
        if let Some(click) = &click {
            question.click_id = None;
            link = self.links.get(&click.link_id);
            question.link_id = link.is_none().then_some(click.link_id);
        }
        let follow_up = click.is_none() && question.click_id.is_none();
        (question, Known { click, link, follow_up })
    }

    /// Remembers an answer, and puts in what memory knew.
    fn complete(&self, mut found: Found, known: Known) -> Found {
        if let Some(click) = &found.click {
            self.clicks.insert(click.click_id.clone(), Arc::new(click.clone()));
        }
        // Many leads bring the same link, and writing to the cache costs more than looking.
        if let Some(link) = found.link.as_ref().filter(|link| !known.follow_up && !self.links.contains_key(&link.id)) {
            self.links.insert(link.id, Arc::new(link.clone()));
        }
        if let Some(click) = known.click {
            found.click = Some(Click::clone(&click));
        }
        if let Some(link) = known.link {
            found.link = Some(FoundLink::clone(&link));
        }
        found
    }

    async fn ask(&self, questions: Vec<Question>) -> Option<Vec<Found>> {
        let (answer, answered) = oneshot::channel();
        self.asks.send(Ask { questions, answer }).await.ok()?;
        answered.await.ok()
    }
}

struct Lane {
    store: Store,
    permits: Permits,
    metrics: Metrics,
    most: usize,
    /// For how long after a statement began questions pile up for the next one.
    gather: Duration,
}

impl Lane {
    async fn run(self, queue: Arc<Mutex<mpsc::Receiver<Ask>>>, stop: Stop) {
        let (mut left, mut resting) = (None, Instant::now());
        loop {
            let Some(asks) = stop.unless_asked(self.gather(&queue, &mut left, resting)).await.flatten() else {
                // Whoever asks has ended before the stop of this stage: nothing comes any more.
                return stop.asked().await;
            };
            resting = Instant::now() + self.gather;
            let mut callers = Vec::with_capacity(asks.len());
            let mut questions = Vec::with_capacity(asks.len());
            for ask in asks.into_iter().filter(|ask| !ask.answer.is_closed()) {
                callers.push((ask.questions.len(), ask.answer));
                questions.extend(ask.questions);
            }
            if questions.is_empty() {
                continue;
            }
            self.metrics.resolve_batch.with_label_values(&[] as &[&str]).observe(questions.len() as f64);
            match self.store.find(&questions).await {
                Ok(found) => {
                    let mut found = found.into_iter();
                    for (count, caller) in callers {
                        drop(caller.send(found.by_ref().take(count).collect()));
                    }
                }
                Err(error) => tracing::debug!(%error, "requests go on unresolved"),
            }
        }
    }

    /// Waits for an ask, until then for the company it has, and takes what fits into one statement; `left` is what did not.
    async fn gather(
        &self,
        queue: &Mutex<mpsc::Receiver<Ask>>,
        left: &mut Option<Ask>,
        resting: Instant,
    ) -> Option<Vec<Ask>> {
        let (first, mut queue) = match left.take() {
            // Another lane may hold the queue, and wait for an ask that never comes.
            Some(ask) => (ask, queue.try_lock().ok()),
            None => {
                let mut queue = queue.lock().await;
                (queue.recv().await?, Some(queue))
            }
        };
        let mut count = first.questions.len();
        let mut asks = vec![first];
        // Whoever can run by now asks before the statement begins.
        yield_now().await;
        while let Some(queue) = &mut queue {
            let next = match queue.try_recv() {
                Ok(ask) => Some(ask),
                Err(_) if count < self.enough() => timeout_at(resting, queue.recv()).await.ok().flatten(),
                Err(_) => None,
            };
            let Some(ask) = next else { break };
            count += ask.questions.len();
            if count > self.most {
                *left = Some(ask);
                break;
            }
            asks.push(ask);
        }
        Some(asks)
    }

    /// How many questions are worth a statement: most of what may come, and one where that is one.
    fn enough(&self) -> usize {
        enough(self.permits.under_way())
    }
}

fn enough(under_way: usize) -> usize {
    (under_way * 3 / 4).min(ENOUGH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_alone_or_one_of_two_never_waits_and_nobody_waits_for_more_than_enough() {
        assert_eq!([0, 1, 2, 3, 4, 16, 1000].map(enough), [0, 0, 1, 2, 3, 12, ENOUGH]);
    }
}
