//! `leadline health` beside a running service, beside others, and beside nobody.
//!
//! **Invariant:** every test hears the exit code, since that is all that most callers look at.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::import::{Ended, ran};
use crate::harness::Harness;
use crate::harness::eventually::{eventually, holds};
use crate::harness::port::free_address;

/// `leadline health`, told that the probes listen there.
async fn health(listen: SocketAddr, more: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leadline"));
    command.arg("health").args(more).current_dir(std::env::temp_dir());
    command.env("LEADLINE__HTTP__METRICS_LISTEN", listen.to_string());
    // Nobody is there: whoever went through it would get no answer.
    command.env("http_proxy", "http://127.0.0.1:1").env("HTTP_PROXY", "http://127.0.0.1:1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    ran(command).await
}

/// What it prints when it exits so.
#[track_caller]
fn said(ended: &Ended, code: i32) -> String {
    assert_eq!((ended.code, ended.err.as_str()), (Some(code), ""), "{}", ended.out);
    assert_eq!(ended.out.lines().count(), 1, "{}", ended.out);
    ended.out.trim_end().to_owned()
}

/// Why it could not tell.
#[track_caller]
fn complaint(ended: &Ended) -> String {
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{}", ended.err);
    assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
    ended.err.trim_end().strip_prefix("leadline: ").unwrap().to_owned()
}

/// Waits until it exits with 1 and says this.
async fn turns(listen: SocketAddr, code: i32, line: &str) {
    eventually(line, || async {
        let ended = health(listen, &[]).await;
        holds(ended.code == Some(code) && ended.out.trim_end() == line && ended.err.is_empty(), ended)
    })
    .await;
}

/// A server that answers every request with the same bytes and hangs up.
#[expect(clippy::disallowed_methods, reason = "the task ends with the test's runtime")]
async fn parrot(answer: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut caller, _)) = listener.accept().await {
            // A request without a body comes at once; bytes left unread would break off the answer.
            if caller.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {
                caller.write_all(answer.as_bytes()).await.ok();
                caller.shutdown().await.ok();
            }
        }
    });
    address
}

fn answer(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn what_is_ready_is_well() {
    let house = Harness::start().await;
    for listen in [house.apis[0].metrics, house.workers[0].metrics] {
        assert_eq!(said(&health(listen, &[]).await, 0), "ready: postgres up, rabbitmq up");
        assert_eq!(said(&health(listen, &["--live"]).await, 0), "alive");
        let told = health(listen, &["--json"]).await.with(0);
        assert_eq!(told, json!({"status": "ready", "postgres": "up", "rabbitmq": "up"}));
        let everywhere = (Ipv4Addr::UNSPECIFIED, listen.port()).into();
        assert_eq!(said(&health(everywhere, &[]).await, 0), "ready: postgres up, rabbitmq up");
    }
    house.finish().await;
}

#[tokio::test]
async fn what_cannot_do_its_duty_is_not_well_and_yet_alive() {
    let mut house = Harness::tuned(|config| config.store.acquire_timeout = Duration::from_millis(500)).await;
    house.announced.errors = vec![""];
    let (api, worker) = (house.apis[0].metrics, house.workers[0].metrics);
    house.postgres.cut();
    turns(worker, 1, "unavailable: postgres away, rabbitmq up").await;
    turns(api, 0, "ready: postgres away, rabbitmq up").await;
    house.rabbitmq.cut();
    turns(api, 1, "unavailable: postgres away, rabbitmq away").await;
    assert_eq!(health(api, &["--json"]).await.with(1)["status"], "unavailable");
    assert_eq!(said(&health(api, &["--live"]).await, 0), "alive");
    house.postgres.restore();
    house.rabbitmq.restore();
    for listen in [api, worker] {
        turns(listen, 0, "ready: postgres up, rabbitmq up").await;
    }
    house.finish().await;
}

#[tokio::test]
async fn what_is_about_to_stop_is_not_well() {
    let body = json!({"status": "stopping", "postgres": "up", "rabbitmq": "up"}).to_string();
    let stopping = parrot(answer("503 Service Unavailable", &body)).await;
    assert_eq!(said(&health(stopping, &[]).await, 1), "stopping: postgres up, rabbitmq up");
}

#[tokio::test]
async fn nobody_listening_is_said_in_one_line() {
    let closed = free_address().unwrap();
    assert!(complaint(&health(closed, &[]).await).starts_with(&format!("no answer from http://{closed}/readyz: ")));
    let everywhere = (Ipv6Addr::UNSPECIFIED, closed.port()).into();
    let there = format!("no answer from http://[::1]:{}/livez: ", closed.port());
    assert!(complaint(&health(everywhere, &["--live"]).await).starts_with(&there));
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = silent.local_addr().unwrap();
    let late = complaint(&health(listen, &["--timeout", "300ms"]).await);
    assert_eq!(late, format!("no answer from http://{listen}/readyz within 300ms"));
    let chosen = complaint(&health((Ipv4Addr::LOCALHOST, 0).into(), &[]).await);
    assert!(chosen.starts_with("http.metrics_listen has port 0"), "{chosen}");
}

#[tokio::test]
async fn whatever_else_answers_is_not_well() {
    let ready = json!({"status": "ready", "postgres": "up", "rabbitmq": "up"}).to_string();
    let long = format!("{ready}{}", " ".repeat(100_000));
    for (head, body) in [
        ("200 OK", "<html>welcome</html>"),
        ("200 OK", ""),
        ("200 OK", "{\"status\":\"ready\"}"),
        ("200 OK", "{\"status\":\"alive\"}"),
        ("200 OK", long.as_str()),
        ("404 Not Found", ready.as_str()),
        ("302 Found\r\nlocation: /livez", ready.as_str()),
        ("503 Service Unavailable", "{\"error\":{\"code\":\"service_unavailable\"}}"),
    ] {
        let stranger = parrot(answer(head, body)).await;
        let why = complaint(&health(stranger, &[]).await);
        let status = &head[..3];
        assert_eq!(
            why,
            format!("what answers at http://{stranger}/readyz is no probe of Leadline (status {status})"),
            "{head}"
        );
    }
    let foreign = parrot("SSH-2.0-OpenSSH\r\n".to_owned()).await;
    assert!(complaint(&health(foreign, &[]).await).starts_with("no answer from "));
    let half = parrot(answer("200 OK", &ready).replace("\"up\"}", "")).await;
    assert!(complaint(&health(half, &[]).await).contains("no probe"));
}
