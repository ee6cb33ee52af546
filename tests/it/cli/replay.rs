//! A grave is replayed under one id for ever, so replaying it twice records it once; and many are replayed by what they are.
//!
//! **Invariant:** a replayed message is recorded once.

use chrono::Utc;
use leadline::lead::{LeadMessage, Schema, TrackLead, id};
use serde_json::json;
use uuid::Uuid;

use super::import::ran;
use super::typed::at_house;
use crate::harness::eventually::{eventually, holds};
use crate::harness::{Harness, given};

#[tokio::test]
async fn a_grave_replayed_twice_is_recorded_once() {
    let mut house = Harness::empty(|_| {}).await;
    let (grave, mut message) = bury(&house, "ann", "planted", "now()").await;
    house.announced.buried = 1;
    house.diary.note_message(&message);
    let first = replay(&house, grave).await;
    assert_eq!(replay(&house, grave).await, first);
    assert_eq!(house.queues.total().await, 2);
    message.id = id::read(id::LEAD, &first).unwrap();
    house.diary.note_message(&message);
    house.add_worker().await;
    house.finish().await;
}

/// Buries a wait request of a customer; the grave, and the message in it.
async fn bury(house: &Harness, customer: &str, reason: &str, at: &str) -> (Uuid, LeadMessage) {
    let click = given::click(&house.pool, &house.link).await;
    let body = json!({"clickId": click, "eventName": "Sign Up", "customerExternalId": customer, "mode": "wait"});
    let lead = TrackLead::parse(body.to_string().as_bytes(), Schema::Server).unwrap();
    let message = LeadMessage::new(Uuid::now_v7(), house.workspace.id, Utc::now(), lead);
    let bytes = message.encode().unwrap();
    (bury_bytes(house, &bytes, &message.id.to_string(), Some(message.id), reason, at).await, message)
}

async fn bury_bytes(house: &Harness, bytes: &[u8], identity: &str, lead: Option<Uuid>, reason: &str, at: &str) -> Uuid {
    let grave = Uuid::now_v7();
    let statement = format!(
        "INSERT INTO buried_leads (id, identity, workspace_id, lead_id, reason, message, buried_at)
         VALUES ($1, $2, $3, $4, $5, $6, {at})"
    );
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(grave)
        .bind(identity)
        .bind(house.workspace.id)
        .bind(lead)
        .bind(reason)
        .bind(bytes)
        .execute(&house.pool)
        .await
        .unwrap();
    grave
}

/// Runs `leadline buried replay`; the id it names.
async fn replay(house: &Harness, grave: Uuid) -> String {
    let said = ran(at_house(house, &["--json", "buried", "replay", &id::show("buried_", grave)])).await.with(0);
    said["replayedAs"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn many_graves_are_replayed_by_what_they_are() {
    let mut house = Harness::empty(|_| {}).await;
    let mut meant = Vec::new();
    for n in 0..450 {
        meant.push(bury(&house, &format!("c{n}"), "Planted once", "now() - interval '1 hour'").await);
    }
    for (customer, reason, at) in
        [("other", "another reason", "now() - interval '1 hour'"), ("old", "planted once", "now() - interval '3 days'")]
    {
        let (_, message) = bury(&house, customer, reason, at).await;
        house.diary.note_message(&message);
    }
    let bytes = bury_bytes(&house, b"nonsense", "none", None, "planted once", "now() - interval '1 hour'").await;
    house.announced.buried = 453;
    let words = ["--json", "buried", "replay", "--reason", "PLANTED", "--since", "2h", "--until", "30m"];
    let dry = ran(at_house(&house, &[&words[..], &["--dry-run"]].concat())).await.with(0);
    assert_eq!((&dry["would"], &dry["refused"]), (&json!(450), &json!(1)));
    assert_eq!(house.queues.total().await, 0);
    let waiting = "SELECT count(*) FROM buried_leads WHERE replayed_as IS NULL";
    assert_eq!(sqlx::query_scalar::<_, i64>(waiting).fetch_one(&house.pool).await.unwrap(), 453);
    let done = ran(at_house(&house, &words)).await.with(3);
    assert_eq!((&done["published"], &done["refused"], &done["complete"]), (&json!(450), &json!(1), &json!(true)));
    assert_eq!(sqlx::query_scalar::<_, i64>(waiting).fetch_one(&house.pool).await.unwrap(), 3);
    for (grave, message) in &mut meant {
        let chosen: Uuid = sqlx::query_scalar("SELECT replayed_as FROM buried_leads WHERE id = $1")
            .bind(*grave)
            .fetch_one(&house.pool)
            .await
            .unwrap();
        house.diary.note_message(message);
        message.id = chosen;
        house.diary.note_message(message);
    }
    // Nobody has worked on them yet, so they are published again, under the same ids.
    assert_eq!(ran(at_house(&house, &words)).await.with(3)["published"], 450);
    house.add_worker().await;
    eventually("an ending of each", || async {
        let counted = house.counted().await;
        holds(counted == 450, counted)
    })
    .await;
    assert_eq!(ran(at_house(&house, &words)).await.with(3)["published"], 0);
    let one = ran(at_house(&house, &["buried", "replay", &id::show("buried_", bytes)])).await;
    assert!(one.code == Some(1) && one.err.contains("cannot be replayed: not a lead message"), "{}", one.err);
    house.finish().await;
}

#[tokio::test]
async fn graves_are_listed_by_time_reason_and_workspace() {
    let mut house = Harness::empty(|_| {}).await;
    for (n, at) in ["10 minutes", "5 hours", "4 days"].into_iter().enumerate() {
        let (_, message) =
            bury(&house, &format!("c{n}"), &format!("reason {n}"), &format!("now() - interval '{at}'")).await;
        house.diary.note_message(&message);
    }
    house.announced.buried = 3;
    let listed = async |more: &[&str]| {
        let words = [&["--json", "buried", "list"], more].concat();
        let all = ran(at_house(&house, &words)).await.with(0);
        let mut reasons: Vec<String> =
            all.as_array().unwrap().iter().map(|grave| grave["reason"].as_str().unwrap().to_owned()).collect();
        reasons.sort_unstable();
        reasons
    };
    assert_eq!(listed(&[]).await, ["reason 0", "reason 1", "reason 2"]);
    assert_eq!(listed(&["--since", "1h"]).await, ["reason 0"]);
    assert_eq!(listed(&["--until", "1h", "--since", "1d"]).await, ["reason 1"]);
    let day_ago = (Utc::now() - chrono::Duration::days(1)).to_rfc3339();
    assert_eq!(listed(&["--until", &day_ago]).await, ["reason 2"]);
    assert_eq!(listed(&["--reason", "REASON 1"]).await, ["reason 1"]);
    let workspace = id::show(id::WORKSPACE, house.workspace.id);
    assert_eq!(listed(&["--workspace", &workspace, "--limit", "1"]).await, ["reason 0"]);
    assert_eq!(ran(at_house(&house, &["buried", "list", "--since", "yesterday"])).await.code, Some(2));
    assert_eq!(ran(at_house(&house, &["buried", "replay"])).await.code, Some(2));
    house.finish().await;
}
