//! H, measured: the bare server as a child process under the same generator, same requests.
//!
//! **Invariant:** the generator does for H exactly what it does for us, diary notes included.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::Outcome;
use crate::load::{self, Child, Job, Load};
use crate::proc::{self, Cpu, Watched};
use crate::scratch::Seeds;

/// Threads the bare server is tried with; the better one is H.
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
    /// Starts the variant that answers more requests.
    pub(crate) async fn start(seeds: &Seeds, connections: usize, seconds: f64) -> Outcome<Self> {
        let mut rates = Vec::new();
        for threads in THREADS {
            let served = Self::with(threads, seeds, connections)?.measure(seconds).await?;
            println!("  H with {threads} thread(s): {:.0}/s", served.load.per_s());
            rates.push((served.load.per_s(), threads));
        }
        let best = rates.iter().max_by(|a, b| a.0.total_cmp(&b.0));
        Self::with(best.map_or(1, |(_, threads)| *threads), seeds, connections)
    }

    fn with(threads: usize, seeds: &Seeds, connections: usize) -> Outcome<Self> {
        let mut command = load::ourselves()?;
        command.arg("--serve").arg(threads.to_string()).stdout(Stdio::piped());
        let mut child = Child(command.spawn()?);
        let mut address = String::new();
        let stdout = child.0.stdout.take().ok_or("the bare server has no output")?;
        BufReader::new(stdout).read_line(&mut address)?;
        let mut job = seeds.job(address.trim(), connections);
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

/// How large a share of one core the generator took, in percent.
pub(crate) fn generator_share(cpu_s: f64, took_s: f64) -> f64 {
    100.0 * cpu_s / took_s
}
