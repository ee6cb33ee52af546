//! What the load generator is told and what it tells, and the processes this command starts.
//!
//! Enters: a [`Job`]. Leaves: a [`Load`], as the generator process printed it.
//!
//! **Invariant:** a child process does not outlive its [`Child`].

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::Outcome;

/// One stretch of load.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    /// `host:port`.
    pub(crate) address: String,
    /// Each sends its next request when the last one is answered.
    pub(crate) connections: usize,
    /// Nothing is begun after so long.
    pub(crate) seconds: f64,
    /// At most so many requests per second and connection; 0 means as fast as it goes.
    pub(crate) pace: f64,
    /// `async` or `wait`.
    pub(crate) mode: String,
    /// The workspace's secret key.
    pub(crate) key: String,
    /// As shown, for the diary.
    pub(crate) workspace: String,
    /// A file with one click id per line.
    pub(crate) clicks: String,
    /// Where the diary's lines are appended; empty means nowhere.
    pub(crate) diary: String,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Load {
    /// Answers by status; 0 counts lost connections.
    pub(crate) by_status: BTreeMap<u16, u64>,
    /// First request, in seconds since 1970.
    pub(crate) began_at: f64,
    /// From the first request to the last answer, in seconds.
    pub(crate) took_s: f64,
    /// Median and slow end of the answers' times, in milliseconds.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// CPU the generator itself used while it sent.
    pub(crate) cpu_s: f64,
    /// Size of an answer's head and body, in bytes.
    pub(crate) head_bytes: usize,
    pub(crate) body_bytes: usize,
}

impl Load {
    /// Requests answered 200.
    pub(crate) fn ok(&self) -> u64 {
        self.by_status.get(&200).copied().unwrap_or(0)
    }

    /// Requests not answered 200, as a remark; `None` when there are none.
    pub(crate) fn trouble(&self) -> Option<String> {
        let others = self.by_status.iter().filter(|(status, _)| **status != 200);
        let words: Vec<String> = others.map(|(status, n)| format!("{n} × {status}")).collect();
        (!words.is_empty()).then(|| format!("not answered 200: {}", words.join(", ")))
    }

    /// Answers per second.
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    pub(crate) fn per_s(&self) -> f64 {
        self.ok() as f64 / self.took_s
    }
}

/// Runs one stretch of load in a process of its own.
pub(crate) async fn run(job: &Job) -> Outcome<Load> {
    let mut command = ourselves()?;
    command.arg("--generate").arg(serde_json::to_string(job)?);
    command.stderr(Stdio::inherit());
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    if !output.status.success() {
        return Err("the load generator failed".into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// This binary again, to be given one of its hidden options.
pub(crate) fn ourselves() -> Outcome<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.stdin(Stdio::null());
    Ok(command)
}

/// A running process; killed when dropped.
#[derive(Debug)]
pub(crate) struct Child(pub(crate) std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            drop(self.0.kill());
            drop(self.0.wait());
        }
    }
}
