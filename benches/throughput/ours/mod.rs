//! Leadline itself: the release binary as child processes, its own database and queues, default
//! configuration, driven over HTTP with real clicks of a real workspace.
//!
//! Enters: how many processes of which kind. Leaves: a running Leadline, its books, its memory. What is
//! measured on it stands in `stretch`, what its processes say of themselves in `scrape`.
//!
//! **Invariant:** the processes run as anybody would start them; only addresses, engines and a prefix are given, and settings
//! only to workers that a part adds.

mod scrape;
mod stretch;

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::ground::proc::{self, Memory, Watched};
use crate::ground::{Engines, Ground, Queues, Scratch, Seeds, folder};
use crate::load::{Child, Job};
use crate::port::free_address;

pub(crate) use stretch::Stretch;

const BINARY: &str = env!("CARGO_BIN_EXE_leadline");
const READY_WITHIN: Duration = Duration::from_secs(20);
const STOPPED_WITHIN: Duration = Duration::from_secs(25);
/// Lines of a ledger's complaint that are shown.
const SHOWN: usize = 30;

/// Which processes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Layout {
    /// `leadline all`.
    All,
    /// One `leadline api`; workers are added by the part.
    Api,
    /// So many of `leadline api`, and as many of `leadline worker`.
    Split(usize),
}

/// A running Leadline and what it works on.
#[derive(Debug)]
pub(crate) struct Ours<'a> {
    scratch: &'a Scratch,
    queues: &'a Queues,
    engines: Engines,
    amqp_url: String,
    addresses: Vec<String>,
    processes: Vec<Process>,
    diary: PathBuf,
    deferred: PathBuf,
    log: File,
}

#[derive(Debug)]
struct Process {
    name: &'static str,
    child: Child,
    metrics: SocketAddr,
}

impl<'a> Ours<'a> {
    /// Starts the processes and returns once they say they are ready.
    pub(crate) async fn start(ground: &'a Ground, amqp_url: &str, layout: Layout) -> Outcome<Self> {
        Self::start_on((&ground.ours_base, &ground.ours_queues), ground.engines, amqp_url, layout, "").await
    }

    /// The same on another database and other queues; the names of its files begin with `label`.
    pub(crate) async fn start_on(
        (scratch, queues): (&'a Scratch, &'a Queues),
        engines: Engines,
        amqp_url: &str,
        layout: Layout,
        label: &str,
    ) -> Outcome<Self> {
        let file = |name: &str| folder().map(|folder| folder.join(format!("{label}{name}")));
        let mut ours = Self {
            scratch,
            queues,
            engines,
            amqp_url: amqp_url.to_owned(),
            addresses: Vec::new(),
            processes: Vec::new(),
            diary: file("diary.ndjson")?,
            deferred: file("deferred.txt")?,
            log: File::create(file("leadline.log")?)?,
        };
        match layout {
            Layout::All => ours.spawn("all", &[])?,
            Layout::Api => ours.spawn("api", &[])?,
            Layout::Split(each) => {
                for _ in 0..each {
                    ours.spawn("api", &[])?;
                    ours.spawn("worker", &[])?;
                }
            }
        }
        ours.ready().await?;
        Ok(ours)
    }

    /// Starts one more worker, with settings of its own, and returns once it says it is ready.
    pub(crate) async fn add_worker(&mut self, settings: &[(&str, String)]) -> Outcome<()> {
        self.spawn("worker", settings)?;
        self.ready().await
    }

    /// Asks the worker that came last to stop, as an orchestrator would, and waits for it.
    pub(crate) async fn remove_worker(&mut self) -> Outcome<()> {
        let last = self.processes.iter().rposition(|process| process.name == "worker");
        stop(vec![self.processes.remove(last.ok_or("there is no worker to stop")?)]).await
    }

    fn spawn(&mut self, name: &'static str, settings: &[(&str, String)]) -> Outcome<()> {
        let free = || free_address().ok_or("no port is free");
        let (api, metrics) = (free()?, free()?);
        let mut command = self.command();
        command
            .arg(name)
            .env("LEADLINE__HTTP__LISTEN", api.to_string())
            .env("LEADLINE__HTTP__METRICS_LISTEN", metrics.to_string())
            .envs(settings.iter().map(|(key, value)| (key, value)))
            .stdout(self.log.try_clone()?)
            .stderr(self.log.try_clone()?);
        self.processes.push(Process { name, child: Child(command.spawn()?), metrics });
        if name != "worker" {
            self.addresses.push(api.to_string());
        }
        Ok(())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(BINARY);
        command
            .env("DATABASE_URL", &self.scratch.url)
            .env("AMQP_URL", &self.amqp_url)
            .env("LEADLINE__BROKER__PREFIX", &self.queues.prefix)
            .stdin(Stdio::null());
        command
    }

    async fn ready(&mut self) -> Outcome<()> {
        let until = Instant::now() + READY_WITHIN;
        for process in &mut self.processes {
            while scrape::get(process.metrics, "/readyz").await.is_err() {
                let name = process.name;
                if let Some(status) = process.child.0.try_wait()? {
                    return Err(format!("leadline {name} ended: {status}; see target/bench/leadline.log").into());
                }
                if Instant::now() > until {
                    return Err(format!("leadline {name} is not ready; see target/bench/leadline.log").into());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    /// Asynchronous load on all APIs, with the diary on.
    pub(crate) fn job(&self, seeds: &Seeds, connections: usize) -> Job {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let (diary, deferred) = (path(&self.diary), path(&self.deferred));
        Job { diary, deferred, ..seeds.job(self.addresses.clone(), connections) }
    }

    /// No rows, an empty diary, nobody deferred: as every measurement begins.
    pub(crate) async fn fresh(&self) -> Outcome<()> {
        self.scratch.empty().await?;
        for file in [&self.diary, &self.deferred] {
            std::fs::write(file, "")?;
        }
        Ok(())
    }

    /// The largest resident memory of each of our processes so far, and that of the engines now, in MiB.
    pub(crate) fn memory(&self) -> Memory {
        let mut memory = self.engines.memory();
        for process in &self.processes {
            let mib = proc::peak_memory(process.child.0.id()).map_or(f64::NAN, proc::mib);
            let name = format!("leadline {}", process.name);
            memory.entry(name).and_modify(|most| *most = most.max(mib)).or_insert(mib);
        }
        memory
    }

    /// Holds everything sent since [`Self::fresh`] against Postgres: `None` when diary and books agree, else what the
    /// ledger says. The diary of a disagreement is kept under another name.
    pub(crate) async fn ledger(&self) -> Outcome<Option<String>> {
        let mut command = self.command();
        // Millions of rows that a part put there itself are looked through, too.
        command.env("LEADLINE__STORE__STATEMENT_TIMEOUT", "10m").arg("ledger").arg("--diary").arg(&self.diary);
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        if output.status.success() {
            return Ok(None);
        }
        std::fs::copy(&self.diary, folder()?.join("diary-of-a-fault.ndjson"))?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        Ok(Some(said.lines().take(SHOWN).collect::<Vec<_>>().join("\n")))
    }

    /// Asks the processes to stop, as an orchestrator would, and waits for them.
    pub(crate) async fn stop(&mut self) -> Outcome<()> {
        stop(std::mem::take(&mut self.processes)).await
    }

    /// Every process whose CPU time counts.
    pub(crate) fn watched(&self) -> Vec<(String, Watched)> {
        let ours = self.processes.iter();
        let ours = ours.map(|process| (format!("leadline {}", process.name), Watched::One(process.child.0.id())));
        ours.chain(self.engines.watched()).collect()
    }
}

/// SIGTERM to all of them; fails unless each exits with 0 in time.
async fn stop(processes: Vec<Process>) -> Outcome<()> {
    for Process { child, .. } in &processes {
        Command::new("kill").args(["-TERM", &child.0.id().to_string()]).status()?;
    }
    for Process { name, mut child, .. } in processes {
        let until = Instant::now() + STOPPED_WITHIN;
        while child.0.try_wait()?.is_none() {
            if Instant::now() > until {
                return Err(format!("leadline {name} did not stop").into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let status = child.0.wait()?;
        if !status.success() {
            return Err(format!("leadline {name} stopped with {status}").into());
        }
    }
    Ok(())
}
