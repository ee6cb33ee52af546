//! A grave is replayed under one id for ever, so replaying it twice records it once.
//!
//! **Invariant:** a replayed message is recorded once.

use std::process::Command;

use chrono::Utc;
use leadline::lead::{LeadMessage, Schema, TrackLead, id};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Harness, given};

#[tokio::test]
async fn a_grave_replayed_twice_is_recorded_once() {
    let mut house = Harness::empty(|_| {}).await;
    let click = given::click(&house.pool, &house.link).await;
    let body = json!({"clickId": click, "eventName": "Sign Up", "customerExternalId": "ann", "mode": "wait"});
    let lead = TrackLead::parse(body.to_string().as_bytes(), Schema::Server).unwrap();
    let mut message = LeadMessage::new(Uuid::now_v7(), house.workspace.id, Utc::now(), lead);
    let grave = Uuid::now_v7();
    sqlx::query(
        "INSERT INTO buried_leads (id, identity, workspace_id, lead_id, reason, message)
         VALUES ($1, $2, $3, $4, 'planted', $5)",
    )
    .bind(grave)
    .bind(message.id.to_string())
    .bind(house.workspace.id)
    .bind(message.id)
    .bind(message.encode().unwrap())
    .execute(&house.pool)
    .await
    .unwrap();
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

/// Runs `leadline buried replay`; the id it names.
async fn replay(house: &Harness, grave: Uuid) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leadline"));
    command
        .args(["--config", concat!(env!("CARGO_MANIFEST_DIR"), "/config/test.toml"), "--json", "buried", "replay"])
        .arg(id::show("buried_", grave))
        .env("DATABASE_URL", house.config.store.url.expose_secret())
        .env("AMQP_URL", house.config.broker.url.expose_secret())
        .env("LEADLINE__BROKER__PREFIX", &house.config.broker.prefix);
    // The engines are reached through proxies that live on this test's only thread.
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_str(&said).unwrap();
    said["replayedAs"].as_str().unwrap().to_owned()
}
