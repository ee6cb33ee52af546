//! Sends one batch until every lead of it is answered.
//!
//! Enters: a batch. Leaves: a verdict for each line. What is to come again (503, 429, no answer) does so after a
//! growing pause, no shorter than the server asks for; a body that is too large for it is sent in parts.
//!
//! A follow-up that is refused because nobody knows its customer is asked about once more when every line before
//! it is answered: one that is still on its way on another connection may have made him known.
//!
//! **Invariant:** a verdict is what the server said last; the key goes into one header and nowhere else.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::super::error::CliError;
use super::line::{Batch, Refusal, Verdict};
use super::progress::Progress;
use crate::lifecycle::{Delays, Stop};

/// Longer than a server takes for a batch, whatever happens to its engines.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);
const CONNECTED_WITHIN: Duration = Duration::from_secs(10);
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// The longest pause that a server may ask for.
const ASKED_MAX: Duration = Duration::from_secs(600);

/// What batches are sent with.
#[derive(Debug)]
pub(super) struct Courier {
    pub(super) url: String,
    pub(super) key: SecretString,
    /// How long one batch may go without any progress.
    pub(super) patience: Duration,
    /// Most leads in one request; shrinks when the server takes no more.
    pub(super) most: AtomicUsize,
    pub(super) stop: Stop,
    /// The first batch that is not answered yet.
    pub(super) frontier: watch::Receiver<u64>,
    pub(super) client: Client,
}

/// What a request came to.
enum Word {
    /// A result for each lead.
    Told(Vec<Told>, Duration),
    /// Fewer leads, at once.
    Fewer(usize),
    /// The same again, not before so long.
    Later(Duration, String),
}

/// One result.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    status: u16,
    lead_id: Option<String>,
    ending: Option<String>,
    error: Option<Box<RawValue>>,
}

/// A client for one server.
///
/// # Errors
/// [`CliError`] when there is none, as with certificates that cannot be read.
pub(super) fn client(url: &str) -> Result<Client, CliError> {
    let builder = Client::builder().timeout(ANSWERED_WITHIN).connect_timeout(CONNECTED_WITHIN);
    builder.redirect(Policy::none()).build().map_err(|error| CliError::Http(url.to_owned(), error))
}

impl Courier {
    /// Sends a batch; `None` when the stop came first.
    ///
    /// # Errors
    /// [`CliError`] naming the lines, for an answer that no repetition changes, or when patience is at an end.
    pub(super) async fn deliver(&self, batch: &Batch, progress: &Progress) -> Result<Option<Vec<Verdict>>, CliError> {
        let own = batch.lines.iter().map(|line| line.lead.as_ref().err().cloned().map(Verdict::Refused));
        let mut verdicts: Vec<Option<Verdict>> = own.collect();
        let mut frontier = self.frontier.clone();
        let last = *frontier.borrow() >= batch.number;
        if !self.send(batch, &mut verdicts, progress).await? {
            return Ok(None);
        }
        let early = |verdict: &&mut Option<Verdict>| matches!(verdict, Some(Verdict::Refused(why)) if why.of_nobody);
        if !last && verdicts.iter_mut().filter(early).map(|verdict| *verdict = None).count() > 0 {
            let reached = self.stop.unless_asked(frontier.wait_for(|next| *next >= batch.number)).await.is_some();
            if !reached || !self.send(batch, &mut verdicts, progress).await? {
                return Ok(None);
            }
        }
        Ok(Some(verdicts.into_iter().flatten().collect()))
    }

    /// Sends what has no verdict until it has one; `false` when the stop came first.
    async fn send(
        &self,
        batch: &Batch,
        verdicts: &mut [Option<Verdict>],
        progress: &Progress,
    ) -> Result<bool, CliError> {
        let mut delays = Delays::new(PAUSE_MIN, PAUSE_MAX);
        let mut since = Instant::now();
        loop {
            let mut open: Vec<(&str, &mut Option<Verdict>)> = (batch.lines.iter().zip(verdicts.iter_mut()))
                .filter(|(_, verdict)| verdict.is_none())
                .filter_map(|(line, verdict)| Some((line.lead.as_deref().ok()?, verdict)))
                .take(self.most.load(Ordering::Relaxed))
                .collect();
            if open.is_empty() {
                return Ok(true);
            }
            let (pause, why) = match self.post(&open).await.map_err(|error| named(batch, &error))? {
                Word::Fewer(most) => {
                    self.most.fetch_min(most, Ordering::Relaxed);
                    continue;
                }
                Word::Later(pause, why) => {
                    progress.note(&format!("{}: trying again: {why}", batch.name()));
                    (pause, why)
                }
                Word::Told(told, pause) => {
                    let mut left = false;
                    for ((_, verdict), told) in open.iter_mut().zip(told) {
                        **verdict = told.verdict();
                        left |= verdict.is_none();
                        if verdict.is_some() {
                            since = Instant::now();
                        }
                    }
                    if !left {
                        delays.reset();
                        continue;
                    }
                    (pause, "503 for some of them".to_owned())
                }
            };
            if since.elapsed() > self.patience {
                return Err(named(batch, &CliError::said(format!("given up after {:?}: {why}", self.patience))));
            }
            if self.stop.unless_asked(sleep(delays.next().max(pause))).await.is_none() {
                return Ok(false);
            }
        }
    }

    async fn post(&self, open: &[(&str, &mut Option<Verdict>)]) -> Result<Word, CliError> {
        let mut body = String::with_capacity(open.iter().map(|(lead, _)| lead.len() + 1).sum::<usize>() + 1);
        for (lead, _) in open {
            body.push(if body.is_empty() { '[' } else { ',' });
            body.push_str(lead);
        }
        body.push(']');
        let request = self.client.post(&self.url).bearer_auth(self.key.expose_secret());
        match request.header(CONTENT_TYPE, "application/json").body(body).send().await {
            Ok(response) => self.read(response, open.len()).await,
            Err(error) if error.is_builder() => Err(CliError::Http(self.url.clone(), error)),
            Err(error) => Ok(Word::Later(Duration::ZERO, cause(&error))),
        }
    }

    async fn read(&self, response: Response, count: usize) -> Result<Word, CliError> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = match response.bytes().await {
            Ok(body) => body,
            Err(error) => return Ok(Word::Later(Duration::ZERO, cause(&error))),
        };
        let said = || format!("{} answered {status}: {}", self.url, message(&body));
        let pause = Duration::from_secs(number(&headers, "retry-after").unwrap_or(0)).min(ASKED_MAX);
        let burst = number(&headers, "x-ratelimit-limit").and_then(|burst| usize::try_from(burst).ok());
        match status {
            200 => match serde_json::from_slice::<Vec<Told>>(&body) {
                Ok(told) if told.len() == count => Ok(Word::Told(told, pause)),
                _ => Err(CliError::said(format!("{} does not answer as a Leadline server does", self.url))),
            },
            413 if count > 1 => Ok(Word::Fewer(count / 2)),
            429 if burst.is_some_and(|burst| (1..count).contains(&burst)) => Ok(Word::Fewer(burst.unwrap_or(1))),
            408 | 429 | 500 | 502 | 503 | 504 => Ok(Word::Later(pause, said())),
            _ => Err(CliError::said(said())),
        }
    }
}

impl Told {
    /// `None`: to be sent again.
    fn verdict(self) -> Option<Verdict> {
        let Self { status, lead_id, ending, error } = self;
        match status {
            200 => Some(Verdict::Accepted { duplicate: ending.as_deref() == Some("duplicate") }),
            408 | 429 | 500.. => None,
            _ => Some(Verdict::Refused(Refusal {
                status,
                error: error.unwrap_or_default(),
                of_nobody: status == 400 && lead_id.is_some(),
            })),
        }
    }
}

fn named(batch: &Batch, error: &CliError) -> CliError {
    CliError::said(format!("{}: {error}", batch.name()))
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// What an error's envelope says, or the beginning of whatever else came.
fn message(body: &[u8]) -> String {
    let said = serde_json::from_slice::<Value>(body).ok();
    let said = said.as_ref().and_then(|body| body.pointer("/error/message")).and_then(Value::as_str);
    said.map_or_else(|| String::from_utf8_lossy(body).chars().take(200).collect(), str::to_owned)
}

/// The innermost reason; what stands around it says that there was no answer.
fn cause(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    format!("no answer: {inner}")
}
