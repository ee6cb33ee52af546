//! An import that dies, is interrupted, or loses its server half-way.
//!
//! **Invariant:** however it went, every line of the file is recorded once in the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use serde_json::{Value, json};

use super::import::{Ended, Folder, address, beside, import, ran};
use crate::harness::Harness;
use crate::harness::eventually::{eventually, holds, stays};
use crate::harness::proxy::{OUTAGE, Proxy};
use crate::harness::track::lead;

const LEADS: usize = 3000;

/// A service that takes a thousand leads a second, so that an import of [`LEADS`] lasts.
async fn slow() -> Harness {
    Harness::tuned(|config| {
        config.http.rate_per_key = 1000;
        config.http.burst_per_key = 200;
    })
    .await
}

async fn file(house: &Harness, folder: &Folder, name: &str) -> PathBuf {
    let click = house.click().await;
    let customers: Vec<String> = (0..LEADS).map(|n| format!("c{n}")).collect();
    customers.iter().for_each(|customer| house.diary.note_stranger(customer));
    let mut lines: Vec<String> = if name.ends_with("csv") {
        let rows = customers.iter().map(|customer| format!("{click},Sign Up,{customer}"));
        std::iter::once("clickId,eventName,customerExternalId".to_owned()).chain(rows).collect()
    } else {
        customers.iter().map(|customer| lead(&click, "Sign Up", customer).to_string()).collect()
    };
    lines.insert(10, if name.ends_with("csv") { "bad".to_owned() } else { "{".to_owned() });
    folder.file(name, &lines)
}

/// Starts an import and waits until it has written down how far it came.
async fn begun(command: &mut Command, file: &Path) -> Child {
    let child = command.spawn().unwrap();
    let far = || state(file).is_some_and(|state| state["line"].as_u64() > Some(10));
    eventually("a state", || async { holds(far(), ()) }).await;
    child
}

fn state(file: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(beside(file, "import-state")).ok()?).ok()
}

async fn ended(child: Child) -> Ended {
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Everything was recorded once, and the one bad line is named once.
async fn whole(house: Harness, file: &Path, result: &Value) {
    assert_eq!((&result["accepted"], &result["refused"]), (&json!(LEADS), &json!(1)));
    eventually("every line recorded", || async {
        let counted = house.counted().await;
        holds(counted == i64::try_from(LEADS).unwrap(), counted)
    })
    .await;
    let refused = fs::read_to_string(beside(file, "refused.ndjson")).unwrap();
    assert_eq!((refused.lines().count(), refused.contains("\"line\":11,")), (1, true), "{refused}");
    assert!(state(file).is_none());
    house.finish().await;
}

#[tokio::test]
async fn an_import_that_was_killed_goes_on_where_it_was() {
    for name in ["leads.ndjson", "leads.csv"] {
        let house = slow().await;
        let folder = Folder::new();
        let (file, options) = (file(&house, &folder, name).await, ["--batch", "100"]);
        let mut child = begun(&mut import(&house, &address(&house), &file, &options), &file).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let line = state(&file).unwrap()["line"].as_u64().unwrap();
        assert!((11..3000).contains(&line), "{line}");
        let second = ran(import(&house, &address(&house), &file, &options)).await;
        assert!(second.err.contains(&format!("going on after line {line}")), "{}", second.err);
        let result = second.with(3);
        whole(house, &file, &result).await;
    }
}

#[tokio::test]
async fn an_import_that_is_interrupted_says_so_and_knows_its_file() {
    let house = slow().await;
    let folder = Folder::new();
    let file = file(&house, &folder, "leads.ndjson").await;
    let child = begun(&mut import(&house, &address(&house), &file, &["--batch", "100"]), &file).await;
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let first = ended(child).await;
    assert_eq!(first.with(130)["complete"], false);
    assert!(first.err.contains("stopping after what is under way"), "{}", first.err);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("c1\"", "c0\"", 1)).unwrap();
    let other = ran(import(&house, &address(&house), &file, &[])).await;
    assert!(other.code == Some(1) && other.err.contains("is of another file"), "{}", other.err);
    fs::write(&file, text).unwrap();
    let result = ran(import(&house, &address(&house), &file, &[])).await.with(3);
    whole(house, &file, &result).await;
}

#[tokio::test]
async fn an_import_outlasts_lost_connections_and_full_servers() {
    let house = Harness::tuned(|config| {
        config.http.rate_per_key = 1000;
        config.http.burst_per_key = 200;
        config.intake.max_in_flight = 150;
        config.intake.workspace_share = 1;
    })
    .await;
    let folder = Folder::new();
    let file = file(&house, &folder, "leads.ndjson").await;
    let line = Proxy::before(&address(&house), 80).await;
    let to = line.through(&address(&house));
    let child = begun(&mut import(&house, &to, &file, &["--connections", "3", "--batch", "100"]), &file).await;
    for _ in 0..2 {
        line.cut();
        stays(OUTAGE, "the outage", || async { true }).await;
        line.restore();
        stays(OUTAGE, "calm", || async { true }).await;
    }
    let result = ended(child).await.with(3);
    whole(house, &file, &result).await;
}
