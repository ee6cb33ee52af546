//! Messages that the suite itself puts into the queues: copies in any order, a full queue, poison.
//!
//! **Invariant:** whatever the broker confirmed stands in the diary like a request that was answered 200;
//! of what it refused no row may exist.

use std::time::{Duration, Instant};

use chrono::Utc;
use futures_util::FutureExt;
use leadline::lead::message::ResolvedClick;
use leadline::lead::{LeadMessage, Mode, Schema, TrackLead};
use rand::Rng;
use rand::seq::SliceRandom;
use serde_json::json;
use uuid::Uuid;

use super::{Evidence, Fault, Span, Watch};
use crate::clock::{EVENTUALLY, pause, within};
use crate::diary::{Entry, Kind};
use crate::given::Tenant;
use crate::load::{Wish, blank};
use crate::process::Role;
use crate::queues::Planted;
use crate::world::World;

const CRASHING: &str = "crashes-the-process";

/// What is planted.
pub(super) const FAULTS: &[Fault] = &[
    Fault {
        name: "copies-shuffled",
        does: "messages of the same customers and keys, each one to three times, in any order",
        floor: false,
        aside: false,
        run: |world, span| shuffled(world, span).boxed(),
    },
    Fault {
        name: "queue-full",
        does: "no workers, and every shard queue filled until it refuses",
        floor: false,
        aside: false,
        run: |world, span| full(world, span).boxed(),
    },
    Fault {
        name: "poison",
        does: "undecodable bytes, a foreign version, a row PostgreSQL refuses, a payload that kills its worker",
        floor: false,
        aside: false,
        run: |world, span| poison(world, span).boxed(),
    },
];

/// A message as an API would have made it.
fn message(tenant: &Tenant, wish: &Wish) -> LeadMessage {
    let body = json!({
        "clickId": wish.click.as_deref().unwrap_or_default(), "eventName": wish.event, "mode": wish.mode.as_str(),
        "customerExternalId": wish.customer, "eventQuantity": wish.quantity,
    });
    let lead = TrackLead::parse(body.to_string().as_bytes(), Schema::Server).unwrap();
    let mut message = LeadMessage::new(Uuid::now_v7(), tenant.id, Utc::now(), lead);
    let link = tenant.clicks.iter().find(|(click, _)| Some(click) == wish.click.as_ref()).map(|(_, link)| *link);
    message.resolved = link.map(|link_id| ResolvedClick { link_id, clicked_at: Utc::now(), country: None });
    message
}

/// What the diary says of a planted message.
fn note(world: &World, tenant: &Tenant, wish: &Wish, message: &LeadMessage, taken: bool) {
    let mut line = blank(tenant, wish, Utc::now().timestamp_millis());
    line.lead_id = Some(message.id);
    line.status = if taken { 200 } else { 503 };
    line.link = message.resolved.as_ref().map(|resolved| resolved.link_id).filter(|_| taken);
    let (now, ended_at) = (Instant::now(), Utc::now().timestamp_micros());
    world.diary.note(Entry { line, kind: wish.kind, began: now, ended: now, ended_at, retry_after: true });
}

fn wish(customer: String, event: &str, mode: Mode, click: Option<String>, quantity: i32) -> Wish {
    Wish { customer, event: event.to_owned(), mode, click, quantity, kind: Kind::Planted }
}

/// Customers who defer, follow up, and compete with themselves.
fn stories(world: &World, tenant: &Tenant, customers: usize) -> Vec<Wish> {
    let mut wishes = Vec::new();
    world.draw(|dice| {
        for _ in 0..customers {
            let customer = format!("planted-{:016x}", dice.random::<u64>());
            let click = Some(tenant.click(dice));
            wishes.push(wish(customer.clone(), "Sign Up", Mode::Deferred, click.clone(), 1));
            wishes.push(wish(customer.clone(), "Sign Up", Mode::Async, None, dice.random_range(1..9)));
            wishes.push(wish(customer.clone(), "sign up", Mode::Async, click, dice.random_range(1..9)));
            wishes.push(wish(customer.clone(), "SIGN UP", Mode::Async, Some(tenant.click(dice)), 1));
            wishes.push(wish(customer, "Trial", Mode::Async, None, 2));
        }
    });
    wishes
}

async fn shuffled(world: &World, span: &mut Span) -> Evidence {
    let tenant = &world.tenants[0];
    let wishes = stories(world, tenant, 120);
    let messages: Vec<LeadMessage> = wishes.iter().map(|wish| message(tenant, wish)).collect();
    let mut copies: Vec<Planted> = Vec::new();
    world.draw(|dice| {
        for message in &messages {
            copies.extend((0..dice.random_range(1..=3)).map(|_| Planted::lead(message)));
        }
        copies.shuffle(dice);
    });
    span.begins();
    let taken = world.queues.plant(&copies).await?;
    span.ends();
    for (wish, message) in wishes.iter().zip(&messages) {
        note(world, tenant, wish, message, true);
    }
    if taken.contains(&false) {
        return Err("the broker refused some".to_owned());
    }
    let deferred = wishes.len() / 5;
    let ended = within(EVENTUALLY, || async {
        let ids: Vec<Uuid> = messages.iter().map(|message| message.id).collect();
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM leads WHERE id = ANY($1)")
            .bind(ids)
            .fetch_one(&world.pool)
            .await
            .map_err(|error| error.to_string())?;
        if rows == i64::try_from(messages.len()).unwrap() { Ok(()) } else { Err(format!("{rows} of them ended")) }
    });
    ended.await?;
    Ok(format!("{} copies of {} messages of {deferred} customers", copies.len(), messages.len()))
}

async fn full(world: &World, span: &mut Span) -> Evidence {
    let nacked = Watch::new(world, "leadline_publishes_total", "nacked");
    let direct = Watch::new(world, "leadline_direct_leads_total", "");
    let unconfirmed = Watch::new(world, "leadline_publishes_total", "unconfirmed");
    let tenant = &world.tenants[0];
    let names = world.fleet.names(Role::Worker);
    span.begins();
    names.iter().for_each(|name| world.fleet.dismiss(name));
    // While they stop they take a few thousand more, and work them off.
    world.fleet.gone(&names, EVENTUALLY).await?;
    // Enough for four shards, wherever the customers fall.
    let wishes: Vec<Wish> = world.draw(|dice| {
        let mut one = || wish(format!("filler-{:016x}", dice.random::<u64>()), "Fill", Mode::Async, None, 1);
        let mut wishes: Vec<Wish> = (0..world.queue_max_length * 9 / 2).map(|_| one()).collect();
        wishes.iter_mut().for_each(|wish| wish.click = Some(tenant.click(dice)));
        wishes
    });
    let messages: Vec<LeadMessage> = wishes.iter().map(|wish| message(tenant, wish)).collect();
    let planted: Vec<Planted> = messages.iter().map(Planted::lead).collect();
    let taken =
        world.queues.plant(&planted).await.inspect_err(|_| names.iter().for_each(|name| world.fleet.recall(name)))?;
    for ((wish, message), taken) in wishes.iter().zip(&messages).zip(&taken) {
        note(world, tenant, wish, message, *taken);
    }
    let refused = nacked.bites(20.0, "publishes refused").await;
    pause(Duration::from_millis(500)).await;
    names.iter().for_each(|name| world.fleet.recall(name));
    span.ends();
    // So much at once that the broker may leave publishes without any word: that is an outage and no overload.
    if direct.grown() > 0.0 && unconfirmed.grown() == 0.0 {
        return Err(format!("{} leads went the direct path, and every publish was answered", direct.grown()));
    }
    let planted = taken.iter().filter(|taken| **taken).count();
    let direct = match direct.grown() {
        0.0 => "none went the direct path".to_owned(),
        some => format!("{some} went the direct path after {} publishes without a word", unconfirmed.grown()),
    };
    Ok(format!("{}, {planted} messages in the way, {direct}", refused?))
}

async fn poison(world: &World, span: &mut Span) -> Evidence {
    let (tenant, deaths) = (&world.tenants[0], world.fleet.deaths(0).len());
    let click = || Some(world.draw(|dice| tenant.click(dice)));
    let refused = wish(format!("refused-{:08x}", rand::random::<u32>()), "Poison", Mode::Async, click(), 1);
    let crashing = wish(format!("{CRASHING}-{:08x}", rand::random::<u32>()), "Poison", Mode::Async, click(), 1);
    let mut unstorable = message(tenant, &refused);
    unstorable.quantity = 1000;
    let deadly = message(tenant, &crashing);
    let raw = |body: &[u8]| Planted { queue: "s00".to_owned(), id: Uuid::now_v7().to_string(), body: body.to_vec() };
    let planted =
        [raw(b"\xff\x00 no message"), raw(br#"{"v":9,"id":"x"}"#), Planted::lead(&unstorable), Planted::lead(&deadly)];
    let names = world.fleet.names(Role::Worker);
    world.fleet.stick(&[("LEADLINE_FAULT", format!("worker.read=kill:{CRASHING}"))]);
    names.iter().for_each(|name| world.fleet.renew(name, &[]));
    // A worker that has not been renewed yet would read the deadly one and live.
    pause(Duration::from_millis(100)).await;
    world.fleet.renewed(&names, EVENTUALLY).await?;
    world.poison.lock().unwrap().extend(planted.iter().map(|planted| planted.id.clone()));
    span.begins();
    world.queues.plant(&planted).await?;
    let buried = within(EVENTUALLY, || async {
        let ids: Vec<&str> = planted.iter().map(|planted| planted.id.as_str()).collect();
        let buried: Vec<String> = sqlx::query_scalar("SELECT identity FROM buried_leads WHERE identity = ANY($1)")
            .bind(ids)
            .fetch_all(&world.pool)
            .await
            .map_err(|error| error.to_string())?;
        if buried.len() == planted.len() { Ok(buried.len()) } else { Err(format!("{} buried", buried.len())) }
    });
    let buried = buried.await;
    world.fleet.stick(&[]);
    span.ends();
    let died = within(EVENTUALLY, || async {
        let deaths = world.fleet.deaths(deaths);
        let died =
            deaths.iter().filter(|death| death.signal == Some(9) && death.place.as_deref() == Some("worker.read"));
        match died.count() {
            0 => Err(format!("no worker died of the payload: {deaths:?}")),
            died => Ok(died),
        }
    });
    let died = died.await?;
    Ok(format!("{} buried, after {died} workers had died of the payload", buried?))
}
