//! After the storm: waits until everything has come to rest, then holds diary and tables together.
//!
//! Enters: a world whose load has ended and whose engines are back. Leaves: one line per broken promise.
//! It judges by statements and rules of its own; `leadline ledger --diary` then has to agree.
//!
//! **Invariant:** every rule is exact, and no entry and no row is left out.

mod answers;
mod books;
mod rows;

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio::sync::Mutex;

pub(crate) use books::Books;

use crate::clock::{pause, within};
use crate::diary::Diary;
use crate::engines::Rabbit;
use crate::queues::QUEUES;
use crate::tune::PARK_MAX_S;

/// Beyond the longest that anything may be parked.
const REST_WITHIN: Duration = Duration::from_secs(PARK_MAX_S + 45);
const STILL: Duration = Duration::from_millis(1200);

/// Waits until queues are empty, what was handed out included, nothing is parked, and nothing changes any more.
pub(crate) async fn rest(pool: &PgPool, rabbit: &Mutex<Rabbit>) -> Result<Duration, String> {
    let began = Instant::now();
    within(REST_WITHIN, || async {
        let before = counts(pool).await.map_err(|error| error.to_string())?;
        let mut queued = 0;
        for queue in QUEUES {
            queued += rabbit.lock().await.messages(&format!("leads.v1.{queue}")).await;
        }
        if queued > 0 || before.1 > 0 {
            return Err(format!("{queued} messages queued or handed out, {} leads parked", before.1));
        }
        pause(STILL).await;
        let after = counts(pool).await.map_err(|error| error.to_string())?;
        if before == after { Ok(()) } else { Err(format!("rows still change: {before:?}, {after:?}")) }
    })
    .await
    .map(|()| began.elapsed())
    .map_err(|last| format!("no rest within {REST_WITHIN:?}: {last}"))
}

/// Rows and parked leads.
async fn counts(pool: &PgPool) -> Result<(i64, i64), sqlx::Error> {
    sqlx::query_as("SELECT (SELECT count(*) FROM leads), (SELECT count(*) FROM parked_leads)").fetch_one(pool).await
}

/// Every broken promise; `poison` are the identities of what was planted.
pub(crate) async fn check(
    pool: &PgPool,
    diary: &Diary,
    poison: &HashSet<String>,
) -> Result<(Vec<String>, Books), String> {
    let entries = diary.entries(0);
    let books = Books::read(pool).await.map_err(|error| format!("the tables cannot be read: {error}"))?;
    let mut faults = diary.faults();
    for entry in &entries {
        let wrong = answers::faults(entry, &books);
        faults.extend(wrong.into_iter().map(|what| format!("{what}: {entry:?}")));
    }
    faults.extend(answers::false_duplicates(&entries, &books));
    faults.extend(rows::faults(&books, &entries, poison));
    Ok((faults, books))
}

/// `leadline ledger --diary`: its last line, and what it accuses if it does not exit with 0.
pub(crate) fn ledger(database: &str, diary: &Path) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_leadline"))
        .args(["ledger", "--settled", "--whole", "--diary"])
        .arg(diary)
        .env("DATABASE_URL", database)
        .env_remove("RUST_LOG")
        .output()
        .map_err(|error| format!("leadline ledger does not start: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return Ok(said.trim().to_owned());
    }
    Err(format!("leadline ledger --diary: {}\n{said}", output.status))
}
