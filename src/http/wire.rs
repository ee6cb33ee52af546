//! One connection's bytes with deadlines that the protocol layer does not know.
//!
//! Two are added: a head must be complete soon after its first byte (and the first head soon after the
//! connection), while an idle connection may stay longer; and a client must take what it is sent.
//!
//! **Invariant:** no connection is held by a client that neither sends nor reads.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// How far a connection has come: heads read and answers given. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    heads: AtomicU64,
    answers: AtomicU64,
}

impl Progress {
    /// A head was read.
    pub(super) fn head(&self) {
        self.0.heads.fetch_add(1, Ordering::Relaxed);
    }

    /// Its request was answered.
    pub(super) fn answer(&self) {
        self.0.answers.fetch_add(1, Ordering::Relaxed);
    }

    fn heads(&self) -> u64 {
        self.0.heads.load(Ordering::Relaxed)
    }

    fn is_busy(&self) -> bool {
        self.heads() != self.0.answers.load(Ordering::Relaxed)
    }
}

/// A TCP stream under deadlines.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    progress: Progress,
    head_timeout: Duration,
    write_timeout: Duration,
    /// When the head that has begun must be complete, and how many were complete before it.
    head: Option<(u64, Pin<Box<Sleep>>)>,
    /// When the client must have taken something.
    write: Option<Pin<Box<Sleep>>>,
}

impl Wire {
    /// The clock of the first head runs from now.
    pub(super) fn new(stream: TcpStream, progress: Progress, head_timeout: Duration, write_timeout: Duration) -> Self {
        let head = Some((progress.heads(), sleep(head_timeout)));
        Self { stream, progress, head_timeout, write_timeout, head, write: None }
    }

    /// Whether the head under way is late; forgets the clock of one that is complete.
    fn head_is_late(&mut self, context: &mut Context<'_>) -> bool {
        let heads = self.progress.heads();
        self.head.take_if(|(before, _)| *before != heads);
        self.head.as_mut().is_some_and(|(_, clock)| clock.as_mut().poll(context).is_ready())
    }

    /// The outcome of a write; one that stands still for too long is an error.
    fn written<T>(&mut self, outcome: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.write = None;
            return outcome;
        }
        let timeout = self.write_timeout;
        ready!(self.write.get_or_insert_with(|| sleep(timeout)).as_mut().poll(context));
        Poll::Ready(Err(late("the client does not take its answer")))
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        if wire.head_is_late(context) {
            return Poll::Ready(Err(late("the request's head did not arrive in time")));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut wire.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before && wire.head.is_none() && !wire.progress.is_busy() {
            wire.head = Some((wire.progress.heads(), sleep(wire.head_timeout)));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let outcome = Pin::new(&mut wire.stream).poll_write(context, bytes);
        wire.written(outcome, context)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let outcome = Pin::new(&mut wire.stream).poll_write_vectored(context, slices);
        wire.written(outcome, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

fn sleep(duration: Duration) -> Pin<Box<Sleep>> {
    Box::pin(tokio::time::sleep_until(Instant::now() + duration))
}

fn late(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}
