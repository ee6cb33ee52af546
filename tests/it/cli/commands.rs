//! The binary as people type it.
//!
//! **Invariant:** every command is run as a process would run it, against a database of its own.

use std::process::Output;

use leadline::lead::{Ending, Mode, id};
use serde_json::Value;

use super::books::Books;

fn text(output: &Output) -> (i32, String, String) {
    let utf8 = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), utf8(&output.stdout), utf8(&output.stderr))
}

fn json(output: &Output) -> Value {
    let (code, out, err) = text(output);
    assert_eq!(code, 0, "{out}{err}");
    serde_json::from_str(&out).unwrap()
}

#[tokio::test]
async fn a_tenant_is_set_up_from_the_command_line() {
    let books = Books::open().await;
    let made = json(&books.leadline(&["workspace", "create", "--name", "New", "--slug", "new-one", "--json"]));
    assert!(made["id"].as_str().unwrap().starts_with("ws_"));
    let (code, out, _) = text(&books.leadline(&["workspace", "list"]));
    assert!(code == 0 && out.contains("acme") && out.contains("new-one"), "{out}");
    let (code, _, err) = text(&books.leadline(&["workspace", "create", "--name", "New", "--slug", "new-one"]));
    assert!(code == 1 && err.starts_with("leadline: workspace new-one:") && err.lines().count() == 1, "{err}");
    let key = json(&books.leadline(&["key", "create", "--workspace", "new-one", "--json"]));
    assert!(key["key"].as_str().unwrap().starts_with("ll_"));
    let listed = json(&books.leadline(&["key", "list", "--workspace", "new-one", "--json"]));
    assert!(!listed.to_string().contains(key["key"].as_str().unwrap()));
    json(&books.leadline(&["key", "revoke", key["id"].as_str().unwrap(), "--json"]));
    let link =
        ["link", "create", "--workspace", "new-one", "--domain", "go.new", "--key", "a", "--url", "https://a.test/"];
    assert_eq!(text(&books.leadline(&link)).0, 0);
    let (code, _, err) = text(&books.leadline(&link));
    assert!(code == 1 && err.contains("go.new/a"), "{err}");
    let (code, out, _) = text(&books.leadline(&["domain", "list", "--workspace", "new-one"]));
    assert!(code == 0 && out.contains("go.new"), "{out}");
    let (code, _, err) = text(&books.leadline(&["domain", "add", "go.new", "--workspace", "acme"]));
    assert!(code == 1 && err.contains("another workspace"), "{err}");
}

#[tokio::test]
async fn the_ledger_exits_by_what_it_finds() {
    let mut books = Books::open().await;
    books.recorded("ann").await;
    let lost = books.recorded("bob").await;
    books.write();
    let path = books.path();
    let check = ["ledger", "--diary", path.to_str().unwrap(), "--whole"];
    let (code, out, err) = text(&books.leadline(&check));
    assert!(code == 0 && out.contains("clean"), "{out}{err}");
    let stand = json(&books.leadline(&["ledger", "--json"]));
    assert_eq!((&stand["endings"]["async"]["recorded"], &stand["recordedQuantity"]), (&2.into(), &2.into()));
    books.sql(&format!("DELETE FROM leads WHERE workspace_id = $1 AND id = '{lost}'")).await;
    let (code, out, _) = text(&books.leadline(&check));
    assert!(code == 1 && out.contains(&id::show(id::LEAD, lost)) && out.contains("2 offences"), "{out}");
}

#[tokio::test]
async fn a_lead_is_found_wherever_it_is() {
    let mut books = Books::open().await;
    let recorded = id::show(id::LEAD, books.recorded("ann").await);
    let again = books.line(Mode::Async, "ann", "sign up");
    let duplicate = id::show(id::LEAD, books.end(again, Ending::Duplicate).await);
    let (code, out, _) = text(&books.leadline(&["lead", "show", &duplicate]));
    assert!(code == 0 && out.contains("duplicate: another lead"), "{out}");
    let (code, out, _) =
        text(&books.leadline(&["lead", "show", "--workspace", "acme", "--customer", "ann", "--event", "SIGN UP"]));
    assert!(code == 0 && out.find(&recorded) < out.find(&duplicate) && out.contains(&recorded), "{out}");
    let parked = uuid::Uuid::now_v7();
    books.park(parked).await;
    let (code, out, _) = text(&books.leadline(&["lead", "show", &id::show(id::LEAD, parked)]));
    assert!(code == 0 && out.contains("parked") && out.contains("until"), "{out}");
    let nowhere = id::show(id::LEAD, uuid::Uuid::now_v7());
    let (code, _, err) = text(&books.leadline(&["lead", "show", &nowhere]));
    assert!(code == 1 && err.starts_with("leadline: not here"), "{err}");
}

#[tokio::test]
async fn graves_are_listed_shown_and_discarded_but_nonsense_is_not_replayed() {
    let books = Books::open().await;
    let lead = uuid::Uuid::now_v7();
    books.bury(lead, b"nonsense").await;
    let lead = id::show(id::LEAD, lead);
    let listed = json(&books.leadline(&["buried", "list", "--reason", "REFUSED", "--json"]));
    let grave = listed[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(json(&books.leadline(&["buried", "list", "--reason", "other", "--json"])), Value::Array(vec![]));
    let (code, out, _) = text(&books.leadline(&["buried", "show", &lead]));
    assert!(code == 0 && out.contains("nonsense") && out.contains(&grave), "{out}");
    let (code, _, err) = text(&books.leadline(&["buried", "replay", &grave]));
    assert!(code == 1 && err.contains("cannot be replayed: not a lead message"), "{err}");
    let (code, _, err) = text(&books.leadline(&["buried", "discard", &grave]));
    assert!(code == 1 && err.contains("--yes"), "{err}");
    assert_eq!(text(&books.leadline(&["buried", "discard", &grave, "--yes"])).0, 0);
    assert_eq!(text(&books.leadline(&["buried", "show", &grave])).0, 1);
}

#[tokio::test]
async fn a_configuration_is_checked_without_engines() {
    let mut books = Books::open().await;
    books.url = "postgres://nobody:hidden@127.0.0.1:1/none".to_owned();
    let (code, out, _) = text(&books.leadline(&["check", "--show"]));
    assert!(code == 0 && out.contains("is good") && !out.contains("hidden"), "{out}");
    let config = books.path();
    std::fs::write(&config, "[worker]\nprefetch = 1\n").unwrap();
    let (code, _, err) = text(&books.leadline(&["check", "--config", config.to_str().unwrap()]));
    assert!(code == 1 && err.contains("worker.prefetch"), "{err}");
    let (code, _, err) = text(&books.leadline(&["ledger"]));
    assert!(code == 1 && err.starts_with("leadline: PostgreSQL") && err.lines().count() == 1, "{err}");
}
