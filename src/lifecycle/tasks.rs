//! Supervised tasks: whoever ends before the stop was asked for takes the application down with him.
//!
//! A task that returns early or panics is a bug, and a process that limps on without it would accept
//! what nobody processes. So the first such end asks for the stop and is reported as the cause.
//!
//! **Invariant:** this is the only place that spawns tasks whose end matters.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::JoinSet;

use super::Stop;

/// A set of named tasks that live as long as the application.
#[derive(Debug)]
pub struct Tasks {
    stop: Stop,
    set: JoinSet<()>,
    running: Arc<Mutex<Vec<&'static str>>>,
    cause: Arc<Mutex<Option<Ended>>>,
}

/// A task that ended before the stop was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// It returned.
    #[error("task {0} returned although nobody had asked it to stop")]
    Returned(&'static str),
    /// It gave up, and said why.
    #[error("task {0} gave up: {1}")]
    Failed(&'static str, String),
    /// It panicked.
    #[error("a task panicked: {0}")]
    Panicked(String),
}

impl Tasks {
    /// An empty set under a stop.
    #[must_use]
    pub fn new(stop: Stop) -> Self {
        Self { stop, set: JoinSet::new(), running: Arc::default(), cause: Arc::default() }
    }

    /// The stop these tasks live under.
    #[must_use]
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Starts a task that must run until the stop is asked for.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_fallible(name, async move {
            task.await;
            Ok::<(), std::convert::Infallible>(())
        });
    }

    /// Starts a task that must run until the stop is asked for, and may give up with a reason.
    pub fn spawn_fallible<E: std::fmt::Display>(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let stop = self.stop.clone();
        let cause = Arc::clone(&self.cause);
        let running = Arc::clone(&self.running);
        lock(&running).push(name);
        self.set.spawn(async move {
            let ended = match task.await {
                Err(error) => Some(Ended::Failed(name, error.to_string())),
                Ok(()) => (!stop.is_asked()).then_some(Ended::Returned(name)),
            };
            if let Some(ended) = ended {
                lock(&cause).get_or_insert(ended);
                stop.ask();
            }
            let mut running = lock(&running);
            if let Some(place) = running.iter().position(|other| *other == name) {
                running.swap_remove(place);
            }
        });
    }

    /// Waits until every task has ended, at most until the hard stop; then aborts the rest.
    ///
    /// Returns the names of those that had to be aborted.
    ///
    /// # Errors
    /// [`Ended`] when a task ended before the stop was asked for.
    pub async fn join(mut self) -> Result<Vec<&'static str>, Ended> {
        let stop = self.stop.clone();
        while let Some(Some(ended)) = stop.unless_forced(self.set.join_next()).await {
            if let Err(error) = ended
                && error.is_panic()
            {
                self.note(Ended::Panicked(panic_text(error.into_panic())));
                stop.ask();
            }
        }
        let left = if self.set.is_empty() { Vec::new() } else { std::mem::take(&mut *lock(&self.running)) };
        self.set.shutdown().await;
        let cause = lock(&self.cause).take();
        cause.map_or(Ok(left), Err)
    }

    fn note(&self, ended: Ended) {
        lock(&self.cause).get_or_insert(ended);
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::needless_pass_by_value, reason = "the payload of a panic is handed over, not lent")]
fn panic_text(payload: Box<dyn std::any::Any + Send>) -> String {
    payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_returns_early_stops_the_others() {
        let stop = Stop::new();
        let mut tasks = Tasks::new(stop.clone());
        let patient = stop.clone();
        tasks.spawn("patient", async move { patient.asked().await });
        tasks.spawn("hasty", async {});
        assert_eq!(tasks.join().await, Err(Ended::Returned("hasty")));
    }

    #[tokio::test]
    async fn a_hard_stop_aborts_and_names_the_rest() {
        let stop = Stop::new();
        let mut tasks = Tasks::new(stop.clone());
        let patient = stop.clone();
        tasks.spawn("patient", async move { patient.asked().await });
        tasks.spawn("deaf", std::future::pending());
        stop.ask();
        while lock(&tasks.running).len() > 1 {
            tokio::task::yield_now().await;
        }
        stop.force();
        assert_eq!(tasks.join().await, Ok(vec!["deaf"]));
    }
}
