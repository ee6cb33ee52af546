//! What a world stands on: engines of its own, one of three kinds.
//!
//! Enters: a folder for their logs. Leaves: their addresses, and the engines themselves for faults.
//!
//! **Invariant:** no world shares an engine with another, so that a fault never reaches beyond its own.

use std::path::Path;

use futures_util::future::join;
use tokio::sync::Mutex;

use crate::engines::{FullDisk, Postgres, PostgresPair, Rabbit};

/// Which engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One PostgreSQL, one RabbitMQ node.
    Single,
    /// PostgreSQL with a synchronous standby, three RabbitMQ nodes.
    Cluster,
    /// PostgreSQL on a small disk, one RabbitMQ node.
    SmallDisk,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Cluster => "cluster",
            Self::SmallDisk => "small-disk",
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
    pub(crate) postgres: Mutex<Database>,
    pub(crate) rabbit: Mutex<Rabbit>,
}

impl Ground {
    /// Starts them.
    ///
    /// # Errors
    /// Why this kind cannot be had here.
    pub(crate) async fn start(kind: Kind, logs: &Path) -> Result<Self, String> {
        let nodes = if kind == Kind::Cluster { 3 } else { 1 };
        let database = async {
            match kind {
                Kind::Single => Ok(Database::Single(Postgres::start(logs, 0).await)),
                Kind::Cluster => Ok(Database::Pair(PostgresPair::start(logs).await)),
                Kind::SmallDisk => FullDisk::postgres(logs).await.map(Database::SmallDisk),
            }
        };
        let (database, rabbit) = join(database, Rabbit::start(logs, nodes)).await;
        Ok(Self { kind, postgres: Mutex::new(database?), rabbit: Mutex::new(rabbit) })
    }
}
