//! Serves a router on a listener until the stop.
//!
//! One task per connection, HTTP/1.1 with keep-alive and pipelining. On the soft stop the listener
//! closes, and every connection ends after the request it is in; on the hard one the rest is dropped.
//!
//! **Invariant:** a request whose head was read before the soft stop is answered, unless the hard stop comes first.

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
use crate::config;
use crate::lifecycle::Stop;

/// After a failed accept (out of file descriptors, mostly): time for connections to end.
const BREATHER: Duration = Duration::from_millis(50);

/// Serves until the soft stop, then until the last connection has ended or the hard stop comes.
pub async fn serve(listener: TcpListener, router: Router, config: &config::Http, stop: Stop) {
    let mut protocol = http1::Builder::new();
    protocol.timer(TokioTimer::new()).header_read_timeout(config.header_timeout).pipeline_flush(true);
    let mut connections = JoinSet::new();
    while let Some(accepted) = stop.unless_asked(listener.accept()).await {
        match accepted {
            Ok((stream, peer)) => {
                let connection = connection(stream, peer, router.clone(), protocol.clone(), stop.clone());
                connections.spawn(connection);
            }
            Err(error) => {
                tracing::warn!(error = %error, "connection not accepted");
                tokio::time::sleep(BREATHER).await;
            }
        }
        while let Some(ended) = connections.try_join_next() {
            report(ended);
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

async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, protocol: http1::Builder, stop: Stop) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(error = %error, "connection ended before it began");
        return;
    }
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        router.clone().oneshot(request.map(Body::new))
    });
    let mut served = pin!(protocol.serve_connection(TokioIo::new(stream), service));
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
