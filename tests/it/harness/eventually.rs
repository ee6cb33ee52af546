//! Bounded waiting for what must come true.
//!
//! Enters: a name and a probe. Leaves: what the probe found, or a failed test that says what never came.
//!
//! **Invariant:** this is the only place in the tests that sleeps.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long something may take to come true on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(15);

/// Probes until the probe says `Ok`; the last `Err` is shown when it never does.
pub(crate) async fn eventually<T, E, F>(what: &str, probe: impl FnMut() -> F) -> T
where
    E: Debug,
    F: Future<Output = Result<T, E>>,
{
    within(PATIENCE, what, probe).await
}

/// The same with a patience of one's own.
pub(crate) async fn within<T, E, F>(patience: Duration, what: &str, mut probe: impl FnMut() -> F) -> T
where
    E: Debug,
    F: Future<Output = Result<T, E>>,
{
    let end = Instant::now() + patience;
    loop {
        match probe().await {
            Ok(found) => return found,
            Err(last) if Instant::now() > end => {
                panic!("{what}: not within {patience:?}; at last: {last:?}")
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// `Ok` when a condition holds, for [`eventually`].
pub(crate) fn holds<E: Debug>(condition: bool, otherwise: E) -> Result<(), E> {
    if condition { Ok(()) } else { Err(otherwise) }
}

/// Shows that something stays true for a while: what must *not* happen cannot be waited for otherwise.
pub(crate) async fn stays<F>(duration: Duration, what: &str, mut probe: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    let end = Instant::now() + duration;
    while Instant::now() < end {
        assert!(probe().await, "{what}: did not stay so");
        sleep(PAUSE).await;
    }
}

/// Does something again and again, for as long as whoever asked for it lives.
pub(crate) async fn every<F: Future<Output = ()>>(pause: Duration, mut act: impl FnMut() -> F) {
    loop {
        act().await;
        sleep(pause).await;
    }
}
