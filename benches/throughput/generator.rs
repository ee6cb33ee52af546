//! The load generator: one thread, raw sockets, requests patched into a template.
//!
//! Enters: a [`Job`] as JSON. Leaves: a [`Load`] on standard output, and the diary's lines. Every
//! request is one new customer with a random external id and a real click. While it sends it only
//! notes; latencies are sorted and the diary is written afterwards.
//!
//! **Invariant:** every request sent stands in the diary once, answered or not.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::load::{Job, Load};
use crate::template::{Template, external_id};
use crate::{Outcome, proc, stats};

/// Requests a connection may lose in a row before the run is given up.
const LOST_MAX: u32 = 20;
/// What the timer itself may be late.
const TIMER: std::time::Duration = std::time::Duration::from_millis(3);

/// What is remembered of one request.
struct Note {
    customer: u128,
    click: usize,
    sent_ms: u64,
    took: f64,
    answer: Answer,
}

/// What is remembered of its answer.
#[derive(Default)]
struct Answer {
    status: u16,
    lead: String,
    ending: String,
    link: Option<String>,
    head: usize,
    body: usize,
}

/// Generates the load and prints what came of it.
pub(crate) fn run(job: &str) -> Outcome<()> {
    let job: Job = serde_json::from_str(job)?;
    let clicks: Arc<[String]> = std::fs::read_to_string(&job.clicks)?.lines().map(str::to_owned).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (began_at, began, cpu) = (since_1970(), Instant::now(), proc::own_cpu());
    let notes = runtime.block_on(drive(Arc::new(job.clone()), Arc::clone(&clicks)))?;
    let (took_s, cpu_s) = (began.elapsed().as_secs_f64(), proc::own_cpu() - cpu);
    write_diary(&job, &clicks, &notes)?;
    let took: Vec<f64> = notes.iter().map(|note| note.took).collect();
    let mut by_status = BTreeMap::new();
    for note in &notes {
        *by_status.entry(note.answer.status).or_insert(0) += 1;
    }
    let last = notes.last().map(|note| (note.answer.head, note.answer.body));
    let load = Load {
        by_status,
        began_at,
        took_s,
        p50_ms: stats::percentile(&took, 0.5),
        p99_ms: stats::percentile(&took, 0.99),
        cpu_s,
        head_bytes: last.unwrap_or_default().0,
        body_bytes: last.unwrap_or_default().1,
    };
    println!("{}", serde_json::to_string(&load)?);
    Ok(())
}

async fn drive(job: Arc<Job>, clicks: Arc<[String]>) -> Outcome<Vec<Note>> {
    let until = Instant::now() + std::time::Duration::from_secs_f64(job.seconds);
    let mut connections = tokio::task::JoinSet::new();
    for _ in 0..job.connections {
        connections.spawn(one_connection(Arc::clone(&job), Arc::clone(&clicks), until));
    }
    let mut notes = Vec::new();
    while let Some(done) = connections.join_next().await {
        notes.append(&mut done??);
    }
    Ok(notes)
}

async fn one_connection(job: Arc<Job>, clicks: Arc<[String]>, until: Instant) -> Outcome<Vec<Note>> {
    let mut rng = SmallRng::from_os_rng();
    let mut template = Template::new(&job);
    let mut notes = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    let (mut stream, mut lost) = (None, 0);
    let mut next = tokio::time::Instant::now();
    while Instant::now() < until {
        let mut late = std::time::Duration::ZERO;
        if job.pace > 0.0 {
            tokio::time::sleep_until(next).await;
            // A request that the one before it held up is timed from when it was due.
            late = Some(next.elapsed()).filter(|late| *late > TIMER).unwrap_or_default();
            next += std::time::Duration::from_secs_f64(1.0 / job.pace);
        }
        let connection = match &mut stream {
            Some(connection) => connection,
            none => none.insert(connect(&job.address).await?),
        };
        let (customer, click) = (rng.random(), rng.random_range(0..clicks.len()));
        let id = clicks.get(click).map_or("", String::as_str);
        let request = template.fill(customer, id);
        let (sent_ms, sent) = (now_ms(), Instant::now());
        let answer = exchange(connection, request, &mut buffer).await;
        let took = (late + sent.elapsed()).as_secs_f64() * 1000.0;
        lost = if answer.is_some() { 0 } else { lost + 1 };
        if answer.is_none() {
            stream = None;
        }
        let answer = answer.unwrap_or_default();
        notes.push(Note { customer, click, sent_ms, took, answer });
        if lost > LOST_MAX {
            return Err(format!("{} lost {lost} requests in a row", job.address).into());
        }
    }
    Ok(notes)
}

async fn connect(address: &str) -> Outcome<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends one request and reads its answer; `None` when the connection was lost on the way.
async fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut [u8]) -> Option<Answer> {
    stream.write_all(request).await.ok()?;
    let mut filled = 0;
    loop {
        let read = stream.read(buffer.get_mut(filled..)?).await.ok()?;
        if read == 0 {
            return None;
        }
        filled += read;
        if let Some(answer) = parse(buffer.get(..filled)?) {
            return Some(answer);
        }
    }
}

/// Reads an answer; `None` while it is incomplete.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut answer = Answer { status: head.get(9..12)?.parse().ok()?, head: head.len() + 4, ..Answer::default() };
    for line in head.split("\r\n").skip(1) {
        let (name, value) = line.split_once(": ")?;
        match name {
            "content-length" => answer.body = value.parse().ok()?,
            "x-lead-id" => value.clone_into(&mut answer.lead),
            "x-lead-ending" => value.clone_into(&mut answer.ending),
            _ => {}
        }
    }
    if body.len() < answer.body {
        return None;
    }
    let link = body.split_once(r#""link":{"id":""#);
    answer.link = link.and_then(|(_, rest)| rest.get(..31)).map(str::to_owned);
    Some(answer)
}

fn write_diary(job: &Job, clicks: &[String], notes: &[Note]) -> Outcome<()> {
    if job.diary.is_empty() {
        return Ok(());
    }
    let file = std::fs::File::options().append(true).create(true).open(&job.diary)?;
    let mut file = std::io::BufWriter::new(file);
    for note in notes {
        let answer = &note.answer;
        let line = serde_json::json!({
            "lead_id": some(&answer.lead),
            "workspace_id": job.workspace,
            "customer": external_id(note.customer),
            "event": Template::EVENT,
            "mode": job.mode,
            "click_id": clicks.get(note.click),
            "quantity": 1,
            "status": answer.status,
            "ending": some(&answer.ending),
            "duplicate": answer.status == 200 && answer.link.is_none(),
            "link": answer.link,
            "at": note.sent_ms,
        });
        writeln!(file, "{line}")?;
    }
    Ok(file.flush()?)
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn since_1970() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(0)
}
