//! What a run stands on: two databases, three sets of queues, and the engines' processes.
//!
//! Enters: the engines' URLs. Leaves: everything under names of its own, for the limit (`bare`) and for
//! Leadline (`ours`).
//!
//! **Invariant:** what is made here is removed, also after a failure or Ctrl-C.

pub(crate) mod fill;
pub(crate) mod proc;
mod queues;
mod scratch;
mod seeds;

pub(crate) use queues::{Queues, SHARDS, WAIT};
pub(crate) use scratch::Scratch;
pub(crate) use seeds::{Seeds, folder, folder_of};

use crate::Outcome;
use crate::args::Args;
use proc::{Memory, Watched};

/// Databases and queues of a run.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) seeds: Seeds,
    pub(crate) bare_base: Scratch,
    pub(crate) bare_queues: Queues,
    pub(crate) ours_base: Scratch,
    pub(crate) ours_queues: Queues,
    /// For a second Leadline, on the database of the limit while that is not measured.
    pub(crate) beside_queues: Queues,
    pub(crate) engines: Engines,
}

/// The engines' processes, as far as they run here and may be looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Engines {
    rabbitmq: Option<u32>,
    postgres: Option<u32>,
}

impl Ground {
    /// Makes everything.
    pub(crate) async fn prepare(args: &Args) -> Outcome<Self> {
        if args.database_url.is_empty() || args.amqp_url.is_empty() {
            return Err("DATABASE_URL and AMQP_URL must name the engines; `deploy/dev bench` sets them".into());
        }
        let seeds = Seeds::new("bench")?;
        let bare_queues = Queues::new(&args.amqp_url, "bare");
        let bare_base = Scratch::create(&args.database_url, "bare", &seeds).await?;
        let rest = async {
            let postgres = proc::parent(bare_base.backend().await?);
            let engines = Engines { rabbitmq: bare_queues.port().and_then(proc::listener), postgres };
            bare_queues.declare().await?;
            Ok((Scratch::create(&args.database_url, "ours", &seeds).await?, engines))
        };
        match rest.await {
            Ok((ours_base, engines)) => {
                let [ours_queues, beside_queues] = ["ours", "beside"].map(|label| Queues::new(&args.amqp_url, label));
                Ok(Self { seeds, bare_base, bare_queues, ours_base, ours_queues, beside_queues, engines })
            }
            Err(error) => {
                // The first failure is the one to tell.
                drop(bare_queues.remove().await);
                drop(bare_base.remove().await);
                Err(error)
            }
        }
    }

    /// Removes everything.
    pub(crate) async fn clear(&self) -> Outcome<()> {
        let ended = [
            self.bare_queues.remove().await,
            self.ours_queues.remove().await,
            self.beside_queues.remove().await,
            self.bare_base.remove().await,
            self.ours_base.remove().await,
        ];
        ended.into_iter().collect()
    }
}

impl Engines {
    /// Whose CPU time counts.
    pub(crate) fn watched(self) -> Vec<(String, Watched)> {
        let rabbit = self.rabbitmq.map(|pid| ("rabbitmq".to_owned(), Watched::One(pid)));
        let postgres = self.postgres.map(|pid| ("postgres".to_owned(), Watched::Family(pid)));
        rabbit.into_iter().chain(postgres).collect()
    }

    /// Bytes that RabbitMQ has sent to the disk so far, if its owner lets us see.
    pub(crate) fn rabbitmq_written(self) -> Option<f64> {
        self.rabbitmq.and_then(proc::written)
    }

    /// Resident memory now, in MiB.
    pub(crate) fn memory(self) -> Memory {
        let rabbit = self.rabbitmq.and_then(proc::resident).map(|bytes| ("rabbitmq".to_owned(), proc::mib(bytes)));
        let postgres = self.postgres.and_then(proc::family_memory);
        rabbit.into_iter().chain(postgres.map(|bytes| ("postgres".to_owned(), proc::mib(bytes)))).collect()
    }
}
