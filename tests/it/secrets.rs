//! What the logs never tell, however loud they are: keys, and the addresses of people.
//!
//! **Invariant:** the test hears the real processes at `trace`, the libraries' lines included.

use leadline::lead::Schema;
use serde_json::{Value, json};

use crate::harness::Harness;
use crate::harness::client::Call;
use crate::harness::eventually::{eventually, holds};
use crate::harness::process::Process;
use crate::harness::track::{lead, with};

const ADDRESSES: [&str; 4] = ["first.person", "second.person", "third.person", "fourth.person"];

#[tokio::test]
async fn no_key_and_no_address_reaches_a_log_line_even_at_trace() {
    let house = Harness::empty(|_| {}).await;
    let loud = [("RUST_LOG", "trace")];
    let worker = Process::start_with("worker", &house.config, house.client(), &loud).await;
    let api = Process::start_with("api", &house.config, house.client(), &loud).await;
    eventually("the queues", || async { holds(house.queues.depth("wait").await.is_some(), ()) }).await;
    let (secret, public) = (&house.workspace.secret, &house.workspace.publishable);
    let unknown = "ll_StrangersOwnKeyOfSome24c";
    let [first, second, third, fourth] = ADDRESSES.map(|name| format!("{name}@example.com"));
    let body = |email: &str, customer: &str, mode: &str| {
        with(lead("", "e", customer), json!({"customerEmail": email, "mode": mode}))
    };
    let click = house.click().await;
    let clicked =
        |email: &str, customer: &str, mode: &str| with(body(email, customer, mode), json!({"clickId": click}));
    for (path, key, body) in [
        ("/track/lead", secret, clicked(&first, "a", "wait")),
        ("/track/lead", secret, clicked(&first, "a", "async")),
        ("/track/lead/client", public, clicked(&second, "b", "deferred")),
        ("/track/lead", secret, body(&second, "b", "wait")),
        ("/track/lead", secret, body(&third, "nobody", "wait")),
        ("/track/lead", secret, body(&format!("{third}!"), "c", "wait")),
    ] {
        let answer = Call::post(path, &body).key(key).send(house.client(), api.address).await;
        house.diary.note(house.workspace.id, &body, Schema::Server, &answer);
    }
    let change = json!({"email": fourth}).to_string();
    for call in [
        Call::post("/track/lead", &clicked(&fourth, "d", "wait")).key(unknown),
        Call::new("GET", "/links").header("authorization", unknown),
        Call::new("GET", &format!("/customers?email={first}")).key(secret),
        Call::new("GET", &format!("/customers?search={second}&page=0")).key(secret),
        Call::new("PATCH", "/customers/ext_a").raw(change.as_bytes()).key(secret),
        Call::new("POST", "/links").raw(format!("{{\"url\":\"{fourth}\"").as_bytes()).key(secret),
    ] {
        call.send(house.client(), api.address).await;
    }
    let (code, mut said) = api.stop_and_hear().await;
    assert!(said.contains("\"TRACE\"") && said.contains("\"message\":\"answered\""), "the process was not loud");
    said += &worker.stop_and_hear().await.1;
    assert_eq!(code, Some(0));
    for never in ADDRESSES.into_iter().chain([secret.as_str(), public, unknown]) {
        let lines: Vec<&str> =
            said.lines().filter(|line| line.contains(never) || unspelt(line).contains(never)).collect();
        assert!(lines.is_empty(), "{never} stands in the log:\n{}", lines.join("\n"));
    }
    house.finish().await;
}

/// A line with lists of byte values, as libraries print buffers, read as text.
fn unspelt(line: &str) -> String {
    let numbers = line.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok());
    String::from_utf8_lossy(&numbers.collect::<Vec<u8>>()).into_owned()
}

#[test]
fn byte_lists_are_read() {
    let buffer: Value = json!(b"x first.person@");
    assert!(unspelt(&format!("payload: {buffer}")).contains("first.person@"));
}
