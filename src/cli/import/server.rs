//! One request to the batch route, and what it came to.
//!
//! Enters: leads. Leaves: a result for each, or what to do instead: fewer at once, later, or nothing more, since
//! no repetition would change the answer.
//!
//! **Invariant:** the key goes into one header and nowhere else.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use url::Url;

use super::super::error::{CliError, cause};
use super::line::{Refusal, Verdict};

/// Longer than a server takes for a batch, whatever happens to its engines.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);
const CONNECTED_WITHIN: Duration = Duration::from_secs(10);
/// The longest pause that a server may ask for.
const ASKED_MAX: Duration = Duration::from_secs(600);

/// Where batches go.
#[derive(Debug)]
pub(super) struct Server {
    url: String,
    key: SecretString,
    client: Client,
}

/// What a request came to.
#[derive(Debug)]
pub(super) enum Word {
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
pub(super) struct Told {
    status: u16,
    lead_id: Option<String>,
    ending: Option<String>,
    error: Option<Box<RawValue>>,
}

impl Server {
    /// A server by its address.
    ///
    /// # Errors
    /// [`CliError`] when the address is none, or certificates cannot be read.
    pub(super) fn at(base: &str, key: SecretString) -> Result<Self, CliError> {
        match Url::parse(base).as_ref().map(Url::scheme) {
            Ok("https") if !cfg!(feature = "tls") => {
                return Err(CliError::said(format!("{base}: this build has no TLS (feature `tls`)")));
            }
            Ok("http" | "https") => {}
            _ => return Err(CliError::said(format!("{base} is no address such as https://leads.example.com"))),
        }
        let builder = Client::builder().timeout(ANSWERED_WITHIN).connect_timeout(CONNECTED_WITHIN);
        let client =
            builder.redirect(Policy::none()).build().map_err(|error| CliError::Http(base.to_owned(), error))?;
        Ok(Self { url: format!("{}/track/lead/batch", base.trim_end_matches('/')), key, client })
    }

    /// Sends leads, each as JSON.
    ///
    /// # Errors
    /// [`CliError`] for an answer that no repetition changes.
    pub(super) async fn post(&self, leads: &[&str]) -> Result<Word, CliError> {
        let mut body = String::with_capacity(leads.iter().map(|lead| lead.len() + 1).sum::<usize>() + 1);
        for lead in leads {
            body.push(if body.is_empty() { '[' } else { ',' });
            body.push_str(lead);
        }
        body.push(']');
        let request = self.client.post(&self.url).bearer_auth(self.key.expose_secret());
        match request.header(CONTENT_TYPE, "application/json").body(body).send().await {
            Ok(response) => self.read(response, leads.len()).await,
            Err(error) if error.is_builder() => Err(CliError::Http(self.url.clone(), error)),
            Err(error) => Ok(Word::Later(Duration::ZERO, unanswered(&error))),
        }
    }

    async fn read(&self, response: Response, count: usize) -> Result<Word, CliError> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = match response.bytes().await {
            Ok(body) => body,
            Err(error) => return Ok(Word::Later(Duration::ZERO, unanswered(&error))),
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
    /// What it says of its lead; `None`: to be sent again.
    pub(super) fn verdict(self) -> Option<Verdict> {
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

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// What an error's envelope says, or the beginning of whatever else came.
fn message(body: &[u8]) -> String {
    let said = serde_json::from_slice::<Value>(body).ok();
    let said = said.as_ref().and_then(|body| body.pointer("/error/message")).and_then(Value::as_str);
    said.map_or_else(|| String::from_utf8_lossy(body).chars().take(200).collect(), str::to_owned)
}

fn unanswered(error: &reqwest::Error) -> String {
    format!("no answer: {}", cause(error))
}
