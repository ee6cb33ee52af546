//! What both tests need: logs of the engines, and bounded waiting that says what never came.
//!
//! **Invariant:** nothing here waits for ever.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::time::Duration;

use leadline::config::{self, Config};

use crate::clock;

/// Where the engines of a test write.
pub(crate) fn logs(test: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("engines").join(test)
}

/// The configuration of the tests.
pub(crate) fn config() -> Config {
    config::load(Some(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config/test.toml"))).unwrap()
}

/// Probes until the probe says `Ok`, for a minute.
pub(crate) async fn eventually<T, E, F>(what: &str, probe: impl FnMut() -> F) -> T
where
    E: Debug,
    F: Future<Output = Result<T, E>>,
{
    let found = clock::within(Duration::from_secs(60), probe).await;
    found.unwrap_or_else(|last| panic!("{what}: not within a minute; at last: {last:?}"))
}
