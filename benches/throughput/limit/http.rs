//! H, measured: the bare server as a child process under the same generator, same requests.
//!
//! **Invariant:** while the clock runs, the generator does for H exactly what it does for us.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::Outcome;
use crate::ground::Seeds;
use crate::ground::proc::{self, Cpu, Watched};
use crate::load::{self, Child, Job, Load};

/// Threads the bare server is tried with, each under every number of connections; the best is H.
const THREADS: [usize; 2] = [1, 2];

/// The bare server, running.
#[derive(Debug)]
pub(crate) struct Limit {
    child: Child,
    job: Job,
}

/// One measurement of it.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) load: Load,
    pub(crate) cpu: Cpu,
}

impl Limit {
    /// Starts the variant that answers most requests, and keeps the number of connections it did so with.
    pub(crate) async fn start(seeds: &Seeds, connections: &[usize], seconds: f64) -> Outcome<Self> {
        let mut best = (0.0, 1, 1);
        for threads in THREADS {
            for connections in connections {
                let rate = Self::with(threads, seeds, *connections)?.measure(seconds).await?.load.per_s();
                if rate > best.0 {
                    best = (rate, threads, *connections);
                }
            }
        }
        let (rate, threads, connections) = best;
        eprintln!("  H: best with {threads} thread(s) and {connections} connections: {rate:.0}/s");
        Self::with(threads, seeds, connections)
    }

    fn with(threads: usize, seeds: &Seeds, connections: usize) -> Outcome<Self> {
        let mut command = load::ourselves()?;
        command.arg("--serve").arg(threads.to_string()).stdout(Stdio::piped());
        let mut child = Child(command.spawn()?);
        let mut address = String::new();
        let stdout = child.0.stdout.take().ok_or("the bare server has no output")?;
        BufReader::new(stdout).read_line(&mut address)?;
        let mut job = seeds.job(vec![address.trim().to_owned()], connections);
        job.diary.clear();
        Ok(Self { child, job })
    }

    /// Requests answered per second.
    pub(crate) async fn measure(&self, seconds: f64) -> Outcome<Served> {
        let watched = [("server".to_owned(), Watched::One(self.child.0.id()))];
        let before = proc::cpu(&watched);
        let load = load::run(&Job { seconds, ..self.job.clone() }).await?;
        let mut cpu = proc::between(&before, &proc::cpu(&watched));
        cpu.insert("generator".to_owned(), load.cpu_s);
        match load.trouble() {
            Some(trouble) => Err(format!("the bare server: {trouble}").into()),
            None => Ok(Served { load, cpu }),
        }
    }
}
