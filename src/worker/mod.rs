//! Lanes: receive what piled up, record it in one transaction, settle it, tell who waits.
//!
//! A lane is one task that owns its channel, its batch and its deliveries. More throughput is more
//! lanes, here or in another process; nobody coordinates them.
//!
//! **Invariant:** a delivery is settled only after the commit that gave it its ending, parked or buried it.

mod pressure;
mod lane;
mod inbox;
mod spans;
mod horizon;
mod hold;
mod suspect;
mod tell;
mod sweep;

use std::time::Duration;

use crate::broker::{Link, Publisher, Queue};
use crate::config;
use crate::lead::key::SHARDS;
use crate::lifecycle::Tasks;
use crate::record::{Limits, Recorder};
use crate::store::Store;
use crate::telemetry::{Metrics, Tracer};
use horizon::Reporter;
use lane::Lane;
use pressure::Pressure;

/// What every lane works with.
#[derive(Debug, Clone)]
pub struct Bench {
    /// Where deliveries come from.
    pub link: Link,
    /// Where replies go.
    pub publisher: Publisher,
    /// `PostgreSQL`.
    pub store: Store,
    /// The metrics of this process.
    pub metrics: Metrics,
    /// Where the spans of leads go.
    pub tracer: Tracer,
}

/// Connections the lanes of a configuration need at once: one each, one for the sweep, one for the horizon.
#[must_use]
pub fn connections(config: &config::Worker) -> u32 {
    u32::try_from(config.lanes + config.wait_lanes + 2).unwrap_or(u32::MAX)
}

/// Starts the lanes, the burier of the dead queue, and the sweep of parked leads. `patience`: how long a caller waits for
/// an answer at most. `ground`: what is stopped only when the lanes have ended.
pub fn start(bench: &Bench, config: &config::Worker, patience: Duration, tasks: &mut Tasks, ground: &mut Tasks) {
    let mut reporter = Reporter::new(config, patience);
    let limits = Limits { follow_up_wait: config.follow_up_wait, park_max: config.park_max };
    // Repeats among one kind's leads say nothing of those of another.
    let recorder = || Recorder::new(&bench.store, limits, &bench.metrics);
    let shards: Vec<Queue> = (0..SHARDS).map(Queue::Shard).collect();
    let kinds = [
        ("shards", shards, config.lanes, config.gather),
        ("wait", vec![Queue::Wait], config.wait_lanes, Duration::ZERO),
        ("dead", vec![Queue::Dead], 1, Duration::ZERO),
    ];
    for (name, queues, count, gather) in kinds {
        let (pressure, recorder) = (Pressure::new(), recorder());
        for n in 0..count {
            let lane = Lane {
                name,
                helps: n > 0,
                gather,
                pressure: pressure.clone(),
                hand: bench.metrics.hands.of(name),
                queues: queues.clone(),
                post: reporter.post(),
                bench: bench.clone(),
                recorder: recorder.clone(),
                config: config.clone(),
                stop: tasks.stop().clone(),
            };
            tasks.spawn("lane", lane.run());
        }
    }
    let stop = ground.stop().clone();
    ground.spawn("horizon", reporter.run(bench.store.clone(), stop));
    let stop = tasks.stop().clone();
    tasks.spawn("sweep", sweep::run(bench.clone(), recorder(), config.clone(), stop));
}
