//! The servers that `store.url` names, and which of them takes writes.
//!
//! Enters: URLs separated by commas, or one URL with several hosts as libpq has it. Leaves: how to connect to the one in
//! use; [`Servers::look`] finds another. After a fail-over the old primary may be gone, silent, a standby, or a primary
//! whose commits hang; so the others are asked first.
//!
//! **Invariant:** a server in recovery, or one that is read-only by default, is never used, however well it answers reads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::time::timeout;

use super::{StoreError, tls};

const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// The servers, and which one is in use.
#[derive(Debug)]
pub(super) struct Servers {
    list: Vec<PgConnectOptions>,
    chosen: AtomicUsize,
}

impl Servers {
    /// Reads the addresses; `dress` adds what every connection of ours has.
    pub(super) fn read(text: &str, dress: impl Fn(PgConnectOptions) -> PgConnectOptions) -> Result<Self, StoreError> {
        let read = |address: String| {
            let options: PgConnectOptions = address.parse()?;
            tls::check(&address, &options)?;
            Ok(dress(options).disable_statement_logging())
        };
        let list = addresses(text).into_iter().map(read).collect::<Result<Vec<_>, StoreError>>()?;
        Ok(Self { list, chosen: AtomicUsize::new(0) })
    }

    /// How to connect to the one in use.
    pub(super) fn chosen(&self) -> PgConnectOptions {
        let place = self.chosen.load(Ordering::Relaxed);
        self.list.get(place).cloned().unwrap_or_default()
    }

    /// How to connect to each.
    pub(super) fn all(&self) -> impl Iterator<Item = &PgConnectOptions> {
        self.list.iter()
    }

    /// Whether there is a choice.
    pub(super) fn are_several(&self) -> bool {
        self.list.len() > 1
    }

    /// Asks one after the other, the one in use last; the first that takes writes is in use from then on. Returns whether it is
    /// another one than before. `patience` is for each of them.
    ///
    /// # Errors
    /// What the last one said: none of them takes writes.
    pub(super) async fn look(&self, patience: Duration) -> Result<bool, StoreError> {
        let was = self.chosen.load(Ordering::Relaxed);
        let mut last = StoreError::ReadOnly;
        for step in 1..=self.list.len() {
            let place = was.wrapping_add(step) % self.list.len().max(1);
            let Some(server) = self.list.get(place) else {
                continue;
            };
            match timeout(patience, ask(server)).await {
                Ok(Ok(())) => {
                    self.chosen.store(place, Ordering::Relaxed);
                    if place != was {
                        tracing::warn!(server = place, host = server.get_host(), "writes go to another postgres now");
                    }
                    return Ok(place != was);
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = StoreError::Silent("a new connection"),
            }
            tracing::debug!(server = place, error = %last, "a postgres that takes no writes");
        }
        Err(last)
    }
}

async fn ask(server: &PgConnectOptions) -> Result<(), StoreError> {
    let mut connection = PgConnection::connect_with(server).await?;
    let (takes_writes, _) = state(&mut connection).await?;
    connection.close().await?;
    if takes_writes { Ok(()) } else { Err(StoreError::ReadOnly) }
}

/// Whether a connection may write, as `target_session_attrs=read-write` asks it, and what time it is there.
pub(super) async fn state(connection: &mut PgConnection) -> Result<(bool, DateTime<Utc>), sqlx::Error> {
    let asked = "SELECT NOT (pg_is_in_recovery() OR current_setting('transaction_read_only')::bool), clock_timestamp()";
    sqlx::query_as(asked).fetch_one(connection).await
}

/// One URL per server. A comma may also stand in a password or a query, so only one before a scheme ends a URL, and only those
/// between `@` (or the scheme) and the path part hosts.
fn addresses(text: &str) -> Vec<String> {
    let mut urls: Vec<String> = Vec::new();
    for piece in text.split(',') {
        let begins = SCHEMES.iter().any(|scheme| piece.trim_start().starts_with(scheme));
        match urls.last_mut() {
            Some(url) if !begins => *url = format!("{url},{piece}"),
            _ => urls.push(piece.to_owned()),
        }
    }
    urls.iter().flat_map(|url| hosts(url.trim())).collect()
}

/// `postgres://u:p@one:1,two:2/x` stands for two.
fn hosts(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return vec![url.to_owned()];
    };
    let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
    let at = if user.is_empty() { "" } else { "@" };
    hosts.split(',').map(|host| format!("{scheme}://{user}{at}{host}{tail}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_urls_or_hosts_between_commas() {
        let one = "postgres://u:p,w@one:1/x?options=-c%20a=b,c";
        assert_eq!(addresses(one), [one]);
        assert_eq!(addresses("postgres:///x"), ["postgres:///x"]);
        let two = ["postgres://u:p@one:1/x?a=b", "postgres://u:p@two/x?a=b"];
        assert_eq!(addresses("postgres://u:p@one:1,two/x?a=b"), two);
        assert_eq!(addresses("postgres://u:p@one:1/x?a=b, postgres://u:p@two/x?a=b"), two);
        let servers = Servers::read("postgresql://one,postgresql://two:7/y", |server| server).unwrap();
        assert!(servers.are_several());
        assert_eq!((servers.list[1].get_host(), servers.list[1].get_port()), ("two", 7));
    }

    #[test]
    fn what_cannot_be_read_is_refused_without_its_password() {
        for bad in ["postgres://u:secret@one:port/x", "secret", "", "postgres://u:secret@one/x,postgres://u:secret@[/"]
        {
            let error = Servers::read(bad, |server| server).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_an_error_and_changes_nothing() {
        let servers = Servers::read("postgres://127.0.0.1:1/x,postgres://127.0.0.1:2/x", |server| server).unwrap();
        let error = servers.look(Duration::from_secs(5)).await.unwrap_err();
        assert!(error.is_outage(), "{error}");
        assert_eq!(servers.chosen().get_port(), 1);
    }
}
