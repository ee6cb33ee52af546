//! Engines that take no connection, a hundred times and more: nothing may pile up in the process.
//!
//! **Invariant:** done with processes of their own, apart from the load, whose size is compared with
//! itself: after some dozens of failed attempts, and after hundreds.

use futures_util::FutureExt;

use super::{Evidence, Fault, Span};
use crate::clock::{EVENTUALLY, within};
use crate::fleet::{Engines, Fleet};
use crate::process::{Role, Size};
use crate::proxy::{Edge, Weather};
use crate::world::{World, through};

/// Attempts after which the process is measured first, and last.
const FIRST: u64 = 40;
const LAST: u64 = 240;
/// What may come and go by chance: a connection that is just being tried.
const SLACK: u64 = 6;

/// What cannot be connected to.
pub(super) const FAULTS: &[Fault] = &[Fault {
    name: "connects-fail",
    does: "200 connections in a row are reset, and 200 taken and never answered, by either engine",
    floor: false,
    aside: true,
    run: |world, span| connects(world, span).boxed(),
}];

async fn connects(world: &World, span: &mut Span) -> Evidence {
    span.begins();
    let (reset, silent) =
        futures_util::future::join(in_vain(world, Weather::Reset), in_vain(world, Weather::Silence)).await;
    span.ends();
    Ok(format!("reset: {}; silent: {}", reset?, silent?))
}

/// A process whose engines are behind such weather from the start.
async fn in_vain(world: &World, weather: Weather) -> Evidence {
    let nowhere = ["127.0.0.1:1".to_owned()];
    let (pg, mq) = (Edge::before(&nowhere).await, Edge::before(&nowhere).await);
    pg.set(weather);
    mq.set(weather);
    let engines = Engines { database: through(&pg, &world.database), amqp: through(&mq, &world.queues.urls[0]) };
    let folder = world.folder.join(format!("{weather:?}").to_lowercase());
    crate::process::fresh_folder(&folder);
    let fleet = Fleet::new([engines.clone(), engines], &folder, world.queue_max_length);
    let quick = ["RECONNECT_MIN", "RECONNECT_MAX", "CONNECT_TIMEOUT"].map(|key| format!("LEADLINE__BROKER__{key}"));
    let once: Vec<(&str, String)> = quick.iter().map(|key| (key.as_str(), "40ms".to_owned())).collect();
    let name = fleet.add(Role::Worker, &once);
    let first = after(&fleet, &mq, FIRST).await?;
    after(&fleet, &mq, LAST).await?;
    // Attempts go on meanwhile, so what piles up does not become less.
    let grown = within(EVENTUALLY, || async {
        let last = size(&fleet)?;
        let words = format!("{} → {} threads, {} → {} files", first.threads, last.threads, first.files, last.files);
        let fits = last.threads <= first.threads + SLACK && last.files <= first.files + SLACK;
        if fits { Ok(words) } else { Err(words) }
    });
    let (grown, deaths) = (grown.await, fleet.deaths(0));
    fleet.end();
    match grown {
        Ok(words) if deaths.is_empty() => Ok(words),
        Ok(words) | Err(words) => Err(format!("{name} grew over {LAST} failed connects: {words}; {deaths:?}")),
    }
}

/// The size of the fleet's process once so many connections were tried.
async fn after(fleet: &Fleet, mq: &Edge, attempts: u64) -> Result<Size, String> {
    let reached = within(EVENTUALLY, || async {
        if mq.accepted() >= attempts { Ok(()) } else { Err(format!("only {} connects were tried", mq.accepted())) }
    });
    reached.await?;
    size(fleet)
}

fn size(fleet: &Fleet) -> Result<Size, String> {
    fleet.seen().first().map(|seen| seen.size).ok_or_else(|| "the process is gone".to_owned())
}
