//! What can never be a row is buried with bytes and reason, and harms no neighbour.
//!
//! **Invariant:** nobody is buried for a neighbour's fault.

use serde_json::json;
use sqlx::Row;

use crate::harness::Harness;
use crate::harness::eventually::{eventually, holds};
use crate::harness::queues::{Queues, message_id};
use crate::harness::track::{lead, somebody, with};

async fn graves(house: &Harness, n: usize) -> Vec<(Vec<u8>, String)> {
    eventually("graves", || async {
        let rows = sqlx::query("SELECT message, reason FROM buried_leads ORDER BY buried_at, id")
            .fetch_all(&house.pool)
            .await
            .unwrap();
        let graves: Vec<(Vec<u8>, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        if graves.len() >= n { Ok(graves) } else { Err(graves) }
    })
    .await
}

#[tokio::test]
async fn undecodable_and_foreign_bytes_are_buried_beside_good_leads() {
    let mut house = Harness::without_worker().await;
    let click = house.click().await;
    let poison: [&[u8]; 5] = [b"", b"nonsense \xff\x00", b"{}", br#"{"v":2,"id":"x"}"#, br#"{"v":1,"id":"x"}"#];
    let good: Vec<_> = (0..40).map(|_| house.resolved(&lead(&click, "Sign Up", &somebody()))).collect();
    for (n, bytes) in poison.iter().enumerate() {
        house.publish(&good[n * 8..(n + 1) * 8]).await;
        for queue in ["s00", "s01", "wait"] {
            house
                .queues
                .publish_bytes(queue, bytes, (n % 2 == 0).then(|| format!("poison-{queue}-{n}")).as_deref(), None)
                .await;
        }
    }
    house.add_worker().await;
    // Three queues each; those without a message id are known by their bytes and share a grave.
    let expected = 3 * 3 + 2;
    let found = graves(&house, expected).await;
    for bytes in poison {
        let reasons: Vec<&String> =
            found.iter().filter(|(message, _)| message == bytes).map(|(_, reason)| reason).collect();
        assert!(!reasons.is_empty() && reasons.iter().all(|reason| !reason.is_empty()), "{bytes:?}: {found:?}");
    }
    assert!(found.iter().any(|(_, reason)| reason.contains("version 2")), "{found:?}");
    for message in &good {
        assert_eq!(house.ended(message.id).await.ending, "recorded");
    }
    house.announced.buried = i64::try_from(expected).unwrap();
    house.finish().await;
}

#[tokio::test]
async fn a_row_that_postgres_refuses_is_buried_and_its_neighbours_are_recorded() {
    let mut house = Harness::without_worker().await;
    let click = house.click().await;
    let mut messages: Vec<_> = (0..30).map(|_| house.resolved(&lead(&click, "Sign Up", &somebody()))).collect();
    messages[7].quantity = 500;
    messages[8].customer_external_id = "nul\u{0}".to_owned();
    messages[9].event_name = "nul\u{0}".to_owned();
    messages[20].metadata = Some("\u{0}".to_owned());
    let condemned = [7, 8, 9, 20];
    for (n, message) in messages.iter().enumerate() {
        if !condemned.contains(&n) {
            house.diary.note_message(message);
        }
    }
    house.queues.publish_all(&messages).await;
    house.add_worker().await;
    let found = graves(&house, condemned.len()).await;
    for n in condemned {
        let bytes = messages[n].encode().unwrap();
        assert!(
            found.iter().any(|(message, reason)| *message == bytes && !reason.is_empty()),
            "message {n}: {found:?}"
        );
        assert!(house.row(messages[n].id).await.is_none());
    }
    eventually("26 leads counted", || async {
        let counted = house.counted().await;
        holds(counted == 26, counted)
    })
    .await;
    house.announced.buried = i64::try_from(condemned.len()).unwrap();
    house.finish().await;
}

#[tokio::test]
async fn a_message_that_keeps_coming_back_is_recorded_while_it_harms_nobody() {
    let mut house = Harness::without_worker().await;
    let message = house.resolved(&lead(&house.click().await, "Sign Up", &somebody()));
    house.publish(std::slice::from_ref(&message)).await;
    house.queued(&message, 1).await;
    for _ in 0..4 {
        house.queues.bounce(&Queues::shard(&message), 1).await;
    }
    house.add_worker().await;
    assert_eq!(house.ended(message.id).await.ending, "recorded");
    house.finish().await;
}

#[tokio::test]
async fn a_message_begun_too_often_is_buried_undecoded() {
    let mut house = Harness::without_worker().await;
    let good = house.resolved(&lead(&house.click().await, "Sign Up", &somebody()));
    let bad = house.resolved(&with(
        lead(&house.click().await, "Sign Up", &good.customer_external_id),
        json!({"eventName": "other"}),
    ));
    sqlx::query("INSERT INTO attempts (identity, attempts) VALUES ($1, 3)")
        .bind(message_id(bad.id))
        .execute(&house.pool)
        .await
        .unwrap();
    house.publish(&[bad.clone(), good.clone()]).await;
    house.queued(&good, 2).await;
    for _ in 0..2 {
        house.queues.bounce(&Queues::shard(&good), 2).await;
    }
    house.add_worker().await;
    let found = graves(&house, 1).await;
    assert_eq!(found[0].0, bad.encode().unwrap());
    assert_eq!(house.ended(good.id).await.ending, "recorded");
    house.announced.buried = 1;
    house.finish().await;
}

#[tokio::test]
async fn neighbours_of_a_message_that_kills_are_recorded_and_forgiven() {
    let mut house = Harness::without_worker().await;
    let click = house.click().await;
    let customer = somebody();
    let messages: Vec<_> = (0..30)
        .map(|n| house.resolved(&with(lead(&click, "Sign Up", &customer), json!({"eventName": format!("event {n}")}))))
        .collect();
    // Ten as if they had been begun for the first time, ten in a group, ten alone.
    for (n, message) in messages.iter().enumerate() {
        sqlx::query("INSERT INTO attempts (identity, attempts) SELECT $1, $2 WHERE $2 > 0")
            .bind(message_id(message.id))
            .bind(i32::try_from(n / 10).unwrap())
            .execute(&house.pool)
            .await
            .unwrap();
    }
    house.publish(&messages).await;
    house.queued(&messages[0], 30).await;
    for _ in 0..2 {
        house.queues.bounce(&Queues::shard(&messages[0]), 30).await;
    }
    house.add_worker().await;
    for message in &messages {
        assert_eq!(house.ended(message.id).await.ending, "recorded");
    }
    eventually("no counts", || async {
        let counts = house.count("attempts").await;
        holds(counts == 0, counts)
    })
    .await;
    house.finish().await;
}
