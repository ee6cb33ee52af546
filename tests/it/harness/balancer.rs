//! A reverse proxy as load balancers are: it asks each process whether it is ready, and sends it work or not.
//!
//! Enters: requests of clients, and the addresses of processes as they come and go. Leaves: what a ready
//! process answered, or a 502 where none did.
//!
//! **Invariant:** nothing is retried: a request that a stopping process drops is seen by its client.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use reqwest::Client;
use tokio::net::TcpListener;

use super::eventually::every;

/// Between two looks at a process.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A running balancer; it ends with its test's runtime.
#[derive(Debug, Clone)]
pub(crate) struct Balancer {
    /// Where clients go.
    pub(crate) address: SocketAddr,
    processes: Arc<Mutex<Vec<(SocketAddr, bool)>>>,
    turn: Arc<AtomicUsize>,
    client: Client,
}

impl Balancer {
    /// Starts without processes.
    #[expect(clippy::disallowed_methods, reason = "the balancer's tasks end with the test's runtime")]
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let balancer =
            Self { address, processes: Arc::default(), turn: Arc::default(), client: super::client::client() };
        let router = Router::new().fallback(forward).with_state(balancer.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let looking = balancer.clone();
        tokio::spawn(async move { every(LOOK_EVERY, || looking.look()).await });
        balancer
    }

    /// Makes a process known; it gets work once it is ready.
    pub(crate) async fn add(&self, address: SocketAddr) {
        self.processes.lock().unwrap().push((address, false));
        self.look().await;
    }

    /// Forgets a process.
    pub(crate) fn remove(&self, address: SocketAddr) {
        self.processes.lock().unwrap().retain(|(known, _)| *known != address);
    }

    async fn look(&self) {
        let known: Vec<SocketAddr> = self.processes.lock().unwrap().iter().map(|(address, _)| *address).collect();
        for address in known {
            let answer = self.client.get(format!("http://{address}/readyz")).send().await;
            let ready = answer.is_ok_and(|answer| answer.status() == 200);
            let mut processes = self.processes.lock().unwrap();
            if let Some(process) = processes.iter_mut().find(|(known, _)| *known == address) {
                process.1 = ready;
            }
        }
    }

    fn next(&self) -> Option<SocketAddr> {
        let processes = self.processes.lock().unwrap();
        let ready: Vec<SocketAddr> =
            processes.iter().filter(|(_, ready)| *ready).map(|(address, _)| *address).collect();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        ready.get(turn.checked_rem(ready.len())?).copied()
    }
}

async fn forward(
    State(balancer): State<Balancer>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(address) = balancer.next() else {
        return (StatusCode::BAD_GATEWAY, "no process is ready").into_response();
    };
    let request = balancer.client.request(method, format!("http://{address}{uri}")).headers(headers).body(body);
    match request.send().await {
        Ok(answer) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = answer.status();
            *response.headers_mut() = answer.headers().clone();
            // These are of one connection each.
            for name in ["connection", "transfer-encoding", "content-length"] {
                response.headers_mut().remove(name);
            }
            match answer.bytes().await {
                Ok(bytes) => response.map(|_| Body::from(bytes)),
                Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
            }
        }
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:?}")).into_response(),
    }
}
