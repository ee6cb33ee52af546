//! Serves a router on a listener until the stop.
//!
//! One task per connection, HTTP/1.1 with keep-alive and pipelining. On the soft stop the listener
//! closes, and every connection ends after the request it is in; on the hard one the rest is dropped.
//!
//! **Invariant:** a request whose head was read before the soft stop is answered, unless the hard stop comes first.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower::ServiceExt;

use super::visitor::Peer;
use super::wire::{Progress, Wire};
use crate::config;
use crate::lifecycle::Stop;
use crate::telemetry::{Metrics, Raised};

/// After a failed accept (out of file descriptors, mostly): time for connections to end.
const BREATHER: Duration = Duration::from_millis(50);
/// What a connection is told for which there is no room.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// Serves until the soft stop, then until the last connection has ended or the hard stop comes.
///
/// At most `max_connections` are open at once; one more is told so and closed, so that a crowd of idle
/// connections costs its share of memory and no more.
pub async fn serve(listener: TcpListener, router: Router, config: &config::Http, metrics: &Metrics, stop: Stop) {
    let mut protocol = http1::Builder::new();
    // No `pipeline_flush`: with it a refusal of a bad head stays unsent behind the bytes of that head.
    protocol.timer(TokioTimer::new()).header_read_timeout(config.idle_timeout).max_buf_size(config.head_limit_bytes);
    let open = metrics.connections.with_label_values(&[] as &[&str]);
    let mut connections = JoinSet::new();
    while let Some(accepted) = stop.unless_asked(listener.accept()).await {
        while let Some(ended) = connections.try_join_next() {
            report(ended);
        }
        match accepted {
            Ok((stream, _)) if connections.len() >= config.max_connections => {
                // A socket that was just accepted has room for so little; a client that misses it sees a reset.
                let told = stream.try_write(FULL).is_ok();
                metrics.turned_away.with_label_values(&["connections"]).inc();
                tracing::debug!(told, "connection turned away: too many are open");
            }
            Ok((stream, peer)) => {
                let open = Raised::by(1, open.clone());
                let connection = connection(stream, peer, router.clone(), protocol.clone(), config, stop.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(open);
                });
            }
            Err(error) => {
                tracing::warn!(error = %error, "connection not accepted");
                tokio::time::sleep(BREATHER).await;
            }
        }
    }
    drop(listener);
    while let Some(Some(ended)) = stop.unless_forced(connections.join_next()).await {
        report(ended);
    }
    connections.shutdown().await;
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(error = %error, "a connection's task panicked");
    }
}

fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    protocol: http1::Builder,
    config: &config::Http,
    stop: Stop,
) -> impl Future<Output = ()> + Send + use<> {
    let (head_timeout, write_timeout) = (config.header_timeout, config.write_timeout);
    async move {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(error = %error, "connection ended before it began");
            return;
        }
        let progress = Progress::default();
        let wire = Wire::new(stream, progress.clone(), head_timeout, write_timeout);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            progress.head();
            let (answer, progress) = (router.clone().oneshot(request.map(Body::new)), progress.clone());
            async move {
                let answer = answer.await;
                progress.answer();
                answer
            }
        });
        let mut served = pin!(protocol.serve_connection(TokioIo::new(wire), service));
        let ended = tokio::select! {
            ended = served.as_mut() => ended,
            () = stop.asked() => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(error = %error, "connection ended badly");
        }
    }
}
