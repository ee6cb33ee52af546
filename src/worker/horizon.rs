//! How far this process has come: what the broker sent it before its horizon is settled, all of it.
//!
//! A follow-up whose customer nobody knows is refused only when no worker can hold the deferred lead any more. So each
//! lane marks a moment, asks the broker something on its channel, and has passed the moment once everything that came before
//! the answer is settled. What a lane gave back, or lost with its channel, may be in nobody's hands until another has it:
//! its horizon stays until then. All moments are times that `PostgreSQL` told ([`Reporter::run`] asks it five times a second).
//! (The design refused after a fixed wait and named a frozen worker as the exception. Overload turned out to be another: a
//! lane works off what it was sent for seconds. With horizons there is none, and the price is a 503 where a 400 would be
//! due: for `worker.lost_after` after a process or its connection vanished, or while one is that far behind.)
//!
//! **Invariant:** a horizon is never later than the oldest delivery that is, or may be, unsettled because of this process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use crate::broker::{BrokerError, Inlet};
use crate::config;
use crate::lifecycle::Stop;
use crate::store::Store;

/// What one lane knows about its horizon; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Post {
    books: Arc<Mutex<Books>>,
    clock: watch::Receiver<Option<Told>>,
    /// A process that could not report for this long is soon taken for dead.
    silence: Duration,
    /// How long what was lost, and what was given back in good order, may be in nobody's hands.
    lost: Duration,
    returned: Duration,
}

/// Where that is which came on a channel and was not settled when it was let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// There was none. (What was under way just then comes to another at once, long before a follow-up's time is up.)
    None,
    /// The broker has it back, and hands it to whoever has room next.
    Returned,
    /// The broker will have it when it notices.
    Lost,
}

/// A report that was taken: when it was begun here, and the server's time.
#[derive(Debug, Clone, Copy)]
struct Told {
    asked: Instant,
    at: DateTime<Utc>,
}

#[derive(Debug, Default)]
struct Books {
    /// Of the channel that is open.
    open: Option<DateTime<Utc>>,
    /// Of what was let go, until somebody else has it.
    loose: Option<(DateTime<Utc>, Instant)>,
}

/// Tells `PostgreSQL` the horizon of this process.
#[derive(Debug)]
pub(super) struct Reporter {
    worker: Uuid,
    posts: Vec<Post>,
    clock: watch::Sender<Option<Told>>,
    config: config::Worker,
    returned: Duration,
}

impl Reporter {
    /// `patience`: how long a caller waits for an answer; longer than that, nobody learns of a refusal.
    pub(super) fn new(config: &config::Worker, patience: Duration) -> Self {
        let clock = watch::Sender::new(None);
        Self { worker: Uuid::now_v7(), posts: Vec::new(), clock, config: config.clone(), returned: patience }
    }

    /// A post for one more lane.
    pub(super) fn post(&mut self) -> Post {
        let post = Post {
            books: Arc::default(),
            clock: self.clock.subscribe(),
            silence: self.config.lost_after / 2,
            lost: self.config.lost_after,
            returned: self.returned,
        };
        self.posts.push(post.clone());
        post
    }

    /// Reports until the stop, which is asked for when the lanes have left; and then what they left behind.
    pub(super) async fn run(self, store: Store, stop: Stop) {
        while !stop.is_asked() {
            self.report(&store, self.config.lost_after).await;
            stop.unless_asked(sleep(self.config.sweep_every)).await;
        }
        let now = Instant::now();
        let counts = |post: &Post| match *post.lock() {
            Books { open: Some(_), .. } => self.config.lost_after,
            Books { loose, .. } => loose.map(|(_, until)| until.saturating_duration_since(now)).unwrap_or_default(),
        };
        self.report(&store, self.posts.iter().map(counts).max().unwrap_or_default()).await;
    }

    async fn report(&self, store: &Store, counts: Duration) {
        let asked = Instant::now();
        let before = self.clock.borrow().map(|told| told.at);
        let now = match store.report(self.worker, self.horizon(asked), counts).await {
            Ok(now) => now,
            Err(error) => return tracing::debug!(%error, "horizon not reported"),
        };
        if before.is_some_and(|before| now < before) {
            // The server's clock was set back; what was passed by the old time is not by the new one.
            self.posts.iter().for_each(|post| post.set_back(now));
        }
        self.clock.send_replace(Some(Told { asked, at: now }));
    }

    /// The earliest of the lanes; without any, everything before the last report.
    fn horizon(&self, now: Instant) -> Option<DateTime<Utc>> {
        let last = (*self.clock.borrow())?.at;
        self.posts.iter().filter_map(|post| post.lock().earliest(now)).chain([last]).min()
    }
}

impl Books {
    fn earliest(&self, now: Instant) -> Option<DateTime<Utc>> {
        let loose = self.loose.filter(|(_, until)| now < *until).map(|(at, _)| at);
        self.open.into_iter().chain(loose).min()
    }
}

impl Post {
    /// Waits until `PostgreSQL` has heard of this process lately. To be awaited before anything is received. Cancel-safe.
    pub(super) async fn heard(&self) {
        self.told(|told| told.asked.elapsed() < self.silence).await;
    }

    /// Waits until a report begun from now on was taken. Cancel-safe.
    pub(super) async fn heard_anew(&self) {
        let now = Instant::now();
        self.told(|told| told.asked >= now).await;
    }

    /// Waits until no report was taken for half of `worker.lost_after`: what is held must be given back. Cancel-safe.
    pub(super) async fn silent(&self) {
        let asked = || self.clock.borrow().map(|told| told.asked);
        while let Some(until) = asked().map(|asked| asked + self.silence)
            && Instant::now() < until
        {
            sleep_until(until).await;
        }
    }

    /// A channel is about to be opened: nothing was sent on it yet.
    pub(super) fn opening(&self) {
        self.lock().open = self.clock.borrow().map(|told| told.at);
    }

    /// The channel was let go.
    pub(super) fn let_go(&self, rest: Rest) {
        let now = Instant::now();
        let until = match rest {
            Rest::None => now,
            Rest::Returned => now + self.returned,
            Rest::Lost => now + self.lost,
        };
        let mut books = self.lock();
        if let Some(at) = books.open.take() {
            books.loose = Some(match books.loose.filter(|(_, until)| now < *until) {
                Some((earlier, later)) => (earlier.min(at), later.max(until)),
                None => (at, until),
            });
        }
    }

    async fn told(&self, enough: impl Fn(Told) -> bool) {
        let mut clock = self.clock.clone();
        let heard = clock.wait_for(|told| told.is_some_and(&enough)).await.is_ok();
        if !heard {
            // The reporter outlives the lanes; should it not, its end has caused a stop.
            std::future::pending().await
        }
    }

    fn passed(&self, mark: DateTime<Utc>) {
        let now = self.clock.borrow().map(|told| told.at);
        self.lock().open = now.map(|now| now.min(mark));
    }

    fn set_back(&self, now: DateTime<Utc>) {
        let mut books = self.lock();
        books.open = books.open.map(|at| at.min(now));
        books.loose = books.loose.map(|(at, until)| (at.min(now), until));
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The marks of one channel, one at a time.
#[derive(Debug)]
pub(super) struct Marks {
    post: Post,
    every: Duration,
    due: Instant,
    mark: Option<(DateTime<Utc>, u64)>,
}

impl Marks {
    pub(super) fn new(post: &Post, every: Duration) -> Self {
        Self { post: post.clone(), every, due: Instant::now(), mark: None }
    }

    /// When [`Marks::keep`] is to be called again at the latest.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Passes a mark, and sets another when it is time. To be called between batches.
    ///
    /// # Errors
    /// The channel is gone, or silent.
    pub(super) async fn keep(&mut self, inlet: &mut Inlet) -> Result<(), BrokerError> {
        self.pass(inlet);
        if Instant::now() >= self.due {
            self.due = Instant::now() + self.every;
            let at = self.post.clock.borrow().map(|told| told.at);
            if let (None, Some(at)) = (self.mark, at) {
                self.mark = Some((at, inlet.caught_up().await?));
                self.pass(inlet);
            }
        }
        Ok(())
    }

    fn pass(&mut self, inlet: &Inlet) {
        if let Some((at, _)) = self.mark.take_if(|(_, tag)| inlet.settled_through() >= *tag) {
            self.post.passed(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn reporter() -> Reporter {
        let mut config = config::load(None).unwrap().worker;
        config.lost_after = 10 * SECOND;
        Reporter::new(&config, 4 * SECOND)
    }

    fn told(reporter: &Reporter, second: i64) {
        reporter.clock.send_replace(Some(Told { asked: Instant::now(), at: at(second) }));
    }

    fn horizon(reporter: &Reporter) -> Option<DateTime<Utc>> {
        reporter.horizon(Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_that_of_the_lane_that_lags_most() {
        let mut reporter = reporter();
        let (one, other) = (reporter.post(), reporter.post());
        assert_eq!(horizon(&reporter), None, "nothing is known yet");
        told(&reporter, 100);
        assert_eq!(horizon(&reporter), Some(at(100)), "nothing is held");
        one.opening();
        told(&reporter, 101);
        other.opening();
        told(&reporter, 102);
        assert_eq!(horizon(&reporter), Some(at(100)));
        one.let_go(Rest::None);
        assert_eq!(horizon(&reporter), Some(at(101)));
        other.passed(at(102));
        assert_eq!(horizon(&reporter), Some(at(102)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_let_go_holds_it_back_until_another_must_have_it() {
        for (rest, until) in [(Rest::Returned, 4), (Rest::Lost, 10)] {
            let mut reporter = reporter();
            let post = reporter.post();
            told(&reporter, 100);
            post.opening();
            told(&reporter, 105);
            post.let_go(rest);
            tokio::time::advance(until * SECOND - Duration::from_millis(1)).await;
            post.opening();
            assert_eq!(horizon(&reporter), Some(at(100)), "{rest:?}");
            tokio::time::advance(Duration::from_millis(1)).await;
            assert_eq!(horizon(&reporter), Some(at(105)), "{rest:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn losing_channel_after_channel_keeps_the_earliest() {
        let mut reporter = reporter();
        let post = reporter.post();
        for second in [100, 106, 112] {
            told(&reporter, second);
            post.opening();
            post.let_go(Rest::Lost);
            assert_eq!(horizon(&reporter), Some(at(100)));
            tokio::time::advance(6 * SECOND).await;
        }
        tokio::time::advance(4 * SECOND).await;
        assert_eq!(horizon(&reporter), Some(at(112)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_back_passes_nothing() {
        let mut reporter = reporter();
        let post = reporter.post();
        told(&reporter, 5000);
        post.opening();
        post.set_back(at(1400));
        told(&reporter, 1400);
        post.passed(at(5000));
        told(&reporter, 1500);
        assert_eq!(horizon(&reporter), Some(at(1400)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_waits_to_be_heard_and_notices_when_it_is_not() {
        let mut reporter = reporter();
        let post = reporter.post();
        assert!(timeout(SECOND, post.heard()).await.is_err());
        told(&reporter, 100);
        post.heard().await;
        assert!(timeout(4 * SECOND, post.silent()).await.is_err());
        assert!(timeout(2 * SECOND, post.silent()).await.is_ok());
        assert!(timeout(SECOND, post.heard()).await.is_err());
        assert!(timeout(SECOND, post.heard_anew()).await.is_err());
    }
}
