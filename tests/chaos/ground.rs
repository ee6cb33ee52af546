//! What a world stands on: engines of its own, one of three kinds.
//!
//! Enters: a folder for their logs. Leaves: their addresses, and the engines themselves for faults.
//!
//! **Invariant:** no world shares an engine with another, so that a fault never reaches beyond its own.

use std::path::Path;

use futures_util::future::join;
use tokio::sync::Mutex;

use crate::engines::{FullDisk, Postgres, PostgresPair, Rabbit};
use crate::tune::small_disk_mib;

/// The fault that needs a disk that only root can mount.
pub(crate) const DISK_FULL: &str = "postgres-disk-full";

/// Which engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One PostgreSQL, one RabbitMQ node.
    Single,
    /// PostgreSQL with a synchronous standby, three RabbitMQ nodes.
    Cluster,
    /// Another such, whose engines are stopped and starved; PostgreSQL on a small disk where that can be had.
    Spare,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Cluster => "cluster",
            Self::Spare => "spare",
        }
    }
}

/// PostgreSQL, of any kind.
#[derive(Debug)]
pub(crate) enum Database {
    Single(Postgres),
    Pair(PostgresPair),
    SmallDisk(FullDisk),
}

impl Database {
    /// The server that takes writes.
    pub(crate) fn primary(&mut self) -> &mut Postgres {
        match self {
            Self::Single(server) => server,
            Self::Pair(pair) => pair.primary(),
            Self::SmallDisk(disk) => &mut disk.server,
        }
    }
}

/// The engines of a world.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) kind: Kind,
    small_disk: bool,
    pub(crate) postgres: Mutex<Database>,
    pub(crate) rabbit: Mutex<Rabbit>,
}

impl Ground {
    /// Starts them, for a short run or a long one.
    pub(crate) async fn start(kind: Kind, logs: &Path, long: bool) -> Self {
        let nodes = if kind == Kind::Cluster { 3 } else { 1 };
        let database = async {
            match kind {
                Kind::Single => Database::Single(Postgres::start(logs, 0).await),
                Kind::Cluster => Database::Pair(PostgresPair::start(logs).await),
                Kind::Spare => match FullDisk::postgres(logs, small_disk_mib(long)).await {
                    Ok(disk) => Database::SmallDisk(disk),
                    Err(why) => {
                        println!("  SKIPPED: {DISK_FULL}: {why}");
                        Database::Single(Postgres::start(logs, 0).await)
                    }
                },
            }
        };
        let (database, rabbit) = join(database, Rabbit::start(logs, nodes)).await;
        let small_disk = matches!(database, Database::SmallDisk(_));
        Self { kind, small_disk, postgres: Mutex::new(database), rabbit: Mutex::new(rabbit) }
    }

    /// Whether a fault can be done here.
    pub(crate) fn bears(&self, fault: &str) -> bool {
        self.small_disk || fault != DISK_FULL
    }
}
