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
mod engines;
mod planted;

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use crate::clock::{EVENTUALLY, pause, within};
use crate::ground::Kind;
use crate::process::Death;
use crate::report::{self, FLOOR_REQUESTS};
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
    /// It has processes of its own and goes on beside the others.
    pub(crate) aside: bool,
    pub(crate) run: for<'a> fn(&'a World, &'a mut Span) -> BoxFuture<'a, Evidence>,
}

/// When the fault was on.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) on: Instant,
    pub(crate) off: Option<Instant>,
    /// How long the harm lasts, where that is a matter of choice.
    pub(crate) lasts: Duration,
    over: Option<oneshot::Sender<()>>,
}

impl Span {
    /// A span, and what tells that it is over.
    pub(crate) fn new(lasts: Duration) -> (Self, oneshot::Receiver<()>) {
        let (over, told) = oneshot::channel();
        (Self { on: Instant::now(), off: None, lasts, over: Some(over) }, told)
    }

    /// The harm begins now.
    fn begins(&mut self) {
        self.on = Instant::now();
    }

    /// The harm is over now: from here on recovery is timed, while evidence may still be looked for.
    pub(crate) fn ends(&mut self) {
        if let Some(over) = self.over.take() {
            self.off = Some(Instant::now());
            over.send(()).ok();
        }
    }
}

/// The faults of a world, in the order of the short run.
pub(crate) fn of(kind: Kind) -> Vec<Fault> {
    match kind {
        Kind::Single => [deaths::FAULTS, edges::FAULTS, crowds::FAULTS, planted::FAULTS, connects::FAULTS].concat(),
        Kind::Cluster => engines::CLUSTER.to_vec(),
        Kind::Spare => engines::SPARE.to_vec(),
    }
}

/// Waits while the harm lasts; longer, where the floor could not be measured yet.
async fn lasts(world: &World, span: &Span) {
    pause(span.lasts.saturating_sub(span.on.elapsed())).await;
    let began = world.diary.first_since(span.on);
    let measured = within(EVENTUALLY, || async {
        let entries = world.diary.entries(began);
        let held = entries.iter().filter(|entry| report::measures(entry, span.on)).count();
        if held >= FLOOR_REQUESTS { Ok(()) } else { Err(()) }
    });
    // What is missing is told with the table.
    measured.await.ok();
}

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
        let grown = within(EVENTUALLY, || async { if self.grown() >= least { Ok(self.grown()) } else { Err(()) } });
        match grown.await {
            Ok(grown) => Ok(format!("{grown} {words}")),
            Err(()) => Err(format!("{} {words}, {least} expected", self.grown())),
        }
    }
}

/// That a process died of SIGKILL since the n-th death, at a place if one is named.
async fn died(world: &World, since: usize, name: &str, place: Option<&str>) -> Result<Death, String> {
    let found = within(EVENTUALLY, || async {
        let deaths = world.fleet.deaths(since);
        let fits = |death: &&Death| death.name == name && death.signal == Some(9) && death.place.as_deref() == place;
        deaths.iter().find(fits).cloned().ok_or_else(|| format!("{name} did not die at {place:?}: {deaths:?}"))
    });
    found.await
}
