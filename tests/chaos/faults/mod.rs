//! The faults: each does harm for a while, takes it back, and shows that it bit.
//!
//! Enters: a world under load. Leaves: evidence, in words, or the reason why there is none: then the
//! run fails, since a fault that did not bite proves nothing.
//!
//! **Invariant:** a fault leaves the world as it found it, save for what the service has to mend itself.

mod connects;
mod crowds;
mod deaths;
mod edges;
mod planted;

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use crate::clock::within;
use crate::process::Death;
use crate::world::World;

/// What a fault showed; the error says why it did not bite.
pub(crate) type Evidence = Result<String, String>;

/// One class of faults.
#[derive(Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// What it does, for `--list` and the table's reader.
    pub(crate) does: &'static str,
    /// One engine is away: the floor of section "Floor" holds from 3 s after it.
    pub(crate) floor: bool,
    pub(crate) run: for<'a> fn(&'a World, &'a mut Span) -> BoxFuture<'a, Evidence>,
}

/// When the fault was on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) on: Instant,
    pub(crate) off: Option<Instant>,
    /// How long the harm lasts.
    pub(crate) lasts: Duration,
}

impl Span {
    pub(crate) fn new(lasts: Duration) -> Self {
        Self { on: Instant::now(), off: None, lasts }
    }

    /// The harm begins now.
    fn begins(&mut self) {
        self.on = Instant::now();
    }

    /// The harm is over now.
    fn ends(&mut self) {
        self.off = Some(Instant::now());
    }
}

/// Every fault that needs no engine of its own.
pub(crate) fn all() -> Vec<Fault> {
    [deaths::FAULTS, edges::FAULTS, crowds::FAULTS, planted::FAULTS, connects::FAULTS].concat()
}

/// How long evidence may take to show in metrics.
const SHOWS_WITHIN: Duration = Duration::from_secs(6);

/// A counter of the fleet from now on.
struct Watch<'a> {
    world: &'a World,
    metric: &'static str,
    label: &'static str,
    before: f64,
}

impl<'a> Watch<'a> {
    fn new(world: &'a World, metric: &'static str, label: &'static str) -> Self {
        Self { world, metric, label, before: world.readings.sum(metric, label) }
    }

    /// By how much it has grown.
    fn grown(&self) -> f64 {
        self.world.readings.sum(self.metric, self.label) - self.before
    }

    /// That it has grown by `least` or more, soon.
    async fn bites(&self, least: f64, words: &str) -> Evidence {
        let grown = within(SHOWS_WITHIN, || async { if self.grown() >= least { Ok(self.grown()) } else { Err(()) } });
        match grown.await {
            Ok(grown) => Ok(format!("{grown} {words}")),
            Err(()) => Err(format!("{} {words}, {least} expected", self.grown())),
        }
    }
}

/// That a process died of SIGKILL since the n-th death, at a place if one is named.
async fn died(world: &World, since: usize, name: &str, place: Option<&str>) -> Result<Death, String> {
    let found = within(Duration::from_secs(12), || async {
        let deaths = world.fleet.deaths(since);
        let fits = |death: &&Death| death.name == name && death.signal == Some(9) && death.place.as_deref() == place;
        deaths.iter().find(fits).cloned().ok_or_else(|| format!("{name} did not die at {place:?}: {deaths:?}"))
    });
    found.await
}
