//! Limits of the door: connections, heads, bytes in flight, and clients that dawdle.
//!
//! **Invariant:** whoever sends nothing and reads nothing is gone in time, and the rest is served meanwhile.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::Harness;
use crate::harness::eventually::{eventually, holds, stays};
use crate::harness::process::Process;
use crate::server::{Served, hasty, heard, post, served_with};

const LIVE: &[u8] = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";

impl Served {
    fn open(&self) -> i64 {
        self.front.metrics.connections.with_label_values(&[] as &[&str]).get()
    }

    fn turned_away(&self, why: &str) -> u64 {
        self.front.metrics.turned_away.with_label_values(&[why]).get()
    }

    async fn kept(&self) -> TcpStream {
        kept(self.address).await
    }

    async fn until_open(&self, n: i64) {
        eventually("open connections", || async { holds(self.open() == n, self.open()) }).await;
    }
}

async fn kept(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    asked(&mut stream).await;
    stream
}

/// One request answered 200 on a connection that stays open.
async fn asked(stream: &mut TcpStream) {
    stream.write_all(LIVE).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"{\"status\":\"alive\"}") {
        let read = stream.read_buf(&mut answer).await.unwrap();
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&answer));
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_the_others_live_on() {
    let served = served_with(|config| config.http.max_connections = 2).await;
    let mut first = served.kept().await;
    let second = served.kept().await;
    let mut third = TcpStream::connect(served.address).await.unwrap();
    let said = heard(&mut third).await;
    assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("Retry-After: 1\r\n"), "{said}");
    assert_eq!((served.turned_away("connections"), served.open()), (1, 2));
    asked(&mut first).await;
    drop(second);
    served.until_open(1).await;
    let fourth = served.kept().await;
    assert_eq!(served.open(), 2);
    drop((first, fourth));
    served.finish().await;
}

#[tokio::test]
async fn a_thousand_idle_connections_cost_little_memory() {
    let house = Harness::empty(|_| {}).await;
    let settings = [("LEADLINE__HTTP__MAX_CONNECTIONS", "1100")];
    let api = Process::start_with("api", &house.config, house.client(), &settings).await;
    let mut idle = vec![kept(api.address).await];
    let before = api.resident();
    for _ in 0..1000 {
        idle.push(kept(api.address).await);
    }
    let grown = (api.resident() - before) / 1024;
    assert!(grown < 64, "{grown} MiB for a thousand connections");
    for stream in &mut idle {
        asked(stream).await;
    }
    drop(idle);
    assert_eq!(api.stop().await, Some(0));
    house.finish().await;
}

#[tokio::test]
async fn an_idle_connection_stays_longer_than_a_head_may_take() {
    let served = served_with(|config| {
        hasty(config);
        config.http.idle_timeout = Duration::from_secs(5);
    })
    .await;
    let mut idle = served.kept().await;
    stays(Duration::from_millis(600), "the idle connection is open", || async { served.open() == 1 }).await;
    asked(&mut idle).await;
    let since = Instant::now();
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost:").await.unwrap();
    served.until_open(0).await;
    assert!(since.elapsed() < Duration::from_secs(5), "a late second head is cut by its own clock");
    let forgotten = served.kept().await;
    let since = Instant::now();
    served.until_open(0).await;
    assert!(since.elapsed() > Duration::from_secs(4), "{:?}", since.elapsed());
    drop(forgotten);
    served.finish().await;
}

#[tokio::test]
async fn a_connection_that_sends_nothing_and_one_that_drips_are_closed() {
    let served = served_with(hasty).await;
    let silent = TcpStream::connect(served.address).await.unwrap();
    served.until_open(1).await;
    served.until_open(0).await;
    let mut drip = TcpStream::connect(served.address).await.unwrap();
    let since = Instant::now();
    eventually("the dripping connection is cut", || async {
        let mut one = [0; 1];
        let cut = drip.try_read(&mut one).is_ok_and(|n| n == 0) || drip.try_write(b"X").is_err();
        holds(cut, "still open")
    })
    .await;
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    drop((silent, drip.shutdown().await.ok()));
    served.finish().await;
}

#[tokio::test]
async fn an_answer_nobody_takes_is_given_up() {
    let served = served_with(hasty).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(served.address).await.unwrap();
    asked(&mut stream).await;
    let many = LIVE.repeat(64);
    // Requests without end and not one answer taken: either side's buffers fill, and the clock runs.
    eventually("the connection is given up", || async {
        while stream.try_write(&many).is_ok() {}
        holds(served.open() == 0, served.open())
    })
    .await;
    stream.shutdown().await.ok();
    served.finish().await;
}

#[tokio::test]
async fn heads_beyond_the_limit_are_refused() {
    let served = served_with(|config| config.http.head_limit_bytes = 8192).await;
    // Not a byte more than is read: what is left unread at a close resets the connection, answer and all.
    let long = &format!("GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: {}", "x".repeat(8192))[..8192];
    let answer = served.exchange(long.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let many = format!("GET /livez HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(200));
    let answer = served.exchange(many.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    served.finish().await;
}

#[tokio::test]
async fn bodies_beyond_the_room_for_all_are_refused_before_they_are_read() {
    let served = served_with(|config| {
        config.http.body_limit_bytes = 1000;
        config.http.max_body_bytes_in_flight = 1500;
    })
    .await;
    let mut slow = TcpStream::connect(served.address).await.unwrap();
    let head = post(&served.front.key, "Content-Length: 1000\r\nExpect: 100-continue\r\n");
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    slow.read_exact(&mut go_on).await.unwrap();
    for more in ["Content-Length: 600\r\n", "Transfer-Encoding: chunked\r\n"] {
        let answer = served.exchange(post(&served.front.key, more).as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 1\r\n"), "{answer}");
        assert!(answer.contains("\"code\":\"service_unavailable\""), "{answer}");
    }
    assert_eq!(served.turned_away("bytes"), 2);
    let small = post(&served.front.key, "Content-Length: 2\r\nConnection: close\r\n") + "{}";
    assert!(served.exchange(small.as_bytes()).await.starts_with("HTTP/1.1 422 "));
    drop(slow);
    eventually("the room is given back", || async {
        let whole = post(&served.front.key, "Content-Length: 1000\r\nConnection: close\r\n") + &"x".repeat(1000);
        let answer = served.exchange(whole.as_bytes()).await;
        holds(answer.starts_with("HTTP/1.1 400 "), answer)
    })
    .await;
    served.finish().await;
}
