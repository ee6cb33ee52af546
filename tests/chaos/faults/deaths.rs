//! Processes that die at the worst moment, and one that only seems to.
//!
//! **Invariant:** a planned death counts only if the process said where it was and died of signal 9.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{join, join_all};

use leadline::lead::Mode;

use super::{Evidence, Fault, Span, Watch, died};
use crate::clock::{EVENTUALLY, pause, within};
use crate::diary::{Entry, Kind};
use crate::process::Role;
use crate::world::World;

const REDELIVERED: (&str, &str) = ("leadline_redeliveries_total", "");
const DELIVERIES: &str = "leadline_deliveries_total";
/// How often workers die at a place where what they held comes back.
const TIMES: usize = 3;

/// What dies where.
pub(super) const FAULTS: &[Fault] = &[
    Fault {
        name: "worker-dies-in-transaction",
        does: "kill -9 of workers after their rows are written, before COMMIT",
        floor: false,
        aside: false,
        run: |world, span| holding(world, span, Mode::Async, "store.counted").boxed(),
    },
    Fault {
        name: "worker-dies-before-ack",
        does: "kill -9 of workers between COMMIT and acknowledgement, while somebody waits for their verdict",
        floor: false,
        aside: false,
        run: |world, span| holding(world, span, Mode::Wait, "worker.committed").boxed(),
    },
    Fault {
        name: "worker-dies-before-reply",
        does: "kill -9 of a worker between acknowledgement and reply: nothing comes back, and who waits is not told",
        floor: false,
        aside: false,
        run: |world, span| before_reply(world, span).boxed(),
    },
    Fault {
        name: "api-dies-before-confirm",
        does: "kill -9 of an API between publish and confirm",
        floor: false,
        aside: false,
        run: |world, span| api(world, span, "broker.published").boxed(),
    },
    Fault {
        name: "api-dies-before-answer",
        does: "kill -9 of an API between confirm and answer",
        floor: false,
        aside: false,
        run: |world, span| api(world, span, "intake.confirmed").boxed(),
    },
    Fault {
        name: "workers-killed",
        does: "kill -9 of workers in turn, at any moment",
        floor: false,
        aside: false,
        run: |world, span| workers_killed(world, span).boxed(),
    },
    Fault {
        name: "worker-frozen",
        does: "SIGSTOP of a worker until its messages were given to another, then SIGCONT",
        floor: false,
        aside: false,
        run: |world, span| frozen(world, span).boxed(),
    },
];

/// RabbitMQ has nothing to hand out again, so whoever waited is answered 503, and 200 when they repeat it.
async fn before_reply(world: &World, span: &mut Span) -> Evidence {
    let (from, names) = (world.diary.len(), world.fleet.names(Role::Worker));
    let mut died = Instant::now();
    let death = async {
        dies_at(world, &names[0], "worker.acknowledged").await?;
        died = Instant::now();
        span.ends();
        Ok(())
    };
    among(world, Mode::Wait, death).await?;
    // Follow-ups that were parked when a worker died are told so too; a lead with a click only where its reply was lost.
    let untold = within(EVENTUALLY, || async {
        let entries = world.diary.entries(from);
        let vain = |entry: &&Entry| {
            entry.kind == Kind::Click
                && entry.line.mode == Mode::Wait
                && entry.line.status == 503
                && entry.began < died
                && entry.ended >= died
        };
        let untold = entries.iter().filter(vain).count();
        if untold > 0 { Ok(untold) } else { Err("everybody who waited was told") }
    });
    Ok(format!("died of signal 9 at worker.acknowledged, {} waited in vain", untold.await?))
}

/// Workers die where what they held comes back, in the midst of many leads of a mode.
///
/// Each `async` lead was promised to somebody by then, and each redelivered `wait` must be told the
/// ending that stands.
async fn holding(world: &World, span: &mut Span, mode: Mode, place: &'static str) -> Evidence {
    let back = Watch::new(world, REDELIVERED.0, REDELIVERED.1);
    among(world, mode, workers_die_at(world, place)).await?;
    span.ends();
    Ok(format!("{TIMES} died of signal 9 at {place}, {}", back.bites(TIMES as f64, "redelivered").await?))
}

/// Harm in the midst of leads of a mode, eight at a time.
async fn among(world: &World, mode: Mode, harm: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let over = AtomicBool::new(false);
    let harm = async {
        let done = harm.await;
        over.store(true, Ordering::Relaxed);
        done
    };
    let leads = async {
        while !over.load(Ordering::Relaxed) {
            join_all((0..8).map(|n| async move {
                match mode {
                    // A batch of new leads alone is one statement, in which nobody can be killed.
                    Mode::Async if n % 2 == 0 => world.follow_up().await,
                    _ => world.lead(mode).await,
                }
            }))
            .await;
        }
    };
    join(harm, leads).await.0
}

async fn api(world: &World, span: &mut Span, place: &'static str) -> Evidence {
    let (from, names) = (world.diary.len(), world.fleet.names(Role::Api));
    dies_at(world, &names[0], place).await?;
    span.ends();
    pause(Duration::from_millis(500)).await;
    let lost = world.diary.entries(from).iter().filter(|entry| entry.line.status == 0).count();
    if lost == 0 {
        return Err("no client lost its connection".to_owned());
    }
    Ok(format!("died of signal 9 at {place}, {lost} requests unanswered"))
}

/// The workers in turn, each once another has what the one before held: if that died next, its count would go with it. Those
/// after which nothing came back are told of at the end: what they held may be missing, and each has its chance to show it.
async fn workers_die_at(world: &World, place: &'static str) -> Result<(), String> {
    let names = world.fleet.names(Role::Worker);
    let mut amiss = Vec::new();
    for name in names.iter().cycle().take(TIMES) {
        let back = Watch::new(world, REDELIVERED.0, REDELIVERED.1);
        dies_at(world, name, place).await?;
        amiss.extend(back.bites(1.0, "redelivered after a death").await.err());
    }
    if amiss.is_empty() { Ok(()) } else { Err(amiss.join("; ")) }
}

/// Starts a process anew with a planned death, and waits for it.
async fn dies_at(world: &World, name: &str, place: &'static str) -> Result<(), String> {
    let deaths = world.fleet.deaths(0).len();
    let pass = world.draw(|dice| rand::Rng::random_range(dice, 3..20));
    world.fleet.renew(name, &[("LEADLINE_FAULT", format!("{place}=kill@{pass}"))]);
    died(world, deaths, name, Some(place)).await?;
    Ok(())
}

async fn workers_killed(world: &World, span: &mut Span) -> Evidence {
    let back = Watch::new(world, REDELIVERED.0, REDELIVERED.1);
    let names = world.fleet.names(Role::Worker);
    let deaths = world.fleet.deaths(0).len();
    for n in 0..4 {
        let name = &names[n % names.len()];
        pause(Duration::from_millis(world.draw(|dice| rand::Rng::random_range(dice, 50..500)))).await;
        let before = world.fleet.deaths(0).len();
        world.fleet.signal(name, "KILL");
        died(world, before, name, None).await?;
    }
    span.ends();
    let killed = world.fleet.deaths(deaths).len();
    Ok(format!("{killed} killed, {}", back.bites(1.0, "redelivered").await?))
}

/// Waits until a process is given messages: one that is not has none to lose.
async fn works(world: &World, name: &str) -> Result<(), String> {
    let before = world.readings.of(name, DELIVERIES);
    within(EVENTUALLY, || async {
        let more = world.readings.of(name, DELIVERIES) > before;
        if more { Ok(()) } else { Err(format!("{name} gets nothing")) }
    })
    .await
}

async fn frozen(world: &World, span: &mut Span) -> Evidence {
    let back = Watch::new(world, REDELIVERED.0, REDELIVERED.1);
    let name = &world.fleet.names(Role::Worker)[0];
    works(world, name).await?;
    let from = Instant::now();
    world.fleet.signal(name, "STOP");
    // RabbitMQ gives its messages to another when heartbeats have been missing for long enough.
    let bitten = within(EVENTUALLY, || async { if back.grown() >= 1.0 { Ok(()) } else { Err(()) } });
    let bitten = bitten.await;
    pause(Duration::from_millis(300)).await;
    world.fleet.signal(name, "CONT");
    span.ends();
    match bitten {
        Ok(()) => Ok(format!("frozen {:.1} s, {} redelivered, then woken", from.elapsed().as_secs_f64(), back.grown())),
        Err(()) => Err("nothing was redelivered".to_owned()),
    }
}
