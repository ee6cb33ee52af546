//! The suite's only way to wait: for a time, or until something comes true.
//!
//! Enters: a duration, or a probe with a patience. Leaves: what the probe found, or what it last said.
//!
//! **Invariant:** this is the only file of the suite that sleeps, and nothing in it waits for ever.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

/// How long the suite waits for what must come, however slow and crowded the machine: only a run that fails waits so long.
pub(crate) const EVENTUALLY: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// A fault lasts this long; load goes on meanwhile.
pub(crate) async fn pause(time: Duration) {
    sleep(time).await;
}

/// The next beat of an open loop.
pub(crate) async fn beat(at: Instant) {
    sleep_until(at).await;
}

/// Probes until the probe says `Ok`; its last word when it never does.
pub(crate) async fn within<T, E, F>(patience: Duration, mut probe: impl FnMut() -> F) -> Result<T, E>
where
    E: Debug,
    F: Future<Output = Result<T, E>>,
{
    let end = Instant::now() + patience;
    loop {
        match probe().await {
            Ok(found) => return Ok(found),
            Err(last) if Instant::now() > end => return Err(last),
            Err(_) => sleep(PAUSE).await,
        }
    }
}
