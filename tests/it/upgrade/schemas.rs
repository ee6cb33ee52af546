//! Every earlier schema, with what it held, is brought up to date, and a service goes on with it.
//!
//! **Invariant:** no row and no value of before is another afterwards, unless the migration's data say that it is gone.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output};

use chrono::{DateTime, Utc};
use leadline::lead::{DiaryLine, Ending, Mode, id};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::history::{Rows, everything, gone_after, lived, versions};
use crate::harness::client::{Answer, Call};
use crate::harness::given::Workspace;
use crate::harness::process::Program;
use crate::harness::track::{lead, with};
use crate::harness::{Harness, pool};

/// What the data have: a tenant, its key, a click, and a grave that waits.
const ACME: Uuid = Uuid::from_u128(0x01900000_0000_7000_8000_0000000000a1);
const KEY: &str = "ll_UpgradeUpgradeUpgrade001";
const REVOKED: &str = "ll_UpgradeUpgradeUpgrade003";
const CLICK: &str = "ClickSummer00001";
const RECORDED: Uuid = Uuid::from_u128(0x01900000_0000_7000_8000_0000000004a1);
const PARKED: Uuid = Uuid::from_u128(0x01900000_0000_7000_8000_0000000005a1);
const EXPIRED: Uuid = Uuid::from_u128(0x01900000_0000_7000_8000_0000000005a2);
const GRAVE: Uuid = Uuid::from_u128(0x01900000_0000_7000_8000_0000000006a2);

#[tokio::test]
async fn every_earlier_schema_is_brought_up_to_date_with_all_it_holds() {
    for version in versions().await {
        eprintln!("from schema {version}");
        let (database, _guard) = lived(version).await;
        let rows = pool(&database).await;
        let before = everything(&rows).await;
        assert_eq!(unfilled(&before), Vec::<String>::new(), "schema {version} has data for every column");
        let known = versions().await.len();
        for _ in 0..2 {
            let said = leadline(&database.url, &["migrate"]);
            assert_eq!(text(&said), format!("the schema is up to date ({known} migrations)\n"));
        }
        let after = everything(&rows).await;
        let changed = changes(&before, &after, &gone_after(version).await);
        assert_eq!(changed, Vec::<String>::new(), "from schema {version}");
        books_agree(&database.url, &before);
        rows.close().await;
        goes_on(version, Harness::over(database, |_| {}).await).await;
    }
}

/// Columns that no row has a value for, and tables without rows.
fn unfilled(rows: &Rows) -> Vec<String> {
    let mut unfilled = Vec::new();
    for (table, rows) in rows {
        let columns: BTreeSet<&String> = rows.iter().flat_map(Map::keys).collect();
        let empty = columns.iter().filter(|column| rows.iter().all(|row| row[**column].is_null()));
        unfilled.extend(empty.map(|column| format!("{table}.{column}")));
        if rows.is_empty() {
            unfilled.push(table.clone());
        }
    }
    unfilled
}

/// What is another than it was; what was added is none of it.
fn changes(before: &Rows, after: &Rows, gone: &BTreeSet<String>) -> Vec<String> {
    let mut changes = Vec::new();
    for (table, rows) in before.iter().filter(|(table, _)| !gone.contains(*table)) {
        let kept = |row: &Map<String, Value>| -> String {
            let columns = rows[0].keys().filter(|column| !gone.contains(&format!("{table}.{column}")));
            Value::from_iter(columns.map(|column| (column.clone(), row.get(column).cloned()))).to_string()
        };
        let mut left: Vec<String> = after.get(table).into_iter().flatten().map(kept).collect();
        for row in rows.iter().map(kept) {
            match left.iter().position(|other| *other == row) {
                Some(place) => {
                    left.swap_remove(place);
                }
                None => changes.push(format!("{table}: {row} is gone or changed")),
            }
        }
        changes.extend(left.iter().map(|row| format!("{table}: {row} is new or changed")));
    }
    changes
}

#[test]
fn a_changed_a_lost_and_an_added_row_are_found() {
    let rows =
        |rows: Value| -> Rows { serde_json::from_value(json!({"leads": rows, "probes": [{"name": "x"}]})).unwrap() };
    let before = rows(json!([{"id": 1, "n": 1}, {"id": 2, "n": 1}]));
    let gone = |what: &[&str]| what.iter().map(|what| (*what).to_owned()).collect::<BTreeSet<String>>();
    let grown = rows(json!([{"id": 2, "n": 1, "note": null}, {"id": 1, "n": 1, "note": "x"}]));
    assert_eq!(changes(&before, &grown, &gone(&[])), Vec::<String>::new());
    for other in [json!([{"id": 1, "n": 1}]), json!([{"id": 1, "n": 1}, {"id": 2, "n": 1}, {"id": 2, "n": 1}])] {
        assert_eq!(changes(&before, &rows(other), &gone(&[])).len(), 1);
    }
    let changed = rows(json!([{"id": 1, "n": 1}, {"id": 2, "n": null}]));
    assert_eq!(changes(&before, &changed, &gone(&[])).len(), 2);
    assert_eq!(changes(&before, &changed, &gone(&["leads.n", "probes"])), Vec::<String>::new());
    assert_eq!(changes(&before, &Rows::new(), &gone(&["probes"])).len(), 2);
    assert_eq!(unfilled(&rows(json!([{"id": 1, "n": null}]))), ["leads.n"]);
    assert_eq!(unfilled(&rows(json!([]))), ["leads"]);
}

/// The ledger counts what was there before.
fn books_agree(url: &str, before: &Rows) {
    let said: Value = serde_json::from_str(&text(&leadline(url, &["--json", "ledger"]))).unwrap();
    let rows = |table: &str| before.get(table).map_or(&[][..], Vec::as_slice);
    for mode in ["async", "wait", "deferred"] {
        for ending in ["recorded", "deferred", "duplicate", "rejected"] {
            let count = rows("leads").iter().filter(|row| row["mode"] == mode && row["ending"] == ending).count();
            assert_eq!(said["endings"][mode][ending], count, "{mode} {ending}");
        }
    }
    let counted: i64 = rows("links").iter().map(|link| link["leads"].as_i64().unwrap()).sum();
    assert_eq!(said["recordedQuantity"], counted);
    for (table, name) in [("parked_leads", "parked"), ("buried_leads", "buried"), ("attempts", "suspects")] {
        assert_eq!(said[name], rows(table).len(), "{name}");
    }
}

/// What was there is used by a service of today, and the books balance in the end.
async fn goes_on(version: i64, mut house: Harness) {
    note_strangers(&house).await;
    house.announced.buried = house.count("buried_leads").await;
    house.add_api().await;
    house.add_worker().await;
    let acme = Workspace {
        id: ACME,
        secret: KEY.to_owned(),
        publishable: "ll_pk_UpgradeUpgradeUpgrade002".to_owned(),
        domain: "go.acme.test".to_owned(),
    };
    a_lead_is_tracked(&house, &acme).await;
    if version >= 3 {
        // First, while its click is in no memory: it is looked up, and so is the lead it repeats.
        let again =
            track(&house, &acme, json!({"clickId": CLICK, "customerExternalId": "ann"})).await.ended("duplicate");
        assert_eq!(again.lead_id(), Some(RECORDED));
        let answer = track(&house, &acme, json!({"clickId": "", "customerExternalId": "cyd"})).await.ended("recorded");
        assert_eq!(answer.body["click"]["id"], "ClickBare0000001");
        track(&house, &acme, json!({"clickId": CLICK, "customerExternalId": "hal"})).await.ended("recorded");
        assert_eq!(house.customer_click("hal").await, Some(Some(CLICK.to_owned())));
    }
    if version >= 2 {
        track(&house, &acme, json!({"clickId": CLICK, "customerExternalId": "kim"})).await.ended("recorded");
    }
    if version >= 4 {
        let late = json!({"clickId": CLICK, "customerExternalId": "eve", "mode": "deferred"});
        track(&house, &acme, late).await;
        assert_eq!(house.ended(PARKED).await.ending, "recorded");
        assert_eq!(house.ended(EXPIRED).await.ending, "rejected");
        let replayed = replay(&house).await;
        assert_eq!(house.ended(replayed).await.ending, "recorded");
    }
    if version >= 6 {
        track(&house, &acme, json!({"clickId": CLICK, "customerExternalId": "ivy"})).await.ended("duplicate");
    }
    if version >= 7 {
        let jon = track(&house, &acme, json!({"clickId": CLICK, "customerExternalId": "jon"})).await.ended("duplicate");
        assert_eq!(jon.body["customer"]["email"], "jon@acme.test");
        assert_eq!(house.customer_click("lea").await, Some(Some("ClickSummer00001".to_owned())));
    }
    house.finish().await;
}

/// Whoever the data have requests of: nobody noted them in a diary.
async fn note_strangers(house: &Harness) {
    let customers: Vec<String> = sqlx::query_scalar(
        "SELECT customer_external_id FROM leads UNION SELECT customer_external_id FROM parked_leads UNION SELECT 'fox'",
    )
    .fetch_all(&house.pool)
    .await
    .unwrap();
    customers.iter().for_each(|customer| house.diary.note_stranger(customer));
}

/// A link on a domain of old is made with a key of old, clicked, and a lead tracked; the ledger agrees with its diary.
async fn a_lead_is_tracked(house: &Harness, acme: &Workspace) {
    let revoked = Call::new("GET", "/links").key(REVOKED);
    assert_eq!(house.call(revoked).await.status, 401);
    let link = json!({"url": "https://acme.test/new", "domain": acme.domain, "key": "new"});
    let link = house.call(Call::post("/links", &link).key(KEY)).await.ok();
    let click = json!({"domain": acme.domain, "key": "new"});
    let click = house.call(Call::post("/track/click", &click).header("origin", "https://shop.acme.test")).await.ok();
    let click = click.body["clickId"].as_str().unwrap().to_owned();
    let answer = track(house, acme, json!({"clickId": click, "customerExternalId": "joe", "eventQuantity": 5})).await;
    let line = DiaryLine {
        lead_id: answer.lead_id(),
        workspace_id: Some(ACME),
        customer: "joe".to_owned(),
        event: "Sign Up".to_owned(),
        mode: Mode::Wait,
        click_id: click,
        quantity: 5,
        status: 200,
        ending: Some(Ending::Recorded),
        duplicate: false,
        link: id::read(id::LINK, link.body["id"].as_str().unwrap()),
        at: accepted_at(house, answer.lead_id().unwrap()).await.timestamp_millis(),
    };
    let diary = std::env::temp_dir().join(format!("{}.ndjson", house.database.name));
    fs::write(&diary, line.line().unwrap()).unwrap();
    let said = leadline(&house.database.url, &["ledger", "--settled", "--diary", diary.to_str().unwrap()]);
    fs::remove_file(&diary).unwrap();
    assert!(text(&said).contains("clean: the diary and the books agree"), "{}", text(&said));
}

async fn accepted_at(house: &Harness, lead: Uuid) -> DateTime<Utc> {
    let moment = sqlx::query_scalar("SELECT accepted_at FROM leads WHERE id = $1").bind(lead);
    moment.fetch_one(&house.pool).await.unwrap()
}

/// `POST /track/lead`, waiting for the row.
async fn track(house: &Harness, acme: &Workspace, fields: Value) -> Answer {
    let body = with(with(lead("", "Sign Up", ""), json!({"mode": "wait"})), fields);
    let call = Call::post("/track/lead", &body).key(&acme.secret);
    house.track_as(acme, 0, call, &body).await.ok()
}

/// Replays the grave that waits; the id of the lead it became.
async fn replay(house: &Harness) -> Uuid {
    let mut command = Program::current().command(&house.config);
    command.args(["--json", "buried", "replay", &id::show("buried_", GRAVE)]);
    command.env("LEADLINE__BROKER__CONFIRM_DEADLINE", "3s");
    // The engines are reached through proxies that live on this test's only thread.
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said: Value = serde_json::from_str(&text(&output)).unwrap();
    id::read(id::LEAD, said["replayedAs"].as_str().unwrap()).unwrap()
}

/// Runs the binary on a database.
fn leadline(url: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_leadline")).args(arguments).env("DATABASE_URL", url).output().unwrap()
}

#[track_caller]
fn text(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8(bytes.clone()).unwrap());
    assert!(output.status.success(), "{out}{err}");
    out
}
