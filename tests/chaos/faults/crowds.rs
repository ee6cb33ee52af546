//! Crowds: workers who come and go, clients who hang up, clocks that disagree.
//!
//! **Invariant:** every process that is added for a fault has gone when it is over.

use std::path::Path;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use futures_util::FutureExt;
use futures_util::future::join_all;
use leadline::lead::Mode;
use rand::Rng;

use super::{Evidence, Fault, Span, Watch};
use crate::clock::{EVENTUALLY, pause, within};
use crate::diary::Kind;
use crate::load::Wish;
use crate::process::Role;
use crate::world::World;

/// Where Debian keeps it, by architecture.
const FAKETIME: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"];

/// Who comes and goes.
pub(super) const FAULTS: &[Fault] = &[
    Fault {
        name: "workers-1-8-2",
        does: "one worker, then eight, then two, under load",
        floor: false,
        aside: false,
        run: |world, span| scale(world, span).boxed(),
    },
    Fault {
        name: "clients-hang-up",
        does: "clients close their connections at random microseconds",
        floor: false,
        aside: false,
        run: |world, span| hang_up(world, span).boxed(),
    },
    Fault {
        name: "clocks-jump",
        does: "the clocks of an API and a worker jump an hour ahead, then an hour back",
        floor: false,
        aside: false,
        run: |world, span| clocks(world, span).boxed(),
    },
];

async fn scale(world: &World, span: &mut Span) -> Evidence {
    let settled = Watch::new(world, "leadline_deliveries_total", "");
    let two = world.fleet.names(Role::Worker);
    span.begins();
    world.fleet.dismiss(&two[1]);
    pause(Duration::from_millis(800)).await;
    world.fleet.recall(&two[1]);
    let more: Vec<String> = (0..6).map(|_| world.fleet.add(Role::Worker, &[])).collect();
    world.up("eight workers").await;
    let busy = within(EVENTUALLY, || async {
        let busy = more.iter().filter(|name| world.readings.of(name, "leadline_deliveries_total") > 0.0).count();
        if busy == more.len() { Ok(()) } else { Err(format!("only {busy} of the six new workers got anything")) }
    });
    let busy = busy.await;
    more.iter().for_each(|name| world.fleet.dismiss(name));
    let gone = within(EVENTUALLY, || async {
        let left = world.fleet.seen().into_iter().filter(|seen| more.contains(&seen.name)).count();
        if left == 0 { Ok(()) } else { Err(format!("{left} workers do not stop")) }
    });
    gone.await?;
    span.ends();
    busy?;
    let unclean = world.fleet.deaths(0).into_iter().filter(|d| more.contains(&d.name) && d.code != Some(0)).count();
    if unclean > 0 {
        return Err(format!("{unclean} dismissed workers did not stop cleanly"));
    }
    settled.bites(100.0, "deliveries settled, by all eight").await
}

async fn hang_up(world: &World, span: &mut Span) -> Evidence {
    let (tenant, from) = (&world.tenants[0], world.diary.len());
    span.begins();
    for _ in 0..8 {
        let calls: Vec<(Wish, Duration)> = (0..40).map(|_| world.draw(|dice| call(tenant.click(dice), dice))).collect();
        join_all(calls.iter().map(|(wish, after)| world.client.hang_up(tenant, wish, *after))).await;
    }
    span.ends();
    let entries = world.diary.entries(from);
    let hung: Vec<_> = entries.iter().filter(|e| e.kind == Kind::HungUp && e.line.status == 0).collect();
    let customers: Vec<String> = hung.iter().map(|entry| entry.line.customer.clone()).collect();
    let ended = within(EVENTUALLY, || async {
        let ended: i64 = sqlx::query_scalar("SELECT count(*) FROM leads WHERE customer_external_id = ANY($1)")
            .bind(&customers)
            .fetch_one(&world.pool)
            .await
            .map_err(|error| error.to_string())?;
        if ended > 0 { Ok(ended) } else { Err("none of those who hung up had been heard".to_owned()) }
    });
    Ok(format!("{} hung up, {} of them had been heard", hung.len(), ended.await?))
}

fn call(click: String, dice: &mut rand::rngs::StdRng) -> (Wish, Duration) {
    let wish = Wish {
        customer: format!("hasty-{:016x}", dice.random::<u64>()),
        event: "Sign Up".to_owned(),
        mode: Mode::ALL[dice.random_range(0..Mode::ALL.len())],
        click: Some(click),
        quantity: 1,
        kind: Kind::HungUp,
    };
    // As many between 0.2 and 2 ms as between 0.2 and 2 s: whatever an answer takes here, some hang up before, some after.
    (wish, Duration::from_secs_f64(10_f64.powf(dice.random_range(-3.7..0.3))))
}

async fn clocks(world: &World, span: &mut Span) -> Evidence {
    let library = FAKETIME.into_iter().find(|path| Path::new(path).exists()).ok_or("libfaketime is not installed")?;
    let file = world.folder.join("clock");
    let set = |offset: &str| std::fs::write(&file, offset).map_err(|error| error.to_string());
    set("+0")?;
    let environment = [
        ("LD_PRELOAD", library.to_owned()),
        ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    let (api, worker) = (world.fleet.names(Role::Api)[0].clone(), world.fleet.names(Role::Worker)[0].clone());
    for name in [&api, &worker] {
        world.fleet.renew(name, &environment);
    }
    world.fleet.renewed(&[api.clone(), worker.clone()], EVENTUALLY).await?;
    world.up("with clocks of their own").await;
    span.begins();
    set("+3600")?;
    pause(Duration::from_millis(1500)).await;
    set("-3600")?;
    pause(Duration::from_millis(1500)).await;
    let half_an_hour = TimeDelta::minutes(30);
    let far = within(EVENTUALLY, || async {
        let far: Result<(i64, i64), _> = sqlx::query_as(
            "SELECT count(*) FILTER (WHERE accepted_at > $1), count(*) FILTER (WHERE accepted_at < $2) FROM leads",
        )
        .bind(Utc::now() + half_an_hour)
        .bind(Utc::now() - half_an_hour)
        .fetch_one(&world.pool)
        .await;
        match far.map_err(|error| error.to_string())? {
            (ahead @ 1.., back @ 1..) => Ok(format!("{ahead} leads accepted an hour ahead, {back} an hour back")),
            other => Err(format!("leads ahead and back: {other:?}")),
        }
    });
    let far = far.await;
    for name in [api, worker] {
        world.fleet.renew(&name, &[]);
    }
    span.ends();
    far
}
