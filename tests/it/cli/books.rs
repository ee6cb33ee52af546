//! A database of its own with one workspace, one link, one click, and a diary to go with its rows.
//!
//! **Invariant:** rows are written as the service writes them, unless a test says otherwise.

use std::path::PathBuf;
use std::process::{Command, Output};

use chrono::{DateTime, Utc};
use leadline::cli::ledger::{CheckOptions, Report, check};
use leadline::lead::{DiaryLine, Ending, Mode, event_key, id};
use leadline::store::Store;
use leadline::telemetry::Metrics;
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use crate::harness::database::Database;

/// When the first request of every diary was sent.
const START: i64 = 1_763_000_000_000;

/// The books of one test.
pub(super) struct Books {
    pub(super) pool: PgPool,
    pub(super) workspace: Uuid,
    pub(super) link: Uuid,
    pub(super) click: String,
    pub(super) lines: Vec<DiaryLine>,
    pub(super) url: String,
    store: Store,
    database: Database,
    clock: i64,
}

impl Books {
    pub(super) async fn open() -> Self {
        let name = format!("leadline_cli_{}", id::alphanumerics(12).to_lowercase());
        let mut config = leadline::config::load(None).unwrap();
        let database = Database::create(&name, &config).await;
        config.store.url = SecretString::from(database.url.clone());
        let metrics = Metrics::new().unwrap();
        let books = Self {
            pool: PgPool::connect(&database.url).await.unwrap(),
            store: Store::connect_command(&config.store, 2, &metrics).unwrap(),
            workspace: Uuid::now_v7(),
            link: Uuid::now_v7(),
            click: id::click_id(1),
            lines: Vec::new(),
            url: database.url.clone(),
            database,
            clock: START,
        };
        books.sql("INSERT INTO workspaces (id, slug, name) VALUES ($1, 'acme', 'Acme')").await;
        let link = format!(
            "INSERT INTO links (id, workspace_id, domain, key, url)
             VALUES ('{}', $1, 'go.test', 'k', 'https://x.test')",
            books.link
        );
        books.sql(&link).await;
        books
    }

    /// Runs a statement whose `$1` is the workspace; returns how many rows it touched.
    pub(super) async fn sql(&self, statement: &str) -> u64 {
        let statement = sqlx::query(AssertSqlSafe(statement.to_owned())).bind(self.workspace);
        statement.execute(&self.pool).await.unwrap().rows_affected()
    }

    fn tick(&mut self) -> i64 {
        self.clock += 10;
        self.clock
    }

    /// A line for a request answered 200; nothing is stored.
    pub(super) fn line(&mut self, mode: Mode, customer: &str, event: &str) -> DiaryLine {
        DiaryLine {
            lead_id: Some(Uuid::now_v7()),
            workspace_id: Some(self.workspace),
            customer: customer.to_owned(),
            event: event.to_owned(),
            mode,
            click_id: self.click.clone(),
            quantity: 1,
            status: 200,
            ending: None,
            duplicate: false,
            link: Some(self.link),
            at: self.tick(),
        }
    }

    /// Stores the row a line's request becomes when it ends this way, and notes the line.
    pub(super) async fn end(&mut self, line: DiaryLine, ending: Ending) -> Uuid {
        let lead = line.lead_id.unwrap_or_else(Uuid::now_v7);
        let rejected = ending == Ending::Rejected;
        let follow_up = line.click_id.is_empty();
        let click = (!(rejected && follow_up)).then(|| self.click.clone());
        let moment = |millis: i64| DateTime::<Utc>::from_timestamp_millis(millis).unwrap();
        let row = sqlx::query(
            "INSERT INTO leads (workspace_id, id, customer_external_id, event_key, event_name, mode, ending, reason, quantity,
                                follow_up, click_id, link_id, clicked_at, accepted_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, now(), $13)",
        );
        row.bind(self.workspace)
            .bind(lead)
            .bind(&line.customer)
            .bind(event_key(&line.event))
            .bind(&line.event)
            .bind(line.mode.as_str())
            .bind(ending.as_str())
            .bind(rejected.then_some("click_not_found"))
            .bind(line.quantity)
            .bind(follow_up)
            .bind(click)
            .bind((!rejected).then_some(self.link))
            .bind(moment(line.at + 1))
            .execute(&self.pool)
            .await
            .unwrap();
        if matches!(ending, Ending::Recorded | Ending::Deferred) {
            let statement = format!(
                "INSERT INTO customers (workspace_id, external_id, id, click_id, link_id)
                 VALUES ($1, '{}', gen_random_uuid(), '{}', '{}') ON CONFLICT DO NOTHING",
                line.customer, self.click, self.link
            );
            self.sql(&statement).await;
        }
        if ending == Ending::Recorded {
            self.sql(&format!("UPDATE links SET leads = leads + {} WHERE workspace_id = $1", line.quantity)).await;
        }
        self.lines.push(line);
        lead
    }

    /// A recorded async lead with its line.
    pub(super) async fn recorded(&mut self, customer: &str) -> Uuid {
        let line = self.line(Mode::Async, customer, "Sign Up");
        self.end(line, Ending::Recorded).await
    }

    /// Parks a lead id.
    pub(super) async fn park(&self, lead: Uuid) {
        self.sql(&format!(
            "INSERT INTO parked_leads (workspace_id, id, customer_external_id, message, expires_at)
             VALUES ($1, '{lead}', 'x', '', now() + interval '1 hour')"
        ))
        .await;
    }

    /// Buries a lead.
    pub(super) async fn bury(&self, lead: Uuid, message: &[u8]) {
        self.sql(&format!(
            "INSERT INTO buried_leads (id, identity, workspace_id, lead_id, reason, message)
             VALUES (gen_random_uuid(), '{lead}', $1, '{lead}', 'refused (22P05)', '\\x{}')",
            hex::encode(message)
        ))
        .await;
    }

    /// The database's name.
    pub(super) fn name(&self) -> &str {
        &self.database.name
    }

    pub(super) fn path(&self) -> PathBuf {
        std::env::temp_dir().join(format!("{}.ndjson", self.database.name))
    }

    pub(super) fn write(&self) {
        let text: String = self.lines.iter().map(|line| line.line().unwrap()).collect();
        std::fs::write(self.path(), text).unwrap();
    }

    /// Checks the diary.
    pub(super) async fn check(&self, options: CheckOptions) -> Report {
        self.write();
        check(&self.store, &[self.path()], options).await.unwrap()
    }

    /// The only offence of the diary, all rows looked at.
    pub(super) async fn offence(&self) -> String {
        let report = self.check(CheckOptions { whole: true, ..CheckOptions::default() }).await;
        let all: Vec<String> = report.offences.iter().map(ToString::to_string).collect();
        assert_eq!(report.offence_count, 1, "{all:#?}");
        all.concat()
    }

    /// Runs the binary on these books.
    pub(super) fn leadline(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_leadline")).args(arguments).env("DATABASE_URL", &self.url).output().unwrap()
    }
}

impl Drop for Books {
    fn drop(&mut self) {
        drop(std::fs::remove_file(self.path()));
        let database = self.database.clone();
        let cleaner = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(database.remove());
        });
        drop(cleaner.join());
    }
}
