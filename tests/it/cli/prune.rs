//! `leadline prune`: what is old goes, what may still be needed stays.
//!
//! **Invariant:** ages are planted; every row that stays is named.

use chrono::{Duration, Utc};
use leadline::lead::{LeadMessage, Schema, TrackLead, id};
use serde_json::json;
use uuid::Uuid;

use super::books::Books;
use super::import::ran;
use super::typed::at_books;

/// A click that was made so many days ago.
async fn click(books: &Books, days: i64) -> String {
    let at = Utc::now() - Duration::days(days);
    let click = id::click_id(u64::try_from(at.timestamp_millis()).unwrap());
    books
        .sql(&format!(
            "INSERT INTO clicks (id, link_id, workspace_id, clicked_at, url, ip, user_agent, trigger)
             VALUES ('{click}', '{}', $1, '{}', 'https://x.test', '', '', 'link')",
            books.link,
            at.to_rfc3339()
        ))
        .await;
    click
}

/// A grave so many days old, with a message that names this click; its id.
async fn grave(books: &Books, days: i64, click: &str, replayed_as: Option<Uuid>) -> Uuid {
    let body = json!({"clickId": click, "eventName": "Sign Up", "customerExternalId": "ann"});
    let lead = TrackLead::parse(body.to_string().as_bytes(), Schema::Server).unwrap();
    let message = LeadMessage::new(Uuid::now_v7(), books.workspace, Utc::now(), lead);
    books.bury(message.id, &message.encode().unwrap()).await;
    let replayed = replayed_as.map_or_else(|| "NULL".to_owned(), |lead| format!("'{lead}'"));
    books
        .sql(&format!(
            "UPDATE buried_leads SET buried_at = now() - interval '{days} days', replayed_as = {replayed}
             WHERE workspace_id = $1 AND lead_id = '{}'",
            message.id
        ))
        .await;
    message.id
}

async fn left(books: &Books, statement: &'static str) -> Vec<String> {
    sqlx::query_scalar(statement).fetch_all(&books.pool).await.unwrap()
}

const CLICKS: &str = "SELECT id FROM clicks ORDER BY id";
const GRAVES: &str = "SELECT lead_id::text FROM buried_leads ORDER BY 1";

#[tokio::test]
async fn old_clicks_go_but_for_those_that_buried_messages_need() {
    let mut books = Books::open().await;
    let recorded = books.recorded("bob").await;
    for days in 91..116 {
        click(&books, days).await;
    }
    let (needed, ended) = (click(&books, 200).await, click(&books, 201).await);
    let young = [click(&books, 89).await, click(&books, 1).await];
    grave(&books, 3, &needed, None).await;
    grave(&books, 3, &ended, Some(recorded)).await;
    let words = ["--json", "prune", "clicks", "--older-than", "90d", "--batch", "10"];
    let dry = ran(at_books(&books, &[&words[..], &["--dry-run"]].concat())).await.with(0);
    assert_eq!((&dry["wouldDelete"], &dry["kept"]), (&json!(26), &json!(1)));
    assert_eq!(left(&books, CLICKS).await.len(), 29);
    let done = ran(at_books(&books, &words)).await.with(0);
    assert_eq!((&done["deleted"], &done["complete"]), (&json!(26), &json!(true)));
    let mut expected = vec![needed, young[0].clone(), young[1].clone()];
    expected.sort_unstable();
    assert_eq!(left(&books, CLICKS).await, expected);
    assert_eq!(ran(at_books(&books, &words)).await.with(0)["deleted"], 0);
}

#[tokio::test]
async fn clicks_that_visits_still_hand_out_are_never_asked_for() {
    let books = Books::open().await;
    let refused = ran(at_books(&books, &["prune", "clicks", "--older-than", "23h"])).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("at least 1d"), "{}", refused.err);
    assert_eq!(ran(at_books(&books, &["prune", "clicks", "--older-than", "soon"])).await.code, Some(2));
}

#[tokio::test]
async fn graves_go_when_their_replay_has_ended() {
    let mut books = Books::open().await;
    let recorded = books.recorded("ann").await;
    let ended = grave(&books, 40, "c", Some(recorded)).await;
    let young = grave(&books, 20, "c", Some(recorded)).await;
    let (under_way, waiting) = (grave(&books, 40, "c", Some(Uuid::now_v7())).await, grave(&books, 40, "c", None).await);
    // Its replay was buried in its turn: the bytes are there once more.
    let again = grave(&books, 40, "c", Some(waiting)).await;
    let words = ["--json", "prune", "buried", "--older-than", "30d"];
    assert_eq!(ran(at_books(&books, &[&words[..], &["--dry-run"]].concat())).await.with(0)["wouldDelete"], 2);
    assert_eq!(ran(at_books(&books, &words)).await.with(0)["deleted"], 2);
    let mut kept = vec![young.to_string(), under_way.to_string(), waiting.to_string()];
    kept.sort_unstable();
    assert_eq!(left(&books, GRAVES).await, kept, "{ended} and {again} should be gone");
    let all = [&words[..], &["--unreplayed", "--batch", "1"]].concat();
    assert_eq!(ran(at_books(&books, &all)).await.with(0)["deleted"], 2);
    assert_eq!(left(&books, GRAVES).await, [young.to_string()]);
    let text = ran(at_books(&books, &["prune", "buried", "--older-than", "10d"])).await;
    assert_eq!((text.code, text.out.as_str()), (Some(0), "1 buried messages deleted\n"), "{}", text.err);
}
