//! The real binary as a process: started, signalled, watched.
//!
//! Enters: a role, addresses, environment. Leaves: a process that can be killed, frozen and measured.
//!
//! **Invariant:** only processes started here are ever signalled, and none outlives its handle.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// HTTP in, queue out.
    Api,
    /// Queue in, PostgreSQL out.
    Worker,
}

impl Role {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Worker => "worker",
        }
    }
}

/// One running `leadline`.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    log_began: u64,
}

/// How a process ended.
#[derive(Debug, Clone)]
pub(crate) struct Death {
    /// `api-0`, `worker-1`, …
    pub(crate) name: String,
    /// The signal that killed it.
    pub(crate) signal: Option<i32>,
    /// Its exit code, if it exited.
    pub(crate) code: Option<i32>,
    /// The place of its planned death, from its log.
    pub(crate) place: Option<String>,
}

/// A measure of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) rss_kib: u64,
    pub(crate) threads: u64,
    pub(crate) files: u64,
}

impl Process {
    /// Starts one; its log is appended to.
    pub(crate) fn start(role: Role, environment: &[(String, String)], log: &Path) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(log).unwrap();
        let log_began = file.metadata().unwrap().len();
        let child = Command::new(env!("CARGO_BIN_EXE_leadline"))
            .arg(role.as_str())
            .env_remove("RUST_LOG")
            .env_remove("DATABASE_URL")
            .env_remove("AMQP_URL")
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start leadline {}: {error}", role.as_str()));
        Self { child, log: log.to_owned(), log_began }
    }

    /// Sends a signal by name: `KILL`, `STOP`, `CONT`, `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Whether it has ended, and how.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// The story of its end.
    pub(crate) fn death(&self, name: &str, status: ExitStatus) -> Death {
        let said = fs::read(&self.log).unwrap_or_default();
        let own = String::from_utf8_lossy(said.get(usize::try_from(self.log_began).unwrap()..).unwrap_or_default());
        let place = own.lines().rev().find(|line| line.contains("planned death")).and_then(|line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            line["place"].as_str().map(str::to_owned)
        });
        Death { name: name.to_owned(), signal: status.signal(), code: status.code(), place }
    }

    /// Memory, threads and open files.
    pub(crate) fn size(&self) -> Size {
        size(self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

fn signal(pid: u32, name: &str) {
    let sent = Command::new("/bin/sh").args(["-c", &format!("kill -{name} {pid}")]).stderr(Stdio::null()).status();
    sent.unwrap();
}

fn size(pid: u32) -> Size {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
    };
    let files = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |files| files.count() as u64);
    Size { rss_kib: field("VmRSS:"), threads: field("Threads:"), files }
}

/// An empty folder.
pub(crate) fn fresh_folder(path: &Path) {
    fs::remove_dir_all(path).ok();
    fs::create_dir_all(path).unwrap();
}

/// A file to write to.
pub(crate) fn create(path: &Path) -> File {
    File::create(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
