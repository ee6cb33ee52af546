//! The load generator: one thread, raw sockets, requests patched into templates.
//!
//! Enters: a [`Job`] as JSON on standard input. Leaves: a [`Load`] on standard output, and the diary's
//! lines. All connections stand before the clock starts. While it sends it only notes; times are sorted,
//! lists of answers read and the diary written afterwards.
//!
//! **Invariant:** every request sent stands in the diary once, answered or not.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::task::{JoinSet, LocalSet};

use super::answer::Answer;
use super::deck::Deck;
use super::pace::Pace;
use super::template::{Form, Templates, Wish};
use super::wire::Wire;
use super::{Job, Load, Traffic, bulk, diary};
use crate::ground::proc;
use crate::stats::Times;
use crate::{Outcome, stats};

/// How long after the last request was begun or due its answer may come.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);
/// Requests a connection may lose in a row before the run is given up.
const LOST_MAX: u32 = 20;

/// What is remembered of one lead.
#[derive(Debug)]
pub(super) struct Note {
    pub(super) wish: Wish,
    pub(super) sent_ms: u64,
    pub(super) answer: Answer,
}

/// What one connection did.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) notes: Vec<Note>,
    /// The answers' times, in milliseconds.
    pub(super) took: Vec<f64>,
    /// Size of the last answer's body.
    pub(super) body_bytes: usize,
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) job: Job,
    pub(super) clicks: Vec<String>,
    pub(super) pace: Pace,
    pub(super) deck: RefCell<Deck>,
}

impl Stage {
    /// The click id of a wish, empty for a follow-up.
    pub(super) fn click(&self, wish: &Wish) -> &str {
        match wish.form {
            Form::FollowUp => "",
            _ => self.clicks.get(wish.click).map_or("", String::as_str),
        }
    }
}

/// Generates the load and prints what came of it.
pub(crate) fn run() -> Outcome<()> {
    let job: Job = serde_json::from_reader(std::io::stdin())?;
    let clicks: Vec<String> = std::fs::read_to_string(&job.clicks)?.lines().map(str::to_owned).collect();
    let deferred = if job.traffic == Traffic::FollowUp { diary::deferred(&job)? } else { Vec::new() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let (sent, mut load) = runtime.block_on(local.run_until(drive(job.clone(), clicks.clone(), deferred)))?;
    if sent.took.is_empty() {
        return Err("no request was sent".into());
    }
    diary::write(&job, &clicks, &sent.notes)?;
    diary::note_deferred(&job, &sent.notes)?;
    for note in &sent.notes {
        let answer = &note.answer;
        *load.by_status.entry(answer.status).or_insert(0) += 1;
        load.repeats += u64::from(answer.status == 200 && answer.ending == "duplicate");
        load.deferred += u64::from(answer.status == 200 && note.wish.form == Form::Deferred);
    }
    load.times = Times::of(sent.took);
    println!("{}", serde_json::to_string(&load)?);
    Ok(())
}

async fn drive(job: Job, clicks: Vec<String>, deferred: Vec<u128>) -> Outcome<(Sent, Load)> {
    let mut wires = Vec::with_capacity(job.connections);
    for address in job.addresses.iter().cycle().take(job.connections) {
        wires.push((Wire::open(address).await?, Templates::new(&job, address)));
    }
    let (began_at, began, cpu) = (since_1970(), Instant::now(), proc::own_cpu());
    let deck = RefCell::new(Deck::new(&job, clicks.len(), deferred));
    let stage = Rc::new(Stage { pace: Pace::start(&job), job, clicks, deck });
    let mut connections = JoinSet::new();
    for (wire, templates) in wires {
        match stage.job.traffic {
            Traffic::Bulk(leads) => connections.spawn_local(bulk::connection(Rc::clone(&stage), wire, leads)),
            _ => connections.spawn_local(connection(Rc::clone(&stage), wire, templates)),
        };
    }
    stage.pace.keep(stage.job.connections).await?;
    let until = tokio::time::Instant::now() + Duration::from_secs_f64(stage.job.seconds) + ANSWERED_WITHIN;
    let mut all = Sent::default();
    let late = |_| format!("no answer for {ANSWERED_WITHIN:?}");
    while let Some(done) = tokio::time::timeout_at(until, connections.join_next()).await.map_err(late)? {
        let mut done = done??;
        all.notes.append(&mut done.notes);
        all.took.append(&mut done.took);
        all.body_bytes = all.body_bytes.max(done.body_bytes);
    }
    let load = Load {
        by_status: BTreeMap::new(),
        repeats: 0,
        deferred: 0,
        began_at,
        took_s: began.elapsed().as_secs_f64(),
        times: Times::default(),
        cpu_s: proc::own_cpu() - cpu,
        memory: proc::peak_memory(std::process::id()).unwrap_or(0),
        body_bytes: all.body_bytes,
    };
    Ok((all, load))
}

async fn connection(stage: Rc<Stage>, mut wire: Wire, mut templates: Templates) -> Outcome<Sent> {
    let mut sent = Sent::default();
    let mut lost = 0;
    while let Some(due) = stage.pace.next().await {
        let Some(wish) = stage.deck.borrow_mut().next() else { break };
        let request = templates.fill(&wish, stage.click(&wish));
        let sent_ms = now_ms();
        let reply = wire.exchange(request).await;
        sent.took.push(stats::ms(due.elapsed()));
        let answer = reply.and_then(|reply| {
            sent.body_bytes = reply.body.len();
            Answer::read(reply.head, reply.body)
        });
        lost = if answer.is_some() { 0 } else { lost + 1 };
        let answer = answer.unwrap_or_default();
        stage.deck.borrow_mut().note(&wish, answer.status);
        sent.notes.push(Note { wish, sent_ms, answer });
        if lost > LOST_MAX {
            return Err(format!("lost {lost} requests in a row").into());
        }
    }
    Ok(sent)
}

fn since_1970() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(0)
}
