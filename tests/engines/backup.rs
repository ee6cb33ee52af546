//! Engines that are lost and brought back, by what deploy/backup.md tells to type.
//!
//! **Invariant:** with an archive, everything that was answered 200 is there again, once; the ledger says so.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use leadline::app::{App, Role};
use leadline::broker::{Address, Letter, Publisher, Queue};
use leadline::config::Config;
use leadline::lead::{DiaryLine, Ending, Mode, id};
use leadline::lifecycle::{Ended, Health, Stop, Tasks};
use leadline::telemetry::Metrics;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::desk::{config, eventually, logs};
use crate::engines::{Postgres, Rabbit};
use crate::page::{Page, said};

const PAGE: &str = "deploy/backup.md";

/// Runs a command aside, so that what runs in this test goes on meanwhile.
async fn aside(command: Command) -> Result<String, String> {
    tokio::task::spawn_blocking(move || said(command)).await.unwrap()
}

/// API and worker in one.
struct Service {
    address: SocketAddr,
    stop: Stop,
    task: JoinHandle<Result<Vec<&'static str>, Ended>>,
}

impl Service {
    #[expect(clippy::disallowed_methods, reason = "the task ends with the test's runtime")]
    async fn start(config: &Config) -> Self {
        let app = App::build(config, Role::All).await.unwrap();
        let (address, metrics, stop) = (app.address().unwrap(), app.metrics_address(), Stop::new());
        let task = tokio::spawn(app.run(stop.clone()));
        eventually("readiness", || async {
            let answer = reqwest::get(format!("http://{metrics}/readyz")).await;
            if answer.as_ref().is_ok_and(|answer| answer.status() == 200) { Ok(()) } else { Err(answer) }
        })
        .await;
        Self { address, stop, task }
    }

    async fn stop(self) {
        self.stop.ask();
        assert_eq!(self.task.await.unwrap(), Ok(Vec::new()));
    }
}

/// The sender's side: a tenant of the demo's, and a diary of everything it was told.
struct Sender {
    folder: PathBuf,
    database: String,
    diaries: Vec<PathBuf>,
}

impl Drop for Sender {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}

impl Sender {
    fn new(database: String) -> Self {
        let folder = std::env::temp_dir().join(format!("leadline-backup-{}", Uuid::now_v7().simple()));
        fs::create_dir(&folder).unwrap();
        Self { folder, database, diaries: Vec::new() }
    }

    fn leadline(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leadline"));
        command.args(arguments).env("DATABASE_URL", &self.database);
        command
    }

    fn next_diary(&mut self) -> PathBuf {
        self.diaries.push(self.folder.join(format!("{}.ndjson", self.diaries.len())));
        self.diaries[self.diaries.len() - 1].clone()
    }

    fn env_file(&self) -> PathBuf {
        self.folder.join("env")
    }

    /// One request of each kind, all of them recorded; the click they came with.
    async fn demo(&mut self, service: &Service) -> String {
        let (url, diary, env_file) = (format!("http://{}", service.address), self.next_diary(), self.env_file());
        let mut demo = self.leadline(&["--json", "demo", "--url", &url, "--patience", "50"]);
        demo.arg("--env-file").arg(env_file).arg("--diary").arg(diary);
        let told: Value = serde_json::from_str(&aside(demo).await.unwrap()).unwrap();
        told["clickId"].as_str().unwrap().to_owned()
    }

    /// Leads that are answered 200 while nobody can record them.
    async fn track(&mut self, service: &Service, click: &str, count: usize) {
        let env_file = fs::read_to_string(self.env_file()).unwrap();
        let key = env_file.lines().find_map(|line| line.strip_prefix("LEADLINE_API_KEY=")).unwrap();
        let (client, workspace) = (reqwest::Client::new(), self.workspace());
        let mut lines = String::new();
        for n in 0..count {
            let customer = format!("late-{n}");
            let body = json!({"clickId": click, "eventName": "Sign up", "customerExternalId": customer});
            let at = chrono::Utc::now().timestamp_millis();
            let sent = client.post(format!("http://{}/track/lead", service.address)).bearer_auth(key).json(&body);
            let answer = sent.send().await.unwrap();
            let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
            let line = DiaryLine {
                lead_id: header("x-lead-id").and_then(|text| id::read(id::LEAD, &text)),
                workspace_id: Some(workspace),
                customer,
                event: "Sign up".to_owned(),
                mode: Mode::Async,
                click_id: click.to_owned(),
                quantity: 1,
                status: answer.status().as_u16(),
                ending: header("x-lead-ending").and_then(|text| Ending::parse(&text)),
                duplicate: false,
                link: None,
                at,
            };
            assert_eq!(line.status, 200, "{}", answer.text().await.unwrap());
            lines.push_str(&line.line().unwrap());
        }
        fs::write(self.next_diary(), lines).unwrap();
    }

    /// Whose leads they are, as the first diary has it.
    fn workspace(&self) -> Uuid {
        let diary = fs::read_to_string(&self.diaries[0]).unwrap();
        DiaryLine::parse(diary.lines().next().unwrap()).unwrap().workspace_id.unwrap()
    }

    /// Everything that was ever answered, against everything that stands in the books.
    async fn ledger(&self) -> Result<String, String> {
        let mut ledger = self.leadline(&["ledger", "--settled", "--whole"]);
        for diary in &self.diaries {
            ledger.arg("--diary").arg(diary);
        }
        aside(ledger).await
    }
}

#[tokio::test]
async fn a_server_that_dies_comes_back_from_base_backup_and_archive_with_its_last_commit() {
    let (page, logs) = (Page::open(PAGE), logs("backup"));
    let conf = page.block("ini archive");
    let mut postgres = Postgres::start_with(&logs, |own| conf.replace("/srv", &own.display().to_string())).await;
    let (backups, archive) = (postgres.folder("backups"), postgres.folder("backups/wal"));
    let variables = [
        ("ADMIN_URL", postgres.url("postgres")),
        ("BACKUPS", backups.display().to_string()),
        ("PGDATA", postgres.data().display().to_string()),
    ];
    let rabbit = Rabbit::start(&logs, 1).await;
    let mut config = config();
    config.broker.url = SecretString::from(rabbit.url(0));
    config.store.url = SecretString::from(postgres.url("leadline"));
    config.intake.resolve_timeout = Duration::from_millis(300);
    config.intake.wait_timeout = Duration::from_secs(9);
    config.broker.confirm_deadline = Duration::from_secs(8);
    postgres.execute("postgres", "CREATE DATABASE leadline").await;
    let mut sender = Sender::new(postgres.url("leadline"));
    aside(sender.leadline(&["migrate"])).await.unwrap();
    let service = Service::start(&config).await;
    sender.demo(&service).await;
    for block in ["roles", "base"] {
        aside(postgres.lend(page.typed(block, &variables))).await.unwrap();
    }
    assert!(fs::read_to_string(backups.join("roles.sql")).unwrap().contains("CREATE ROLE leadline"));
    // After the backup: what the archive has, what only the server's own log has, and what stands in the queues.
    sender.demo(&service).await;
    let segment = postgres.ask("postgres", "SELECT pg_walfile_name(pg_switch_wal())").await;
    eventually("a segment that only the archive has", || async {
        postgres.execute("postgres", "CHECKPOINT").await;
        let theirs = postgres.data().join("pg_wal").join(&segment).exists();
        if !theirs && archive.join(&segment).exists() { Ok(()) } else { Err(theirs) }
    })
    .await;
    let click = sender.demo(&service).await;
    postgres.kill9();
    sender.track(&service, &click, 20).await;
    service.stop().await;

    aside(postgres.lend(page.typed("recover", &variables))).await.unwrap();
    postgres.start_again().await;
    eventually("a server that takes writes", || async {
        let recovers = postgres.ask("postgres", "SELECT pg_is_in_recovery()::text").await;
        if recovers == "false" { Ok(()) } else { Err(recovers) }
    })
    .await;
    let service = Service::start(&config).await;
    let told = eventually("books that agree with every diary", || sender.ledger()).await;
    assert!(told.contains("35 requests: 35 answered 200"), "{told}");
    sender.demo(&service).await;
    sender.ledger().await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn definitions_give_an_empty_broker_its_users_and_queues_back() {
    let page = Page::open(PAGE);
    let old = Rabbit::start(&logs("definitions-old"), 1).await;
    confirmed(&old.url(0)).await;
    for call in [
        "rabbit_auth_backend_internal:add_user(<<\"leads\">>, <<\"secret\">>, <<\"test\">>)",
        "rabbit_auth_backend_internal:set_permissions(<<\"leads\">>, <<\"/\">>, <<\".*\">>, <<\".*\">>, <<\".*\">>, <<\"test\">>)",
    ] {
        old.ask(&format!("{call}.")).await;
    }
    let file = typed(&old, &page, "definitions", None).await;
    let new = Rabbit::start(&logs("definitions-new"), 1).await;
    typed(&new, &page, "import", Some(&file)).await;
    assert_eq!(new.messages("leads.v1.s00").await, 0, "the queue is there, and what was in it is not");
    confirmed(&new.url(0).replace("guest:guest@", "leads:secret@")).await;
    assert_eq!(new.messages("leads.v1.s00").await, 1);
}

/// Types a block beside a broker; `file` is there before, or is what it made.
async fn typed(rabbit: &Rabbit, page: &Page, block: &str, file: Option<&Path>) -> PathBuf {
    let backups = rabbit.folder(0, "backups");
    let definitions = backups.join("definitions.json");
    if let Some(file) = file {
        fs::copy(file, &definitions).unwrap();
        rabbit.own(0, &definitions);
    }
    let variables = [("BACKUPS", backups.display().to_string())];
    aside(rabbit.lend(0, page.typed(block, &variables))).await.unwrap();
    definitions
}

/// Publishes one letter, which declares what it needs, and waits for its confirm.
async fn confirmed(url: &str) {
    let mut config = config().broker;
    config.url = SecretString::from(url);
    // A repeat after a late confirm would be a second letter.
    config.confirm_deadline = Duration::from_secs(30);
    let (metrics, mut tasks) = (Metrics::new().unwrap(), Tasks::new(Stop::new()));
    let publisher = Publisher::start(&config, &Health::default(), &metrics, &mut tasks);
    eventually("a confirm", || {
        let body = b"a test".to_vec();
        publisher.publish(Letter {
            to: Address::Queue(Queue::Shard(0)),
            id: Uuid::now_v7(),
            body,
            reply_to: None,
            trace: None,
        })
    })
    .await;
    publisher.close();
    tasks.stop().ask();
    tasks.join().await.unwrap();
}
