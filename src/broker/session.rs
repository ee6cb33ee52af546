//! One connection to the broker, from handshake to end, with a deadline around every answer.
//!
//! lapin waits without end for a silent peer, and a connection it is waiting on cannot be taken from
//! it. So we keep a second handle on the socket: cutting it makes lapin's thread end and every one of
//! its promises fail.
//!
//! **Invariant:** an answer that does not come in time ends the connection; no attempt to connect
//! leaves a thread or a socket behind.

use std::future::Future;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::Stream;
use lapin::tcp::{AMQPUriTcpExt, TLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties, Event};
use tokio_util::sync::CancellationToken;

use super::{BrokerError, tls};
use crate::config;

/// Largest frame, unless the URL has another `frame_max`. lapin keeps 32 of them in memory for each direction of a connection:
/// 16 MiB in a process with two, at the 128 KiB that RabbitMQ offers. A larger message takes more frames.
const FRAME_MAX: u32 = 32 * 1024;

/// One connection; whoever holds it may open channels on it.
#[derive(Debug)]
pub(super) struct Session {
    connection: Connection,
    wire: Wire,
    gone: CancellationToken,
    deadline: Duration,
}

impl Session {
    /// Connects within `connect_timeout`; later answers must come within `rpc_timeout`. Cancel-safe.
    pub(super) async fn connect(mut uri: AMQPUri, name: &str, config: &config::Broker) -> Result<Self, BrokerError> {
        let (timeout, deadline) = (config.connect_timeout, config.rpc_timeout);
        let heartbeat = config.heartbeat.as_secs().max(1);
        uri.query.heartbeat = Some(u16::try_from(heartbeat).unwrap_or(u16::MAX));
        uri.query.frame_max.get_or_insert(FRAME_MAX);
        let attempt = Attempt(Some(Wire::default()));
        let wire = attempt.0.clone().unwrap_or_default();
        let options = ConnectionProperties::default().with_connection_name(name.into());
        let kept = wire.clone();
        let connecting: Pin<Box<dyn Future<Output = Result<Connection, BrokerError>> + Send + '_>> = match uri.scheme {
            AMQPScheme::AMQP => Box::pin(plainly(uri, options, timeout, kept)),
            AMQPScheme::AMQPS => Box::pin(tls::connect(uri, config, options, move |socket| kept.keep(socket))),
        };
        let connection =
            tokio::time::timeout(timeout, connecting).await.map_err(|_| BrokerError::Silent("connection.open"))??;
        attempt.succeeded();
        Ok(Self { connection, wire, gone: CancellationToken::new(), deadline })
    }

    /// Opens a channel.
    pub(super) async fn channel(&self) -> Result<Channel, BrokerError> {
        self.within("channel.open", self.connection.create_channel()).await
    }

    /// Awaits one answer of the broker; if it does not come in time, the session is over.
    pub(super) async fn within<T>(
        &self,
        what: &'static str,
        answer: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, BrokerError> {
        tokio::select! {
            biased;
            () = self.gone.cancelled() => Err(BrokerError::Gone("the connection")),
            answer = answer => answer.map_err(BrokerError::from),
            () = tokio::time::sleep(self.deadline) => {
                self.abandon();
                Err(BrokerError::Silent(what))
            }
        }
    }

    /// How long an answer of the broker may take.
    pub(super) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// What the broker says about the connection. To be taken once: listeners share one queue.
    pub(super) fn events(&self) -> impl Stream<Item = Event> + Send {
        self.connection.events_listener()
    }

    /// Whether lapin still believes in the connection.
    pub(super) fn is_connected(&self) -> bool {
        self.connection.status().connected()
    }

    /// Resolves once the session is over.
    pub(super) async fn gone(&self) {
        self.gone.cancelled().await;
    }

    /// Ends the session at once: the socket is cut, whatever waits on it fails.
    pub(super) fn abandon(&self) {
        self.gone.cancel();
        self.wire.cut();
    }

    /// Ends the session in good order, or at its deadline without.
    pub(super) async fn close(&self) {
        let closed = self.within("connection.close", self.connection.close(200, "OK".into()));
        if let Err(error) = closed.await {
            tracing::debug!(%error, "connection not closed in good order");
        }
        self.abandon();
    }
}

/// lapin closes a connection that nobody holds when it gets to it, and a runtime that is ending may never let it: the broker would go
/// on sending to its consumers.
impl Drop for Session {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// Connects without TLS. Cancel-safe.
async fn plainly(
    uri: AMQPUri,
    options: ConnectionProperties,
    timeout: Duration,
    kept: Wire,
) -> Result<Connection, BrokerError> {
    let connecting = Connection::connector(
        uri,
        lapin::runtime::default_runtime()?,
        async move |uri: AMQPUri, runtime| {
            let opened = uri.connect_with_config_async(TLSConfig::default(), &runtime);
            let stream = tokio::time::timeout(timeout, opened).await.map_err(io::Error::from)??;
            if let AsyncTcpStream::Plain(plain) = &stream {
                kept.keep(plain.get_ref().as_fd().try_clone_to_owned()?.into())?;
            }
            Ok(stream)
        },
        options,
    );
    Ok(connecting.await?)
}

/// A second handle on the socket of a connection; clones share it.
#[derive(Debug, Clone, Default)]
struct Wire(Arc<Mutex<Socket>>);

#[derive(Debug, Default)]
struct Socket {
    stream: Option<TcpStream>,
    cut: bool,
}

impl Wire {
    fn keep(&self, stream: TcpStream) -> io::Result<()> {
        let mut socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if socket.cut {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.stream = Some(stream);
        Ok(())
    }

    fn cut(&self) {
        let mut socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        socket.cut = true;
        if let Some(stream) = socket.stream.take()
            && let Err(error) = stream.shutdown(Shutdown::Both)
        {
            tracing::trace!(%error, "socket was closed already");
        }
    }
}

/// Cuts the wire unless the attempt succeeds, also when its future is dropped.
struct Attempt(Option<Wire>);

impl Attempt {
    fn succeeded(mut self) {
        self.0 = None;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(wire) = &self.0 {
            wire.cut();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn attempts_on_a_silent_peer_end_in_time_and_leave_no_thread() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let timeout = Duration::from_millis(30);
        let mut config = config::load(None).unwrap().broker;
        (config.connect_timeout, config.rpc_timeout) = (timeout, timeout);
        let mut seen = 0;
        for n in 0..10 {
            let scheme = if n % 2 == 1 && cfg!(feature = "tls") { "amqps" } else { "amqp" };
            let uri = format!("{scheme}://a:b@{}/%2f", silent.local_addr().unwrap()).parse().unwrap();
            let meanwhile = async {
                tokio::time::sleep(timeout / 2).await;
                io_threads()
            };
            let connecting = Session::connect(uri, "test", &config);
            let (attempt, threads) = tokio::join!(connecting, meanwhile);
            seen += threads;
            let said_nothing = matches!(attempt, Err(BrokerError::Silent("connection.open")));
            assert!(said_nothing, "{attempt:?}");
        }
        assert!(seen > 0, "the threads have another name now");
        let started = Instant::now();
        while io_threads() > 0 {
            assert!(started.elapsed() < Duration::from_secs(10));
            tokio::time::sleep(timeout).await;
        }
    }

    /// Threads of lapin in this process: no other unit test connects.
    fn io_threads() -> usize {
        std::fs::read_dir("/proc/self/task")
            .unwrap()
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
            .filter(|name| name.starts_with("lapin-io-loop"))
            .count()
    }
}
