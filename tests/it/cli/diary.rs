//! A clean diary passes; each kind of offence is named, once, with the lead it concerns.
//!
//! **Invariant:** each offence is planted by hand, one at a time.

use leadline::cli::ledger::CheckOptions;
use leadline::lead::{Ending, Mode, id};
use uuid::Uuid;

use super::books::Books;

const STRICT: CheckOptions = CheckOptions { workspace: None, settled: true, whole: true };

/// One request of every kind, all of them as they should be.
async fn clean() -> Books {
    let mut books = Books::open().await;
    let first = books.recorded("ann").await;
    let mut again = books.line(Mode::Wait, "ann", "sign up");
    (again.lead_id, again.link, again.duplicate, again.quantity) = (Some(first), None, true, 9);
    again.ending = Some(Ending::Duplicate);
    books.lines.push(again);
    let overtaker = books.line(Mode::Async, "ann", "Sign Up");
    books.end(overtaker, Ending::Duplicate).await;
    let mut wait = books.line(Mode::Wait, "bob", "Sign Up");
    (wait.quantity, wait.ending) = (3, Some(Ending::Recorded));
    books.end(wait, Ending::Recorded).await;
    let deferred = books.line(Mode::Deferred, "cyd", "Sign Up");
    books.end(deferred, Ending::Deferred).await;
    let mut follow_up = books.line(Mode::Async, "cyd", "Sign Up");
    follow_up.click_id.clear();
    books.end(follow_up, Ending::Recorded).await;
    let mut refused = books.line(Mode::Wait, "dan", "Sign Up");
    (refused.status, refused.link, refused.ending) = (404, None, Some(Ending::Rejected));
    books.end(refused, Ending::Rejected).await;
    let mut invalid = books.line(Mode::Async, "dan", "Sign Up");
    (invalid.status, invalid.link, invalid.lead_id) = (422, None, None);
    books.lines.push(invalid);
    for (status, named) in [(503, true), (503, false), (0, false)] {
        let mut unknown = books.line(Mode::Async, &format!("eve{status}{named}"), "Sign Up");
        (unknown.status, unknown.link) = (status, None);
        if !named {
            unknown.lead_id = None;
        }
        books.end(unknown, Ending::Recorded).await;
    }
    let grave = books.line(Mode::Async, "fay", "Sign Up");
    books.bury(grave.lead_id.unwrap(), b"{}").await;
    books.lines.push(grave);
    books
}

#[tokio::test]
async fn a_clean_diary_passes() {
    let books = clean().await;
    let report = books.check(STRICT).await;
    assert!(report.is_clean(), "{:#?}", report.offences);
    assert_eq!((report.requests, report.kept, report.refused, report.unknown), (12, 7, 2, 3));
    assert_eq!(report.rows, 9);
}

#[tokio::test]
async fn a_workspace_that_the_planner_has_not_heard_of_is_checked_in_time() {
    let mut books = Books::open().await;
    let many = |workspace: &str, count: usize| {
        [
            format!(
                "INSERT INTO customers (workspace_id, external_id, id, name) SELECT {workspace}, 'of-' || n, gen_random_uuid(), 'n'
                 FROM generate_series(1, {count}) AS n WHERE $1::uuid IS NOT NULL"
            ),
            format!(
                "INSERT INTO links (id, workspace_id, domain, key, url, leads)
                 SELECT md5({workspace}::text || n)::uuid, {workspace}, {workspace}::text, n::text, 'https://x.test', 1
                 FROM generate_series(1, {count}) AS n WHERE $1::uuid IS NOT NULL"
            ),
            format!(
                "INSERT INTO leads (workspace_id, id, customer_external_id, event_key, event_name, mode, ending, quantity,
                                    follow_up, link_id, accepted_at)
                 SELECT {workspace}, gen_random_uuid(), 'of-' || n, 'sign up', 'Sign Up', 'async', 'recorded', 1, false,
                        md5({workspace}::text || n)::uuid, now()
                 FROM generate_series(1, {count}) AS n WHERE $1::uuid IS NOT NULL"
            ),
        ]
    };
    let another = format!("'{}'::uuid", Uuid::now_v7());
    for statement in many(&another, 1000) {
        books.sql(&statement).await;
    }
    sqlx::query("ANALYZE leads, customers, links").execute(&books.pool).await.unwrap();
    for statement in many("$1", 20_000) {
        books.sql(&statement).await;
    }
    let line = books.line(Mode::Async, "ann", "Sign Up");
    books.lines.push(line);
    // Lead by lead against customer by customer takes longer than `store.statement_timeout`; link by link would be as many steps.
    let report = books.check(STRICT).await;
    assert_eq!(report.rows, 20_000);
    assert!(!report.is_clean(), "nobody asked for these");
}

#[tokio::test]
async fn a_row_deleted_by_hand_is_missed() {
    let mut books = clean().await;
    let lead = books.recorded("gil").await;
    books.sql(&format!("DELETE FROM leads WHERE workspace_id = $1 AND id = '{lead}'")).await;
    books.sql("UPDATE links SET leads = leads - 1 WHERE workspace_id = $1").await;
    let offence = books.offence().await;
    assert!(offence.contains(&id::show(id::LEAD, lead)) && offence.contains("nowhere"), "{offence}");
}

#[tokio::test]
async fn a_recorded_row_deleted_under_its_duplicates_is_missed_by_all() {
    let mut books = clean().await;
    books
        .sql("DELETE FROM leads WHERE workspace_id = $1 AND customer_external_id = 'ann' AND ending = 'recorded'")
        .await;
    books.recorded("gil").await;
    let report = books.check(STRICT).await;
    let all: Vec<String> = report.offences.iter().map(ToString::to_string).collect();
    for word in ["nowhere", "yet its key has no recorded row", "counts 9 leads, its recorded rows sum to 8"] {
        assert!(all.iter().any(|offence| offence.contains(word)), "{word}: {all:#?}");
    }
}

#[tokio::test]
async fn a_counter_moved_twice_is_named() {
    let books = clean().await;
    books.sql("UPDATE links SET leads = leads + 3 WHERE workspace_id = $1").await;
    let offence = books.offence().await;
    assert!(offence.starts_with(&id::show(id::LINK, books.link)), "{offence}");
}

#[tokio::test]
async fn a_follow_up_with_a_foreign_click_is_named() {
    let books = clean().await;
    books.sql("UPDATE leads SET click_id = 'another' WHERE workspace_id = $1 AND follow_up").await;
    let offence = books.offence().await;
    assert!(offence.contains("follow-up with click \"another\""), "{offence}");
}

#[tokio::test]
async fn a_row_without_a_request_is_named_when_it_lies_in_the_diarys_time() {
    let mut books = clean().await;
    let lead = books.recorded("gil").await;
    let line = books.lines.pop().unwrap();
    assert!(books.offence().await.contains(&id::show(id::LEAD, lead)));
    assert!(books.check(CheckOptions::default()).await.is_clean(), "it came after the last line");
    books.recorded("hal").await;
    assert!(!books.check(CheckOptions::default()).await.is_clean(), "now it lies between");
    books.lines.push(line);
    assert!(books.check(STRICT).await.is_clean());
}

#[tokio::test]
async fn an_unknown_request_explains_one_row_only() {
    let mut books = clean().await;
    let mut lost = books.line(Mode::Async, "gil", "Sign Up");
    (lost.status, lost.link, lost.lead_id) = (0, None, None);
    books.end(lost.clone(), Ending::Recorded).await;
    assert!(books.check(STRICT).await.is_clean());
    books.end(lost, Ending::Duplicate).await;
    assert!(books.check(STRICT).await.is_clean(), "two requests, two rows");
    books.lines.pop();
    assert!(books.offence().await.contains("without a request"));
}

#[tokio::test]
async fn a_row_that_is_not_its_request_is_named() {
    for (change, word) in
        [("event_name = 'SIGN UP'", "event"), ("click_id = 'another'", "click"), ("mode = 'wait'", "mode")]
    {
        let books = clean().await;
        let set = format!(
            "UPDATE leads SET {change} WHERE workspace_id = $1 AND customer_external_id = 'ann' AND ending = 'duplicate'"
        );
        assert_eq!(books.sql(&set).await, 1);
        assert!(books.offence().await.contains(word), "{change}");
    }
}

#[tokio::test]
async fn a_key_recorded_twice_is_named() {
    let mut books = clean().await;
    books.sql("DROP INDEX leads_recorded_key").await;
    books.recorded("ann").await;
    assert!(books.offence().await.contains("2 recorded rows for one key"));
}

#[tokio::test]
async fn a_refused_request_that_was_recorded_is_named() {
    let mut books = clean().await;
    let mut refused = books.line(Mode::Wait, "gil", "Sign Up");
    (refused.status, refused.link) = (400, None);
    refused.click_id.clear();
    books.end(refused, Ending::Recorded).await;
    assert!(books.offence().await.contains("was refused with 400, yet its row says recorded"));
}

#[tokio::test]
async fn parked_is_under_way_until_everything_is_settled() {
    let mut books = clean().await;
    let mut follow_up = books.line(Mode::Async, "gil", "Sign Up");
    follow_up.click_id.clear();
    books.park(follow_up.lead_id.unwrap()).await;
    books.lines.push(follow_up);
    let report = books.check(CheckOptions::default()).await;
    assert!(report.is_clean() && report.under_way == 1, "{report:#?}");
    assert!(!books.check(STRICT).await.is_clean());
}

#[tokio::test]
async fn an_ending_that_changed_and_an_id_given_twice_are_named() {
    let mut books = clean().await;
    let mut told = books.line(Mode::Wait, "bob", "Sign Up");
    told.ending = Some(Ending::Recorded);
    books.end(told.clone(), Ending::Duplicate).await;
    assert!(books.offence().await.contains("was answered recorded, yet its row says duplicate"));
    books.lines.last_mut().unwrap().ending = Some(Ending::Duplicate);
    told.ending = Some(Ending::Duplicate);
    books.lines.push(told);
    assert!(books.offence().await.contains("two requests"));
}

#[tokio::test]
async fn only_twenty_offenders_are_shown_and_all_are_counted() {
    let mut books = Books::open().await;
    for n in 0..4300 {
        let mut line = books.line(Mode::Async, &format!("c{n}"), "e");
        line.lead_id = Some(Uuid::now_v7());
        books.lines.push(line);
    }
    let report = books.check(STRICT).await;
    assert_eq!((report.offence_count, report.offences.len()), (4300, 20));
}
