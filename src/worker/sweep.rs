//! The sweep of parked leads: wakes those whose customer came, ends those whose time is up.
//!
//! Recording a customer's click wakes his parked leads in the same transaction; the sweep catches
//! the races between two transactions that did not see each other. Every worker sweeps; rows that
//! another one holds are skipped. A sweep never takes more than a tenth of the time.
//!
//! **Invariant:** a lead is ended by the sweep only in the transaction that takes it out.

use std::time::Duration;

use chrono::Utc;
use tokio::time::{Instant, sleep};

use super::{Bench, tell};
use crate::config;
use crate::lifecycle::{Stop, fault};
use crate::record::Recorder;
use crate::store::UnderWay;
use crate::telemetry::Metrics;

const COUNT_EVERY: Duration = Duration::from_secs(5);

/// Sweeps until a stop is asked for.
pub(super) async fn run(bench: Bench, recorder: Recorder, config: config::Worker, stop: Stop) {
    let mut counted: Option<Instant> = None;
    let mut pause = config.sweep_every;
    while stop.unless_asked(sleep(pause)).await.is_some() {
        if fault::is_planned("store.counted") {
            // Whoever is to die in a transaction dies with deliveries in hand: the sweep's comes back from nobody.
            continue;
        }
        let began = Instant::now();
        match recorder.sweep().await {
            Ok(told) => {
                bench.metrics.sweeps.with_label_values(&["ok"]).inc();
                if !told.is_empty() {
                    tracing::info!(ended = told.len(), "parked leads ended");
                }
                tell::parked(&bench, &told, Utc::now());
            }
            Err(error) => {
                bench.metrics.sweeps.with_label_values(&["failed"]).inc();
                tracing::debug!(%error, "sweep failed");
            }
        }
        if counted.is_none_or(|at| at.elapsed() > COUNT_EVERY)
            && let Ok(under_way) = bench.store.under_way(None).await
        {
            show(&bench.metrics, &under_way);
            counted = Some(Instant::now());
        }
        pause = config.sweep_every.max(began.elapsed() * 9);
    }
}

fn show(metrics: &Metrics, under_way: &UnderWay) {
    let none: [&str; 0] = [];
    metrics.parked.with_label_values(&none).set(under_way.parked);
    let since = under_way.parked_since.map_or(0, |since| since.timestamp());
    metrics.oldest_parked.with_label_values(&none).set(since);
    metrics.buried_leads.with_label_values(&["waiting"]).set(under_way.buried - under_way.replayed);
    metrics.buried_leads.with_label_values(&["replayed"]).set(under_way.replayed);
    metrics.suspects.with_label_values(&none).set(under_way.suspects);
}
