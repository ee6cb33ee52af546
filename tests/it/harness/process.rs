//! The compiled binary as a process of its own, for kills that are kills.
//!
//! Enters: a role and the test's configuration. Leaves: an address, and a process that can be killed. The binary may be that of
//! another release, which has the configuration that its own tests are made for.
//!
//! **Invariant:** no process outlives its test.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;

use leadline::config::Config;
use reqwest::Client;
use secrecy::ExposeSecret;

use super::eventually::{eventually, holds};
use super::port::free_address;

/// What the harness' own configuration has for a busy machine, for processes whose test is not about deadlines.
pub(crate) const PATIENT: [(&str, &str); 5] = [
    ("LEADLINE__BROKER__CONFIRM_DEADLINE", "8s"),
    ("LEADLINE__INTAKE__RESOLVE_TIMEOUT", "8s"),
    ("LEADLINE__INTAKE__WAIT_TIMEOUT", "20s"),
    ("LEADLINE__STORE__ACQUIRE_TIMEOUT", "8s"),
    ("LEADLINE__LIFECYCLE__STOP_BUDGET", "40s"),
];

/// A running `leadline`.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Where its API listens, if it has one.
    pub(crate) address: SocketAddr,
    lines: PathBuf,
}

/// A compiled `leadline`.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    binary: PathBuf,
    config: PathBuf,
}

impl Program {
    /// The one that is tested.
    pub(crate) fn current() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        Self { binary: env!("CARGO_BIN_EXE_leadline").into(), config: root.join("config/test.toml") }
    }

    /// One that was put into a folder with its `config/`.
    pub(crate) fn within(folder: &Path) -> Self {
        Self { binary: folder.join("leadline"), config: folder.join("config/test.toml") }
    }

    /// A command of it, on a test's engines.
    pub(crate) fn command(&self, config: &Config) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .arg("--config")
            .arg(&self.config)
            .env("DATABASE_URL", config.store.url.expose_secret())
            .env("AMQP_URL", config.broker.url.expose_secret())
            .env("LEADLINE__BROKER__PREFIX", &config.broker.prefix);
        command
    }
}

impl Process {
    /// Starts `leadline <role>` and waits until it is ready.
    pub(crate) async fn start(role: &str, config: &Config, client: &Client) -> Self {
        Self::start_with(role, config, client, &[]).await
    }

    /// The same with more settings.
    pub(crate) async fn start_with(role: &str, config: &Config, client: &Client, more: &[(&str, &str)]) -> Self {
        Self::start_of(&Program::current(), role, config, client, more).await
    }

    /// The same of any program.
    pub(crate) async fn start_of(
        program: &Program,
        role: &str,
        config: &Config,
        client: &Client,
        more: &[(&str, &str)],
    ) -> Self {
        let (address, metrics) = (free_address().unwrap(), free_address().unwrap());
        let lines = std::env::temp_dir().join(format!("leadline-{}-{role}.log", address.port()));
        let child = program
            .command(config)
            .arg(role)
            .env("LEADLINE__HTTP__LISTEN", address.to_string())
            .env("LEADLINE__HTTP__METRICS_LISTEN", metrics.to_string())
            .env("LEADLINE__TELEMETRY__FORMAT", "json")
            .envs(more.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&lines).unwrap())
            .spawn()
            .unwrap();
        let process = Self { child, address, lines };
        eventually(&format!("leadline {role} ready"), || async {
            let answer = client.get(format!("http://{metrics}/readyz")).send().await;
            holds(answer.is_ok_and(|answer| answer.status() == 200), process.said())
        })
        .await;
        process
    }

    /// Its resident memory, in KiB.
    pub(crate) fn resident(&self) -> i64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; returns the exit code.
    pub(crate) async fn stop(self) -> Option<i32> {
        self.stop_and_hear().await.0
    }

    /// SIGTERM; returns the exit code and everything it said.
    pub(crate) async fn stop_and_hear(mut self) -> (Option<i32>, String) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let child = Mutex::new(&mut self.child);
        let status = eventually("the process to end", || async {
            child.lock().unwrap().try_wait().unwrap().ok_or("still running")
        });
        let code = status.await.code();
        (code, self.said())
    }

    /// Its ERROR lines so far.
    pub(crate) fn errors(&self) -> Vec<String> {
        self.said().lines().filter(|line| line.contains("\"level\":\"ERROR\"")).map(str::to_owned).collect()
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.lines).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
        if thread::panicking() {
            eprintln!("--- {} said:\n{}", self.lines.display(), self.said());
        }
        fs::remove_file(&self.lines).ok();
    }
}
