//! The server itself, over real connections: limits in size and time, pipelining, both stops.
//!
//! **Invariant:** a client that writes everything before it reads still sees its refusal.

use std::net::SocketAddr;
use std::time::Duration;

use leadline::config::Config;
use leadline::http::serve;
use leadline::lifecycle::Stop;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::harness::eventually::PATIENCE;
use crate::http_setup::Front;

/// A served front.
pub(crate) struct Served {
    pub(crate) front: Front,
    pub(crate) address: SocketAddr,
    stop: Stop,
    task: JoinHandle<()>,
}

async fn served() -> Served {
    served_with(|_| {}).await
}

/// For tests of whoever dawdles: everybody else may on a busy machine.
pub(crate) fn hasty(config: &mut Config) {
    config.http.header_timeout = Duration::from_millis(300);
    config.http.body_timeout = Duration::from_millis(300);
    config.http.write_timeout = Duration::from_millis(300);
}

#[expect(clippy::disallowed_methods, reason = "the task ends within its test")]
pub(crate) async fn served_with(tune: impl FnOnce(&mut Config)) -> Served {
    let front = Front::with(tune).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), Stop::new());
    let (router, config, heard) = (front.router.clone(), front.config.http.clone(), stop.clone());
    let metrics = front.metrics.clone();
    let task = tokio::spawn(async move { serve(listener, router, &config, &metrics, heard).await });
    Served { front, address, stop, task }
}

impl Served {
    /// Writes everything, then hears.
    pub(crate) async fn exchange(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        heard(&mut stream).await
    }

    pub(crate) async fn finish(self) {
        self.stop.ask();
        self.task.await.unwrap();
        self.front.finish().await;
    }
}

/// What comes until the other end closes, or until nothing more comes for a second.
pub(crate) async fn heard(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    loop {
        let patience = if all.is_empty() { PATIENCE } else { Duration::from_secs(1) };
        match tokio::time::timeout(patience, stream.read_buf(&mut all)).await {
            Ok(Ok(more)) if more > 0 => {}
            _ => return String::from_utf8(all).unwrap(),
        }
    }
}

pub(crate) fn post(key: &str, more: &str) -> String {
    format!("POST /track/lead HTTP/1.1\r\nHost: x\r\nCookie:\r\nAuthorization: Bearer {key}\r\n{more}\r\n")
}

#[tokio::test]
async fn oversized_bodies_are_refused_however_they_are_sent() {
    let served = served().await;
    let body = "x".repeat(10 << 20);
    let sized = post(&served.front.key, &format!("Content-Length: {}\r\n", body.len()));
    let chunked = post(&served.front.key, "Transfer-Encoding: chunked\r\n");
    let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for request in [sized + &body, chunked + &chunk] {
        let answer = served.exchange(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.contains("\"code\":\"bad_request\""), "{answer}");
    }
    let polite = post(&served.front.key, "Content-Length: 99999999\r\nExpect: 100-continue\r\n");
    let answer = served.exchange(polite.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    served.finish().await;
}

#[tokio::test]
async fn slow_heads_are_cut_and_slow_bodies_told_so() {
    let served = served_with(hasty).await;
    let answer = served.exchange(b"POST /track/lead HTTP/1.1\r\nHost: x\r\n").await;
    assert!(!answer.contains("200"), "{answer}");
    let slow = post(&served.front.key, "Content-Length: 100\r\n") + "{\"eventName\":";
    let answer = served.exchange(slow.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    served.finish().await;
}

#[tokio::test]
async fn empty_bodies_without_a_content_type_are_bad_requests() {
    let served = served().await;
    for more in ["", "Content-Length: 0\r\n", "Content-Type: application/json\r\nContent-Length: 0\r\n"] {
        let answer = served.exchange(post(&served.front.key, more).as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains("Invalid JSON format in request body."), "{answer}");
    }
    served.finish().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_turn() {
    let served = served().await;
    let two = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n";
    let answer = served.exchange(two.as_bytes()).await;
    let (first, second) = (answer.find("HTTP/1.1 200 "), answer.find("HTTP/1.1 404 "));
    assert!(first.is_some() && first < second, "{answer}");
    served.finish().await;
}

#[tokio::test]
async fn a_soft_stop_finishes_the_request_under_way_and_closes_idle_connections() {
    let served = served().await;
    let mut idle = TcpStream::connect(served.address).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    let mut busy = TcpStream::connect(served.address).await.unwrap();
    let head = post(&served.front.key, "Content-Length: 2\r\nExpect: 100-continue\r\n");
    busy.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    busy.read_exact(&mut go_on).await.unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100 Continue"));
    served.stop.ask();
    busy.write_all(b"{}").await.unwrap();
    let answer = heard(&mut busy).await;
    assert!(answer.starts_with("HTTP/1.1 422 "), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    heard(&mut idle).await;
    served.finish().await;
}

#[tokio::test]
async fn a_hard_stop_drops_what_is_under_way() {
    let served = served().await;
    let mut busy = TcpStream::connect(served.address).await.unwrap();
    let head = post(&served.front.key, "Content-Length: 2\r\nExpect: 100-continue\r\n");
    busy.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    busy.read_exact(&mut go_on).await.unwrap();
    served.stop.force();
    assert_eq!(heard(&mut busy).await, "");
    served.finish().await;
}
