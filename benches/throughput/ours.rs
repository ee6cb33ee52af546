//! Leadline itself: the release binary as child processes, its own database and queues, default
//! configuration, driven over HTTP with real clicks of a real workspace.
//!
//! The figure is rows recorded over the time from the first request until the last is committed, so
//! what still stands in the queue when the load ends counts with its drain.
//!
//! **Invariant:** only commits count: the counters of links are read from Postgres, not answers.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Outcome;
use crate::load::{self, Child, Job, Load};
use crate::proc::{self, Cpu, Watched};
use crate::queues::Queues;
use crate::scratch::{Scratch, Seeds, folder};

const BINARY: &str = env!("CARGO_BIN_EXE_leadline");
const READY_WITHIN: Duration = Duration::from_secs(20);
const DRAINED_WITHIN: Duration = Duration::from_secs(120);
const STOPPED_WITHIN: Duration = Duration::from_secs(25);

/// A running Leadline and what it works on.
#[derive(Debug)]
pub(crate) struct Ours<'a> {
    scratch: &'a Scratch,
    queues: &'a Queues,
    amqp_url: String,
    job: Job,
    processes: Vec<(&'static str, Child)>,
    engines: Vec<(String, Watched)>,
}

/// One stretch of full load.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) per_s: f64,
    pub(crate) rows: i64,
    pub(crate) drain_s: f64,
    pub(crate) load: Load,
    pub(crate) cpu: Cpu,
}

impl<'a> Ours<'a> {
    /// Starts the processes and returns once they say they are ready.
    pub(crate) async fn start(
        (scratch, queues, seeds): (&'a Scratch, &'a Queues, &Seeds),
        amqp_url: &str,
        connections: usize,
        split: bool,
        engines: Vec<(String, Watched)>,
    ) -> Outcome<Self> {
        let (api, metrics) = (free_address()?, free_address()?);
        let mut ours = Self {
            scratch,
            queues,
            amqp_url: amqp_url.to_owned(),
            job: seeds.job(&api.to_string(), connections),
            processes: Vec::new(),
            engines,
        };
        let log = File::create(folder()?.join("leadline.log"))?;
        let mut probes = vec![metrics];
        if split {
            let worker = free_address()?;
            ours.spawn("api", api, metrics, log.try_clone()?)?;
            ours.spawn("worker", api, worker, log)?;
            probes.push(worker);
        } else {
            ours.spawn("all", api, metrics, log)?;
        }
        for probe in probes {
            ours.ready(probe).await?;
        }
        Ok(ours)
    }

    fn spawn(&mut self, name: &'static str, api: SocketAddr, metrics: SocketAddr, log: File) -> Outcome<()> {
        let mut command = self.command();
        command
            .arg(name)
            .env("LEADLINE__HTTP__LISTEN", api.to_string())
            .env("LEADLINE__HTTP__METRICS_LISTEN", metrics.to_string())
            .stdout(log.try_clone()?)
            .stderr(log);
        self.processes.push((name, Child(command.spawn()?)));
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

    async fn ready(&mut self, probe: SocketAddr) -> Outcome<()> {
        let until = Instant::now() + READY_WITHIN;
        while !matches!(answers(probe).await, Ok(true)) {
            for (name, child) in &mut self.processes {
                if let Some(status) = child.0.try_wait()? {
                    return Err(format!("leadline {name} ended: {status}; see target/bench/leadline.log").into());
                }
            }
            if Instant::now() > until {
                return Err("leadline is not ready; see target/bench/leadline.log".into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Full load for so long, and the drain.
    pub(crate) async fn measure(&self, seconds: f64) -> Outcome<Recorded> {
        let watched = self.watched();
        let (before, cpu) = (self.scratch.recorded().await?, proc::cpu(&watched));
        let load = load::run(&Job { seconds, ..self.job.clone() }).await?;
        let accepted = i64::try_from(load.ok())?;
        let until = Instant::now() + DRAINED_WITHIN;
        let mut rows = self.scratch.recorded().await? - before;
        while rows < accepted {
            if Instant::now() > until {
                return Err(format!("{accepted} leads were answered 200 but only {rows} are recorded").into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            rows = self.scratch.recorded().await? - before;
        }
        let took = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64() - load.began_at;
        let mut cpu = proc::between(&cpu, &proc::cpu(&watched));
        cpu.insert("generator".to_owned(), load.cpu_s);
        #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
        let per_s = rows as f64 / took;
        Ok(Recorded { per_s, rows, drain_s: (took - load.took_s).max(0.0), load, cpu })
    }

    /// `wait` requests one after another on one connection; `pace` per second or 0 for a closed loop.
    pub(crate) async fn wait(&self, seconds: f64, pace: f64) -> Outcome<Load> {
        let job = Job { seconds, pace, connections: 1, mode: "wait".to_owned(), ..self.job.clone() };
        load::run(&job).await
    }

    /// The largest resident memory of all processes together, in MiB.
    pub(crate) fn memory_mib(&self) -> f64 {
        self.memory_by_process().iter().map(|(_, mib)| mib).sum()
    }

    /// The largest resident memory of each process so far, in MiB.
    pub(crate) fn memory_by_process(&self) -> Vec<(&'static str, f64)> {
        #[expect(clippy::cast_precision_loss, reason = "a count of bytes")]
        let mib = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
        let peak = |child: &Child| proc::peak_memory(child.0.id()).map_or(f64::NAN, mib);
        self.processes.iter().map(|(name, child)| (*name, peak(child))).collect()
    }

    /// Where requests go, and what load looks like.
    pub(crate) fn job(&self) -> &Job {
        &self.job
    }

    /// Checks the diary of everything sent; true when it is clean.
    pub(crate) async fn check_diary(&self) -> Outcome<bool> {
        let mut command = self.command();
        command.args(["ledger", "--diary", &self.job.diary]);
        let began = Instant::now();
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        println!("\nleadline ledger --diary target/bench/diary.ndjson ({:.1} s)", began.elapsed().as_secs_f64());
        for text in [&output.stdout, &output.stderr] {
            let text = String::from_utf8_lossy(text);
            text.lines().take(40).for_each(|line| println!("  {line}"));
        }
        Ok(output.status.success())
    }

    /// Asks the processes to stop, as an orchestrator would, and waits for them.
    pub(crate) async fn stop(&mut self) -> Outcome<()> {
        for (name, mut child) in self.processes.drain(..) {
            let pid = child.0.id().to_string();
            Command::new("kill").args(["-TERM", &pid]).status()?;
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

    /// Every process whose CPU time counts.
    pub(crate) fn watched(&self) -> Vec<(String, Watched)> {
        let ours = self.processes.iter();
        let ours = ours.map(|(name, child)| (format!("leadline {name}"), Watched::One(child.0.id())));
        ours.chain(self.engines.iter().cloned()).collect()
    }
}

fn free_address() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

async fn answers(probe: SocketAddr) -> Outcome<bool> {
    let mut stream = TcpStream::connect(probe).await?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n").await?;
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await?;
    Ok(answer.ends_with(b" 200"))
}
