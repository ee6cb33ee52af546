//! Engines that die, fail over, or refuse for want of room.
//!
//! **Invariant:** an engine's own data survive, as they do in production: what is lost was lost by us.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use rand::Rng;
use tokio::net::TcpStream;

use super::edges::Direct;
use super::{Evidence, Fault, Span, Watch, lasts};
use crate::clock::{EVENTUALLY, pause, within};
use crate::ground::{DISK_FULL, Database};
use crate::world::World;

macro_rules! fault {
    ($name:expr, $does:literal, $floor:literal, $run:expr) => {
        Fault { name: $name, does: $does, floor: $floor, aside: false, run: $run }
    };
}

/// What happens to one server of each.
pub(super) const SPARE: &[Fault] = &[
    fault!("postgres-stopped", "PostgreSQL stopped at once (immediate), then started", true, |w, s| {
        postgres_stopped(w, s).boxed()
    }),
    fault!("backends-terminated", "PostgreSQL ends every backend of ours, again and again", false, |w, s| {
        terminated(w, s).boxed()
    }),
    fault!("rabbitmq-killed", "kill -9 of the only RabbitMQ node, then started", true, |w, s| {
        rabbit_killed(w, s, Nodes::All).boxed()
    }),
    fault!(DISK_FULL, "PostgreSQL's disk full, then free again", true, |w, s| disk_full(w, s).boxed()),
    fault!("memory-alarm", "RabbitMQ's memory alarm blocks publishers", true, |w, s| alarm(w, s, true).boxed()),
    fault!("disk-alarm", "RabbitMQ's disk alarm blocks publishers", true, |w, s| alarm(w, s, false).boxed()),
];

/// What happens to a cluster and a pair. The pair fails over while the first node is away.
pub(super) const CLUSTER: &[Fault] = &[
    Fault {
        name: "postgres-fails-over",
        does: "kill -9 of the primary; the synchronous standby is promoted",
        floor: false,
        aside: true,
        run: |world, span| fail_over(world, span).boxed(),
    },
    fault!("rabbitmq-leader-killed", "kill -9 of the node that leads a shard, of three", false, |w, s| {
        rabbit_killed(w, s, Nodes::Leader).boxed()
    }),
    fault!("rabbitmq-minority-killed", "kill -9 of one other node, of three", false, |w, s| {
        rabbit_killed(w, s, Nodes::Minority).boxed()
    }),
    fault!("rabbitmq-all-killed", "kill -9 of all three nodes, then started", true, |w, s| {
        rabbit_killed(w, s, Nodes::All).boxed()
    }),
];

enum Nodes {
    Leader,
    Minority,
    All,
}

async fn postgres_stopped(world: &World, span: &mut Span) -> Evidence {
    let holds = Watch::new(world, "leadline_holds_total", "");
    let skipped = Watch::new(world, "leadline_resolve_seconds_count", "skipped");
    let mut postgres = world.ground.postgres.lock().await;
    let server = postgres.primary();
    span.begins();
    server.stop_immediate().await;
    let answered = server.runs();
    lasts(world, span).await;
    server.start_again().await;
    span.ends();
    if answered {
        return Err("PostgreSQL went on".to_owned());
    }
    Ok(format!("{}, {}", holds.bites(1.0, "holds").await?, skipped.bites(10.0, "look-ups skipped").await?))
}

async fn terminated(world: &World, span: &mut Span) -> Evidence {
    let mut postgres = world.ground.postgres.lock().await;
    span.begins();
    let mut ended = 0;
    for _ in 0..12 {
        ended += postgres.primary().terminate_backends().await;
        pause(Duration::from_millis(world.draw(|dice| dice.random_range(50..400)))).await;
    }
    span.ends();
    if ended < 12 { Err(format!("only {ended} backends ended")) } else { Ok(format!("{ended} backends ended")) }
}

async fn rabbit_killed(world: &World, span: &mut Span, which: Nodes) -> Evidence {
    let direct = Direct::watch(world);
    let confirmed = Watch::new(world, "leadline_publishes_total", "result=\"confirmed\"");
    let mut rabbit = world.ground.rabbit.lock().await;
    let nodes: Vec<usize> = match which {
        Nodes::All => (0..rabbit.count()).collect(),
        Nodes::Leader => vec![rabbit.leader_of("leads.v1.s00").await],
        Nodes::Minority => vec![(rabbit.leader_of("leads.v1.s00").await + 1) % rabbit.count()],
    };
    let addresses: Vec<SocketAddr> = nodes.iter().map(|node| rabbit.address(*node)).collect();
    span.begins();
    nodes.iter().for_each(|node| rabbit.kill9(*node));
    lasts(world, span).await;
    let gone = join_all(addresses.iter().map(TcpStream::connect)).await.iter().all(Result::is_err);
    let meanwhile = confirmed.grown();
    if matches!(which, Nodes::All) {
        rabbit.start_all().await;
        span.ends();
        return if gone { direct.bites().await } else { Err("a killed node still listened".to_owned()) };
    }
    span.ends();
    rabbit.start_all().await;
    if !gone || meanwhile < 50.0 {
        return Err(format!("gone: {gone}, {meanwhile} publishes confirmed by the others"));
    }
    Ok(format!("node {} killed, {meanwhile} publishes confirmed by the others", nodes[0]))
}

async fn alarm(world: &World, span: &mut Span, memory: bool) -> Evidence {
    let direct = Direct::watch(world);
    let rabbit = world.ground.rabbit.lock().await;
    span.begins();
    if memory {
        rabbit.memory_alarm(true).await
    } else {
        rabbit.disk_alarm(true).await
    }
    lasts(world, span).await;
    if memory {
        rabbit.memory_alarm(false).await
    } else {
        rabbit.disk_alarm(false).await
    }
    span.ends();
    direct.bites().await
}

async fn fail_over(world: &World, span: &mut Span) -> Evidence {
    let mut postgres = world.ground.postgres.lock().await;
    let Database::Pair(pair) = &mut *postgres else {
        return Err("no pair of servers here".to_owned());
    };
    let before: i64 = within(EVENTUALLY, || count(world)).await?;
    span.begins();
    pair.primary().kill9();
    pair.promote_standby().await;
    world.edges.fail_over(&pair.primary_address().to_string());
    span.ends();
    let kept = within(EVENTUALLY, || count(world)).await?;
    if kept < before {
        return Err(format!("{before} rows before, {kept} after"));
    }
    let timeline = pair.primary().ask("postgres", "SELECT timeline_id::text FROM pg_control_checkpoint()").await;
    // The one that died is copied anew and follows: from here on commits wait for it again.
    pair.rejoin().await;
    let written = within(EVENTUALLY, || async {
        let now = count(world).await?;
        if now > kept { Ok(now) } else { Err("nothing is written after the fail-over".to_owned()) }
    });
    Ok(format!("{kept} rows kept, {} after, timeline {timeline}", written.await?))
}

async fn count(world: &World) -> Result<i64, String> {
    sqlx::query_scalar("SELECT count(*) FROM leads").fetch_one(&world.pool).await.map_err(|error| error.to_string())
}

async fn disk_full(world: &World, span: &mut Span) -> Evidence {
    let failed = Watch::new(world, "leadline_holds_total", "");
    let mut postgres = world.ground.postgres.lock().await;
    let Database::SmallDisk(disk) = &mut *postgres else {
        return Err("no small disk here".to_owned());
    };
    span.begins();
    disk.fill();
    let full = failed.bites(1.0, "batches held for want of room").await;
    lasts(world, span).await;
    disk.free().await;
    span.ends();
    full
}
