//! One client: sends a wish, repeats it as its 503 or its lost connection advises, writes the diary.
//!
//! Enters: a wish. Leaves: its last answer; every attempt is in the diary. An answer to `wait` that says
//! "recorded" is looked up in PostgreSQL at once, beside the service: it has to be true already.
//!
//! **Invariant:** no attempt is missing from the diary, however it ended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::Utc;
use leadline::lead::{DiaryLine, Ending, Mode, event_key, id};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::time::timeout;
use uuid::Uuid;

use crate::clock::pause;
use crate::diary::{Diary, Entry, Kind};
use crate::fleet::Fleet;
use crate::given::Tenant;

/// How often a wish is sent at most.
const ATTEMPTS: usize = 4;
/// A lost connection is tried again after this; a 503 after its `Retry-After`.
const AGAIN: Duration = Duration::from_millis(400);
const LONGEST_RETRY_AFTER: u64 = 3;
const PATIENCE: Duration = Duration::from_secs(7);

/// One request to be.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) customer: String,
    pub(crate) event: String,
    pub(crate) mode: Mode,
    pub(crate) click: Option<String>,
    pub(crate) quantity: i32,
    pub(crate) kind: Kind,
}

/// Sends to whichever API is next, as a balancer would; clones share everything.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) diary: Diary,
    http: reqwest::Client,
    fleet: Fleet,
    books: PgPool,
    turn: Arc<AtomicUsize>,
}

impl Client {
    /// A client of a fleet; `books` leads to PostgreSQL itself.
    pub(crate) fn new(fleet: &Fleet, diary: &Diary, books: &PgPool) -> Self {
        // Idle connections end here before they do at the API, which would be an answer lost now and then.
        let http = reqwest::Client::builder().timeout(PATIENCE).pool_max_idle_per_host(256);
        let http = http.pool_idle_timeout(Duration::from_secs(30)).build().unwrap();
        Self { diary: diary.clone(), http, fleet: fleet.clone(), books: books.clone(), turn: Arc::default() }
    }

    /// Sends a wish until it is answered with anything but 503 or silence; the last status.
    pub(crate) async fn send(&self, tenant: &Tenant, wish: &Wish) -> u16 {
        let mut status = 0;
        for _ in 0..ATTEMPTS {
            let entry = self.attempt(tenant, wish, self.next(), PATIENCE).await;
            status = entry.line.status;
            match status {
                0 => pause(AGAIN).await,
                503 => pause(self.advised(&entry)).await,
                _ => return status,
            }
        }
        status
    }

    /// Sends a wish once, to one API.
    pub(crate) async fn send_to(&self, tenant: &Tenant, wish: &Wish, api: SocketAddr) -> Entry {
        self.attempt(tenant, wish, Some(api), PATIENCE).await
    }

    /// Sends a wish once and hangs up after this time.
    pub(crate) async fn hang_up(&self, tenant: &Tenant, wish: &Wish, after: Duration) {
        self.attempt(tenant, wish, self.next(), after).await;
    }

    fn next(&self) -> Option<SocketAddr> {
        let apis = self.fleet.addresses();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        apis.get(turn % apis.len().max(1)).copied()
    }

    fn advised(&self, entry: &Entry) -> Duration {
        if !entry.retry_after {
            self.diary.accuse(format!("a 503 without a usable Retry-After: {:?}", entry.line));
        }
        Duration::from_secs(1)
    }

    async fn attempt(&self, tenant: &Tenant, wish: &Wish, api: Option<SocketAddr>, patience: Duration) -> Entry {
        let (began, at) = (Instant::now(), Utc::now().timestamp_millis());
        let answer = match api {
            Some(api) => timeout(patience, self.request(tenant, wish, api)).await.ok().flatten(),
            None => None,
        };
        let mut line = blank(tenant, wish, at);
        let mut retry_after = false;
        if let Some(answer) = answer {
            line.status = answer.status;
            line.lead_id = answer.header("x-lead-id").and_then(|text| id::read(id::LEAD, text));
            line.ending = answer.header("x-lead-ending").and_then(Ending::parse);
            line.link = answer.body["link"]["id"].as_str().and_then(|text| id::read(id::LINK, text));
            line.duplicate = answer.status == 200 && line.link.is_none();
            let advice = answer.header("retry-after").and_then(|text| text.parse::<u64>().ok());
            retry_after = advice.is_some_and(|seconds| (1..=LONGEST_RETRY_AFTER).contains(&seconds));
        }
        let (ended, ended_at) = (Instant::now(), Utc::now().timestamp_micros());
        let entry = Entry { line, kind: wish.kind, began, ended, ended_at, retry_after };
        self.diary.note(entry.clone());
        self.hold_to_its_word(tenant, &entry).await;
        entry
    }

    async fn request(&self, tenant: &Tenant, wish: &Wish, api: SocketAddr) -> Option<Answer> {
        let sent = self.http.post(format!("http://{api}/track/lead")).bearer_auth(&tenant.secret).json(&body(wish));
        let answer = sent.send().await.ok()?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.json().await.ok()?;
        Some(Answer { status, headers, body })
    }

    /// `wait` answered 200 says that the row stands: it has to stand now, not later.
    async fn hold_to_its_word(&self, tenant: &Tenant, entry: &Entry) {
        let line = &entry.line;
        let (Mode::Wait, 200, Some(lead_id)) = (line.mode, line.status, line.lead_id) else {
            return;
        };
        let found: Result<Option<Uuid>, _> = sqlx::query_scalar(
            "SELECT id FROM leads WHERE workspace_id = $1 AND customer_external_id = $2 AND event_key = $3 AND ending = 'recorded'",
        )
        .bind(tenant.id)
        .bind(&line.customer)
        .bind(event_key(&line.event))
        .fetch_optional(&self.books)
        .await;
        // Where PostgreSQL itself has just been killed nobody can look; the end of the run does.
        let Ok(found) = found else {
            return;
        };
        let own = line.ending == Some(Ending::Recorded);
        if found.is_none() || own && found != Some(lead_id) {
            self.diary.accuse(format!("a wait was answered 200 and its row did not stand: {line:?}, found {found:?}"));
        }
    }
}

struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// The diary's line of a wish before it is answered.
pub(crate) fn blank(tenant: &Tenant, wish: &Wish, at: i64) -> DiaryLine {
    DiaryLine {
        lead_id: None,
        workspace_id: Some(tenant.id),
        customer: wish.customer.clone(),
        event: wish.event.clone(),
        mode: wish.mode,
        click_id: wish.click.clone().unwrap_or_default(),
        quantity: wish.quantity,
        status: 0,
        ending: None,
        duplicate: false,
        link: None,
        at,
    }
}

fn body(wish: &Wish) -> Value {
    json!({
        "clickId": wish.click.as_deref().unwrap_or_default(),
        "eventName": wish.event,
        "customerExternalId": wish.customer,
        "customerEmail": format!("{}@example.com", wish.customer),
        "mode": wish.mode.as_str(),
        "eventQuantity": wish.quantity,
        "metadata": {"plan": "pro", "seats": wish.quantity},
    })
}
