//! Networks that fail: an engine cut off from everybody, or one edge alone.
//!
//! **Invariant:** engines themselves live on here, so whatever is lost was lost by us.

use std::time::Duration;

use futures_util::FutureExt;

use super::{Evidence, Fault, Span, Watch, lasts};
use crate::clock::{pause, within};
use crate::proxy::{Edge, Weather};
use crate::world::World;

macro_rules! fault {
    ($name:literal, $does:literal, $floor:literal, $run:expr) => {
        Fault { name: $name, does: $does, floor: $floor, aside: false, run: $run }
    };
}

/// After the first second of a silence, workers may for so long be heard telling what they settled before it.
const STILL_WITHIN: Duration = Duration::from_secs(2);

/// What fails where.
pub(super) const FAULTS: &[Fault] = &[
    fault!("postgres-cut", "PostgreSQL's connections closed and refused", true, |w, s| postgres_cut(w, s).boxed()),
    fault!("rabbitmq-cut", "RabbitMQ's connections closed and refused", true, |w, s| rabbitmq_cut(w, s).boxed()),
    fault!("api-postgres-silent", "the edge from APIs to PostgreSQL swallows everything", true, |w, s| {
        api_pg_silent(w, s).boxed()
    }),
    fault!("api-rabbitmq-silent", "the edge from APIs to RabbitMQ swallows everything", true, |w, s| {
        api_mq_silent(w, s).boxed()
    }),
    fault!("worker-postgres-silent", "the edge from workers to PostgreSQL swallows everything", true, |w, s| {
        worker_silent(w, s, &w.edges.worker_pg).boxed()
    }),
    fault!("worker-rabbitmq-silent", "the edge from workers to RabbitMQ swallows everything", true, |w, s| {
        worker_silent(w, s, &w.edges.worker_mq).boxed()
    }),
    fault!("edges-slow", "every edge delays or throttles", false, |w, s| slow(w, s).boxed()),
    fault!("edges-reset", "every edge in turn resets its connections, then half-closes them", false, |w, s| {
        reset(w, s).boxed()
    }),
    fault!("rabbitmq-flaps", "RabbitMQ's edges come and go", false, |w, s| flaps(w, s).boxed()),
];

/// Whether the silence ends in a reset, as behind a firewall that forgot the connection.
async fn end_silence(world: &World, edge: &Edge) {
    if world.draw(|dice| rand::Rng::random_bool(dice, 0.5)) {
        edge.set(Weather::Reset);
        // Connections see what the weather is, and nothing that came and went.
        pause(Duration::from_millis(20)).await;
    }
    edge.set(Weather::Pass);
}

async fn postgres_cut(world: &World, span: &mut Span) -> Evidence {
    let holds = Watch::new(world, "leadline_holds_total", "");
    let skipped = Watch::new(world, "leadline_resolve_seconds_count", "skipped");
    span.begins();
    world.edges.postgres_is(Weather::Cut);
    lasts(world, span).await;
    world.edges.calm();
    span.ends();
    Ok(format!("{}, {}", holds.bites(1.0, "holds").await?, skipped.bites(10.0, "look-ups skipped").await?))
}

async fn rabbitmq_cut(world: &World, span: &mut Span) -> Evidence {
    let direct = Direct::watch(world);
    span.begins();
    world.edges.rabbitmq_is(Weather::Cut);
    lasts(world, span).await;
    world.edges.calm();
    span.ends();
    direct.bites().await
}

async fn api_pg_silent(world: &World, span: &mut Span) -> Evidence {
    let skipped = Watch::new(world, "leadline_resolve_seconds_count", "skipped");
    span.begins();
    world.edges.api_pg.set(Weather::Silence);
    lasts(world, span).await;
    end_silence(world, &world.edges.api_pg).await;
    span.ends();
    skipped.bites(10.0, "look-ups skipped").await
}

async fn api_mq_silent(world: &World, span: &mut Span) -> Evidence {
    let direct = Direct::watch(world);
    let unconfirmed = Watch::new(world, "leadline_publishes_total", "unconfirmed");
    span.begins();
    world.edges.api_mq.set(Weather::Silence);
    lasts(world, span).await;
    end_silence(world, &world.edges.api_mq).await;
    span.ends();
    Ok(format!("{}, {}", unconfirmed.bites(1.0, "unconfirmed").await?, direct.bites().await?))
}

/// The workers can do nothing: what they settled before is all there is until it is over. Only deferred leads are counted,
/// since the sweep ends parked ones without a delivery.
async fn worker_silent(world: &World, span: &mut Span, edge: &Edge) -> Evidence {
    span.begins();
    edge.set(Weather::Silence);
    pause(Duration::from_secs(1)).await;
    // What was settled before the silence is told and read later, on a busy machine much later.
    let still = within(STILL_WITHIN, || async {
        let settled = Watch::new(world, "leadline_deliveries_total", "mode=\"deferred\"");
        world.readings.anew().await?;
        if settled.grown() > 0.0 { Err(format!("{} more", settled.grown())) } else { Ok(settled) }
    });
    let still = still.await;
    lasts(world, span).await;
    world.readings.anew().await?;
    let meanwhile = still.as_ref().map_or(0.0, Watch::grown);
    end_silence(world, edge).await;
    span.ends();
    let settled = still.map_err(|more| format!("deliveries are settled all through the silence: {more}"))?;
    if meanwhile > 0.0 {
        return Err(format!("{meanwhile} deliveries settled in the silence"));
    }
    settled.bites(1.0, "deliveries settled afterwards, none in the silence").await
}

async fn slow(world: &World, span: &mut Span) -> Evidence {
    let confirms = Watch::new(world, "leadline_confirm_seconds_sum", "");
    let count = Watch::new(world, "leadline_confirm_seconds_count", "");
    span.begins();
    world.edges.api_mq.set(Weather::Delay(Duration::from_millis(60)));
    world.edges.worker_mq.set(Weather::Delay(Duration::from_millis(30)));
    world.edges.api_pg.set(Weather::Delay(Duration::from_millis(40)));
    world.edges.worker_pg.set(Weather::Throttle(400_000));
    pause(span.lasts).await;
    world.edges.calm();
    span.ends();
    let mean = confirms.grown() / count.grown().max(1.0);
    if mean < 0.06 {
        Err(format!("confirms took {:.0} ms", mean * 1e3))
    } else {
        Ok(format!("confirms took {:.0} ms", mean * 1e3))
    }
}

async fn reset(world: &World, span: &mut Span) -> Evidence {
    let all = || [&world.edges.api_pg, &world.edges.worker_pg, &world.edges.api_mq, &world.edges.worker_mq];
    let broken = || all().iter().map(|edge| edge.broken()).collect::<Vec<u64>>();
    let before = broken();
    span.begins();
    for weather in [Weather::Reset, Weather::HalfClose] {
        for edge in all() {
            edge.set(weather);
            pause(Duration::from_millis(150)).await;
            edge.set(Weather::Pass);
            pause(Duration::from_millis(250)).await;
        }
    }
    span.ends();
    let after: Vec<u64> = broken().iter().zip(before).map(|(after, before)| after - before).collect();
    if after.contains(&0) {
        Err(format!("connections broken per edge: {after:?}"))
    } else {
        Ok(format!("connections broken per edge: {after:?}"))
    }
}

async fn flaps(world: &World, span: &mut Span) -> Evidence {
    let connects = Watch::new(world, "leadline_broker_connects_total", "");
    span.begins();
    for _ in 0..8 {
        world.edges.rabbitmq_is(Weather::Cut);
        pause(Duration::from_millis(world.draw(|dice| rand::Rng::random_range(dice, 50..300)))).await;
        world.edges.calm();
        pause(Duration::from_millis(world.draw(|dice| rand::Rng::random_range(dice, 100..500)))).await;
    }
    span.ends();
    connects.bites(16.0, "attempts to connect").await
}

/// What shows that the APIs wrote straight into PostgreSQL.
pub(super) struct Direct<'a> {
    rows: Watch<'a>,
    opened: Watch<'a>,
}

impl<'a> Direct<'a> {
    pub(super) fn watch(world: &'a World) -> Self {
        let rows = Watch::new(world, "leadline_direct_leads_total", "ended");
        Self { rows, opened: Watch::new(world, "leadline_breaker_turns_total", "open") }
    }

    pub(super) async fn bites(&self) -> Evidence {
        let opened = self.opened.bites(1.0, "times the breaker opened").await?;
        Ok(format!("{opened}, {}", self.rows.bites(10.0, "leads recorded directly").await?))
    }
}
