//! Reads a request's body: bounded in size and in time, whatever content type it claims or lacks.
//!
//! A body in one piece, as every honest lead is, is taken without a copy. What comes after the limit
//! is read and thrown away for a while, so that a client that writes before it reads still sees its
//! 413 instead of a reset connection.
//!
//! Room is reserved before the first byte is read; where there is none, 503 is said early.
//!
//! **Invariant:** never more than the limit and one frame of a body is in memory, nor of all bodies more than their room.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::EXPECT;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::{Http, Problem};

/// A body, whole, and the room it takes until its handler is done.
#[derive(Debug)]
pub(super) struct Payload(pub(super) Bytes, #[expect(dead_code, reason = "held for its drop")] pub(super) Room);

/// The same where many leads may stand in one body.
#[derive(Debug)]
pub(super) struct BatchPayload(pub(super) Payload);

/// How many bytes of bodies may be in memory at once; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Space(Arc<Semaphore>);

type Room = OwnedSemaphorePermit;

impl Space {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// Room for so many bytes, or `None` at once.
    fn take(&self, bytes: usize) -> Option<Room> {
        Arc::clone(&self.0).try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()
    }
}

/// What a caller is told for whom there is no room.
const RETRY: Duration = Duration::from_secs(1);

/// How much of an oversized body is read for the client's sake.
const DRAINED_BYTES: u64 = 64 * 1024 * 1024;

impl FromRequest<Http> for Payload {
    type Rejection = Problem;

    async fn from_request(request: Request, http: &Http) -> Result<Self, Problem> {
        Self::read(request, http, http.config.body_limit_bytes).await
    }
}

impl FromRequest<Http> for BatchPayload {
    type Rejection = Problem;

    async fn from_request(request: Request, http: &Http) -> Result<Self, Problem> {
        Payload::read(request, http, http.config.batch_limit_bytes).await.map(Self)
    }
}

impl Payload {
    async fn read(request: Request, http: &Http, limit: usize) -> Result<Self, Problem> {
        let polite = request.headers().contains_key(EXPECT);
        let mut body = request.into_body();
        let announced = body.size_hint().lower();
        let too_long = usize::try_from(announced).map_or(true, |bytes| bytes > limit);
        // Before a byte is read: as much as is announced, or as much as may come.
        let expected = body.size_hint().upper().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(limit);
        let Some(room) = http.space.take(expected.min(limit)) else {
            http.metrics.turned_away.with_label_values(&["bytes"]).inc();
            return Err(Problem::unavailable(RETRY));
        };
        let work = async {
            if too_long {
                // Who asked for leave to send has not sent anything yet.
                if !polite && announced <= DRAINED_BYTES {
                    drain(&mut body).await;
                }
                return Err(too_large());
            }
            match Limited::new(&mut body, limit).collect().await {
                Ok(collected) => Ok(Self(collected.to_bytes(), room)),
                Err(error) if error.is::<LengthLimitError>() => {
                    drain(&mut body).await;
                    Err(too_large())
                }
                Err(_) => Err(Problem::bad_request("The request body ended early.")),
            }
        };
        timeout(http.config.body_timeout, work).await.unwrap_or_else(|_| {
            Err(Problem::transport(StatusCode::REQUEST_TIMEOUT, "The request body did not arrive in time."))
        })
    }
}

async fn drain(body: &mut Body) {
    let mut left = DRAINED_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        left = left.saturating_sub(u64::try_from(bytes).unwrap_or(u64::MAX));
        if left == 0 {
            return;
        }
    }
}

/// What is said of a body beyond its limit.
pub(super) fn too_large() -> Problem {
    Problem::transport(StatusCode::PAYLOAD_TOO_LARGE, "The request body is too large.")
}
