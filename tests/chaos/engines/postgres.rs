//! One PostgreSQL server, and what can happen to it.
//!
//! Enters: a folder for its log, a port or 0. Leaves: URLs of a superuser, and faults: stopped at once, killed,
//! frozen, its sessions ended. Durable as in production: fsync and `synchronous_commit` stay on.
//!
//! **Invariant:** port and data survive every fault; only the end of the value removes them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use super::daemon::{self, Daemon};
use super::place::{self, Place};
use crate::clock;
use crate::port::free_address;

const PATIENCE: Duration = Duration::from_secs(60);
const CONF: &str = "\
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 200
shared_buffers = '64MB'
max_wal_size = '1GB'
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %d '
log_min_messages = warning
";

/// A private server.
#[derive(Debug)]
pub(crate) struct Postgres {
    daemon: Option<Daemon>,
    pub(super) place: Place,
    pub(super) log: PathBuf,
    pub(super) port: u16,
    pub(super) password: String,
    /// Lines of its own in the configuration.
    pub(super) extra: String,
}

impl Postgres {
    /// A fresh server; port 0 picks a free one.
    pub(crate) async fn start(logs: &Path, port: u16) -> Self {
        Self::start_in(Self::place("postgres"), logs, "postgres", port, "").await
    }

    /// A fresh server with lines of its own in the configuration, which may name its folder.
    pub(crate) async fn start_with(logs: &Path, extra: impl FnOnce(&Path) -> String) -> Self {
        let place = Self::place("postgres");
        let extra = extra(&place.path);
        Self::start_in(place, logs, "postgres", 0, &extra).await
    }

    /// A fresh server in a folder that is there already.
    pub(super) async fn start_in(place: Place, logs: &Path, name: &str, port: u16, extra: &str) -> Self {
        let password = Uuid::now_v7().simple().to_string();
        let file = place.write("password", &password);
        let data = place.path.join("data");
        let mut initdb = daemon::command(place.user, &place.path, &program("initdb"), &[]);
        initdb.arg("-D").arg(&data).arg("--pwfile").arg(&file).args([
            "-U",
            "leadline",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            "--wal-segsize=4",
        ]);
        daemon::run(&mut initdb, "", PATIENCE).await.unwrap_or_else(|error| panic!("initdb: {error}"));
        let mut conf = fs::read_to_string(data.join("postgresql.conf")).expect("postgresql.conf");
        conf.push_str("include '../own.conf'\n");
        place.write("data/postgresql.conf", &conf);
        let mut server = Self::over(place, daemon::log(logs, name), port, password, extra);
        server.start_again().await;
        server
    }

    /// A server over data that are there already; not started.
    pub(super) fn over(place: Place, log: PathBuf, port: u16, password: String, extra: &str) -> Self {
        let port = if port == 0 { free_address().unwrap().port() } else { port };
        Self { daemon: None, place, log, port, password, extra: extra.to_owned() }
    }

    /// A folder that the server may use.
    pub(super) fn place(name: &str) -> Place {
        Place::make(name, place::user("postgres"))
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Where it keeps its data.
    pub(crate) fn data(&self) -> PathBuf {
        self.place.path.join("data")
    }

    /// A folder beside its data that it may write to.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.place.folder(name)
    }

    /// Has a command run as the server's user, in the server's folder.
    pub(crate) fn lend(&self, command: Command) -> Command {
        daemon::lend(command, &self.place)
    }

    /// The URL of one of its databases.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://leadline:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// SIGQUIT: no checkpoint, sessions cut, recovery at the next start.
    pub(crate) async fn stop_immediate(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.stop("QUIT", PATIENCE).await;
        }
    }

    /// SIGKILL to the whole server, as by a power cut.
    pub(crate) fn kill9(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill();
        }
    }

    /// Starts it over its data, and waits until it answers.
    pub(crate) async fn start_again(&mut self) {
        self.kill9();
        self.write_conf();
        // A dead server's; its number may be another process's by now, and then the server would refuse to start.
        fs::remove_file(self.place.path.join("data/postmaster.pid")).ok();
        let mut command = daemon::command(self.place.user, &self.place.path, &program("postgres"), &[]);
        command.arg("-D").arg(self.place.path.join("data"));
        self.daemon = Some(Daemon::spawn(&mut command, &self.log, &self.place));
        let url = self.url("postgres");
        let answers = clock::within(PATIENCE, || async { PgConnection::connect(&url).await?.close().await });
        if let Err(error) = answers.await {
            panic!("PostgreSQL does not start: {error}; {}", self.said());
        }
    }

    /// Waits until it answers; one that has given up, which does not end at once, is started again.
    pub(crate) async fn recover(&mut self) {
        let (url, until) = (self.url("postgres"), Instant::now() + PATIENCE);
        while let Err(error) = PgConnection::connect(&url).await {
            assert!(Instant::now() < until, "PostgreSQL does not answer: {error}; {}", self.said());
            if !self.runs() {
                return self.start_again().await;
            }
            clock::pause(Duration::from_millis(20)).await;
        }
    }

    /// Whether the server process is there.
    pub(crate) fn runs(&self) -> bool {
        self.daemon.as_ref().is_some_and(Daemon::runs)
    }

    /// Ends every session of Leadline's; how many there were.
    pub(crate) async fn terminate_backends(&self) -> i64 {
        let ended = self
            .ask(
                "postgres",
                "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid))::text FROM pg_stat_activity \
                 WHERE application_name LIKE 'leadline-%' AND pid <> pg_backend_pid()",
            )
            .await;
        ended.parse().expect("a number")
    }

    /// SIGSTOP to the whole server: connections stay open and silent.
    pub(crate) fn pause(&self) {
        self.daemon.iter().for_each(Daemon::pause);
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) {
        self.daemon.iter().for_each(Daemon::resume);
    }

    /// The one text that a statement answers with; empty if there is none.
    pub(crate) async fn ask(&self, database: &str, statement: &str) -> String {
        let mut connection = PgConnection::connect(&self.url(database)).await.expect("PostgreSQL answers");
        let answer = sqlx::query_scalar(AssertSqlSafe(statement.to_owned())).fetch_optional(&mut connection).await;
        connection.close().await.ok();
        answer.unwrap_or_else(|error| panic!("{statement}: {error}")).unwrap_or_default()
    }

    /// Runs a statement.
    pub(crate) async fn execute(&self, database: &str, statement: &str) {
        let mut connection = PgConnection::connect(&self.url(database)).await.expect("PostgreSQL answers");
        let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await;
        connection.close().await.ok();
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// Changes its own lines of the configuration, effective at once where PostgreSQL allows it.
    pub(super) fn configure(&mut self, extra: &str) {
        extra.clone_into(&mut self.extra);
        self.write_conf();
        self.daemon.iter().for_each(Daemon::reload);
    }

    fn write_conf(&self) {
        self.place.write("own.conf", &format!("{CONF}port = {}\n{}\n", self.port, self.extra));
    }

    fn said(&self) -> String {
        self.daemon.as_ref().map(Daemon::said).unwrap_or_default()
    }
}

/// The newest server's program of that name.
pub(super) fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.map(|entry| entry.path()).max_by_key(|path| number(path));
    let folder = newest.map(|path| path.join("bin")).or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|folder| folder.join("initdb").exists())
    });
    let folder = folder.expect("PostgreSQL is not installed: `deploy/dev test` installs it");
    // Where a distribution links the tools into PATH, the server itself stands beside what the link means.
    fs::canonicalize(folder.join(name)).unwrap_or_else(|error| panic!("{name} in {}: {error}", folder.display()))
}
