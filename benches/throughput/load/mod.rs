//! The load generator, from both sides: what it is told and tells (here), and the process itself.
//!
//! Enters: a [`Job`], on the child's standard input, so that no key stands in a command line.
//! Leaves: a [`Load`], on its standard output, and the diary's lines.
//!
//! **Invariant:** a child process does not outlive its [`Child`].

mod answer;
mod bulk;
mod deck;
mod diary;
mod generator;
mod pace;
mod template;
mod ticker;
mod wire;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::stats::Times;

pub(crate) use generator::run as generate;
pub(crate) use template::{Click, message};
pub(crate) use ticker::Ticker;

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Traffic {
    /// New leads of new customers, answered when durable.
    Async,
    /// The same, answered when committed.
    Wait,
    /// New customers and their clicks, without an event.
    Deferred,
    /// The events of customers deferred before.
    FollowUp,
    /// As in life: 85 % async of which 10 % are repeats, 10 % deferred and later their follow-ups, 5 % wait.
    Mix,
    /// Half the leads are one customer's, each with an event of its own.
    #[value(skip)]
    HotCustomer,
    /// Async leads, so many in one body.
    #[value(skip)]
    Bulk(usize),
}

impl Traffic {
    /// The five that the whole run measures.
    pub(crate) const ALL: [Self; 5] = [Self::Async, Self::Wait, Self::Deferred, Self::FollowUp, Self::Mix];

    /// Its name in tables.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Async => "async".to_owned(),
            Self::Wait => "wait".to_owned(),
            Self::Deferred => "deferred".to_owned(),
            Self::FollowUp => "follow-up".to_owned(),
            Self::Mix => "mix".to_owned(),
            Self::HotCustomer => "hot customer".to_owned(),
            Self::Bulk(leads) => format!("batch of {leads}"),
        }
    }
}

/// How new customers are called.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Ids {
    /// At random, as hashes and UUIDs are.
    Random,
    /// Counted up from here, as a table's keys are.
    Sequential(u64),
}

/// One stretch of load.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    /// `host:port`, one or several; connections are spread over them in turn.
    pub(crate) addresses: Vec<String>,
    /// Put before every path; empty for us.
    pub(crate) prefix: String,
    /// Open before the first request is sent.
    pub(crate) connections: usize,
    /// Closed loop: nothing is begun after so long. Open loop: nothing is due after so long.
    pub(crate) seconds: f64,
    /// At most so many requests; 0 means any number.
    pub(crate) count: u64,
    /// Open loop: so many requests fall due per second, evenly. 0 means a closed loop.
    pub(crate) rate: f64,
    /// What is sent.
    pub(crate) traffic: Traffic,
    /// How new customers are called.
    pub(crate) ids: Ids,
    /// The workspace's secret key.
    pub(crate) key: String,
    /// As shown, for the diary.
    pub(crate) workspace: String,
    /// A file with one click id per line.
    pub(crate) clicks: String,
    /// Where the diary's lines are appended; empty means nowhere.
    pub(crate) diary: String,
    /// Where customers answered 200 in mode deferred are noted, and taken from by follow-ups.
    pub(crate) deferred: String,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Load {
    /// Leads by the status of their answer; 0 counts lost connections.
    pub(crate) by_status: BTreeMap<u16, u64>,
    /// Of those answered 200, the ones that were answered as duplicates: no row of their own follows.
    pub(crate) repeats: u64,
    /// Of those answered 200, the ones in mode deferred.
    pub(crate) deferred: u64,
    /// First request, in seconds since 1970.
    pub(crate) began_at: f64,
    /// From the first request to the last answer, in seconds.
    pub(crate) took_s: f64,
    /// The answers' times: closed loop from sending, open loop from when the request was due.
    pub(crate) times: Times,
    /// CPU the generator itself used while it sent.
    pub(crate) cpu_s: f64,
    /// Its largest resident memory, in bytes.
    pub(crate) memory: u64,
    /// Size of an answer's body, in bytes.
    pub(crate) body_bytes: usize,
}

impl Load {
    /// Leads answered 200.
    pub(crate) fn ok(&self) -> u64 {
        self.by_status.get(&200).copied().unwrap_or(0)
    }

    /// Leads sent.
    pub(crate) fn sent(&self) -> u64 {
        self.by_status.values().sum()
    }

    /// Leads not answered 200, as a remark; `None` when there are none.
    pub(crate) fn trouble(&self) -> Option<String> {
        let others = self.by_status.iter().filter(|(status, _)| **status != 200);
        let words: Vec<String> = others.map(|(status, n)| format!("{n} × {status}")).collect();
        (!words.is_empty()).then(|| format!("not answered 200: {}", words.join(", ")))
    }

    /// Leads accepted per second.
    pub(crate) fn per_s(&self) -> f64 {
        self.ok() as f64 / self.took_s
    }
}

/// Runs one stretch of load in a process of its own.
pub(crate) async fn run(job: &Job) -> Outcome<Load> {
    let mut command = ourselves()?;
    command.arg("--generate").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let job = serde_json::to_vec(job)?;
    let output = tokio::task::spawn_blocking(move || -> std::io::Result<_> {
        let mut child = command.spawn()?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(&job)?;
        }
        child.wait_with_output()
    });
    let output = output.await??;
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
