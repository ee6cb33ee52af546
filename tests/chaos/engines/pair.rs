//! Two PostgreSQL servers: a primary, and a streaming standby that every commit waits for.
//!
//! Enters: a folder for the logs. Leaves: the addresses of both, promotion, and the old primary's return as standby of the
//! new one. Who is primary is decided here and nowhere else, as a fail-over tool would.
//!
//! **Invariant:** a server that was primary before a promotion never comes back as one: it is copied anew.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::daemon;
use super::postgres::{Postgres, program};
use crate::clock;

const PATIENCE: Duration = Duration::from_secs(60);
const SYNCHRONOUS: &str = "synchronous_standby_names = '*'\nwal_keep_size = '256MB'\nwal_sender_timeout = '5s'";
const ALONE: &str = "synchronous_standby_names = ''\nwal_keep_size = '256MB'\nhot_standby = on\nwal_receiver_timeout = '5s'\nwal_retrieve_retry_interval = '500ms'";

/// Primary and synchronous standby.
#[derive(Debug)]
pub(crate) struct PostgresPair {
    primary: Postgres,
    standby: Postgres,
    logs: PathBuf,
    copies: u32,
}

impl PostgresPair {
    /// Both, the standby in step with the primary.
    pub(crate) async fn start(logs: &Path) -> Self {
        let place = Postgres::place("primary");
        let mut primary = Postgres::start_in(place, logs, "postgres-a", 0, ALONE).await;
        let standby = copy(&primary, daemon::log(logs, "postgres-b"), 0).await;
        primary.configure(SYNCHRONOUS);
        let pair = Self { primary, standby, logs: logs.to_owned(), copies: 1 };
        pair.in_step().await;
        pair
    }

    /// The server that takes writes.
    pub(crate) fn primary(&mut self) -> &mut Postgres {
        &mut self.primary
    }

    /// The server that follows.
    pub(crate) fn standby(&mut self) -> &mut Postgres {
        &mut self.standby
    }

    /// Where the server that takes writes listens.
    pub(crate) fn primary_address(&self) -> SocketAddr {
        self.primary.address()
    }

    /// Where the server that follows listens.
    pub(crate) fn standby_address(&self) -> SocketAddr {
        self.standby.address()
    }

    /// The primary's URL.
    pub(crate) fn url(&self, database: &str) -> String {
        self.primary.url(database)
    }

    /// Makes the standby primary; it stands alone then. The other one keeps what it has: it is dead, frozen or cut off, or its
    /// commits wait for ever. Afterwards [`PostgresPair::primary`] is the new one.
    pub(crate) async fn promote_standby(&mut self) {
        let promoted = self.standby.ask("postgres", "SELECT pg_promote(true, 60)::text").await;
        assert_eq!(promoted, "true", "the standby was not promoted");
        std::mem::swap(&mut self.primary, &mut self.standby);
    }

    /// Throws the old primary's data away, copies the new one's, and makes it the synchronous standby; same port as before.
    pub(crate) async fn rejoin(&mut self) {
        self.standby.kill9();
        self.copies += 1;
        let log = daemon::log(&self.logs, &format!("postgres-{}", self.copies));
        self.standby = copy(&self.primary, log, self.standby.port).await;
        self.primary.configure(SYNCHRONOUS);
        self.in_step().await;
    }

    /// Waits until commits wait for the standby.
    async fn in_step(&self) {
        let synchronous = clock::within(PATIENCE, || async {
            let state = self
                .primary
                .ask("postgres", "SELECT coalesce(string_agg(sync_state, ','), '') FROM pg_stat_replication")
                .await;
            if state == "sync" { Ok(()) } else { Err(state) }
        });
        if let Err(state) = synchronous.await {
            panic!("the standby does not follow: '{state}'");
        }
    }
}

/// A copy of a running primary that follows it.
async fn copy(primary: &Postgres, log: PathBuf, port: u16) -> Postgres {
    let place = Postgres::place("standby");
    let password = ("PGPASSWORD", primary.password.clone());
    let mut command = daemon::command(place.user, &place.path, &program("pg_basebackup"), &[password]);
    command.arg("-D").arg(place.path.join("data")).args(["-h", "127.0.0.1", "-p", &primary.port.to_string()]);
    command.args(["-U", "leadline", "-X", "stream", "-c", "fast", "-R", "--no-sync"]);
    daemon::run(&mut command, "", PATIENCE).await.unwrap_or_else(|error| panic!("pg_basebackup: {error}"));
    assert!(fs::exists(place.path.join("data/standby.signal")).is_ok_and(|there| there), "a copy that is no standby");
    let mut standby = Postgres::over(place, log, port, primary.password.clone(), ALONE);
    standby.start_again().await;
    standby
}
