//! `POST /track/lead/batch`: many leads in one request, each answered in its own place.
//!
//! Enters: a secret key and an array of what `POST /track/lead` takes. Leaves: an array of as many results in
//! the same order; each says what the single call would have said, its status and both of its headers included.
//! Of the whole only 200 is said, unless the body as a whole is at fault or its sender may not send it.
//!
//! **Invariant:** nothing that is wrong with one lead changes the result of another.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;
use tokio::task::coop::consume_budget;
use tokio::time::Instant;

use super::auth::Caller;
use super::body::{BatchPayload, Payload, too_large};
use super::lead::{self, refusal};
use super::problem::{Detail, whole_seconds};
use super::traced::Traced;
use super::{Http, Problem};
use crate::intake::Answer;
use crate::lead::{Schema, TrackLead, batch, id};

/// About what a result takes.
const RESULT_BYTES: usize = 640;

/// The route.
pub(super) async fn track(
    State(http): State<Http>,
    Traced(trace): Traced,
    caller: Caller,
    BatchPayload(Payload(body, ..)): BatchPayload,
) -> Result<Response, Problem> {
    // Not from its head: so large a body may take longer than a wait.
    let arrived = Instant::now();
    let pieces = batch::split(&body)?;
    caller.charge(&http, pieces.len())?;
    http.metrics.batch_requests.with_label_values(&[] as &[&str]).observe(pieces.len() as f64);
    let mut bulk = http.intake.bulk(caller.workspace_id, arrived, trace);
    let mut results = Results::with_capacity(pieces.len());
    for some in pieces.chunks(bulk.slice().max(1)) {
        let (mut wishes, mut leads) = (Vec::with_capacity(some.len()), Vec::with_capacity(some.len()));
        for piece in some {
            // Others on this thread have their turn.
            consume_budget().await;
            wishes.push(read(&http, piece).map(|lead| leads.push(lead)));
        }
        let mut answers = bulk.track(leads).await.into_iter();
        for wish in wishes {
            let written = match wish {
                Err(problem) => results.push(&Entry::refused(&problem)),
                Ok(()) => results.answer(&http, &answers.next().ok_or_else(Problem::internal)?),
            };
            written.map_err(|_| Problem::internal())?;
        }
    }
    http.metrics.batch_request_seconds.with_label_values(&[] as &[&str]).observe(arrived.elapsed().as_secs_f64());
    Ok(results.response(http.intake.retry_after()))
}

/// One lead, held to the limits of a body of its own.
fn read(http: &Http, piece: &[u8]) -> Result<TrackLead, Problem> {
    if piece.len() > http.config.body_limit_bytes {
        return Err(too_large());
    }
    Ok(TrackLead::parse(piece, Schema::Server)?)
}

/// One result; of `lead` and `error` there is one.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    status: u16,
    lead_id: Option<String>,
    ending: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lead: Option<lead::Body<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Detail<'a>>,
}

impl<'a> Entry<'a> {
    fn refused(problem: &'a Problem) -> Self {
        let status = problem.status().as_u16();
        Self { status, lead_id: None, ending: None, lead: None, error: Some(problem.detail()) }
    }
}

/// The array, written as its results come.
#[derive(Debug)]
struct Results {
    bytes: Vec<u8>,
    unavailable: bool,
}

impl Results {
    fn with_capacity(count: usize) -> Self {
        Self { bytes: Vec::with_capacity(count * RESULT_BYTES), unavailable: false }
    }

    fn answer(&mut self, http: &Http, answer: &Answer) -> serde_json::Result<()> {
        let lead_id = Some(id::show(id::LEAD, answer.lead_id));
        let ending = answer.ending.map(|ending| ending.as_str());
        match &answer.outcome {
            Ok(tracked) => self.push(&Entry { status: 200, lead_id, ending, lead: Some(tracked.into()), error: None }),
            Err(turned_away) => {
                let problem = refusal(http, turned_away);
                self.push(&Entry { lead_id, ending, ..Entry::refused(&problem) })
            }
        }
    }

    fn push(&mut self, entry: &Entry<'_>) -> serde_json::Result<()> {
        self.unavailable |= entry.status == StatusCode::SERVICE_UNAVAILABLE.as_u16();
        self.bytes.push(if self.bytes.is_empty() { b'[' } else { b',' });
        serde_json::to_writer(&mut self.bytes, entry)
    }

    /// Says when to come again if any of them is to be repeated.
    fn response(mut self, retry_after: Duration) -> Response {
        self.bytes.push(b']');
        let mut response = Response::new(Body::from(self.bytes));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.unavailable {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(retry_after)));
        }
        response
    }
}
