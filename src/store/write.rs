//! The one place where a transaction is begun.
//!
//! It runs in a task of its own that is never aborted: a caller that goes away (a client that hangs
//! up, a lane that is stopped) can therefore never leave an open transaction in the pool, which sqlx
//! would hand to the next caller. A connection whose transaction did not end cleanly is thrown away.
//!
//! **Invariant:** a connection returns to the pool only after COMMIT or ROLLBACK was answered.

use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres};
use tokio::time::timeout;

use super::{Store, StoreError};

/// Beyond the server's own statement timeout, how long a silent connection is listened to.
const GRACE: Duration = Duration::from_secs(2);

/// The part of the server's statement timeout after which a statement that commits is given up.
const BEFORE_THE_SERVER: f64 = 0.9;

/// An open transaction; the statements of the hot path are its methods.
#[derive(Debug)]
pub struct Tx {
    pub(super) connection: PoolConnection<Postgres>,
}

impl Store {
    /// Runs `work` in one transaction and commits it.
    ///
    /// Cancel-safe: dropping the future lets the transaction finish by itself.
    ///
    /// # Errors
    /// [`StoreError`]; after [`StoreError::Silent`] the transaction may or may not be committed.
    pub async fn transaction<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let store = self.clone();
        apart(async move { store.transact(work).await }).await
    }

    /// Runs one statement that is a transaction by itself, which saves the round trips of BEGIN and COMMIT.
    ///
    /// Cancel-safe: dropping the future lets the statement finish by itself.
    ///
    /// # Errors
    /// [`StoreError`]; after [`StoreError::Silent`] it may or may not be committed.
    pub async fn at_once<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let store = self.clone();
        apart(async move { store.commit_at_once(work).await }).await
    }

    /// The same for statements of the store's own files.
    ///
    /// # Errors
    /// As [`Store::transaction`].
    pub(super) async fn write<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, sqlx::Error>> + Send + 'static,
    {
        self.transaction(move |tx| Box::pin(async move { work(&mut tx.connection).await.map_err(StoreError::from) }))
            .await
    }

    async fn transact<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        W: for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>>,
    {
        let connection = self.noted(self.pool().acquire().await)?;
        let mut tx = Tx { connection };
        let patience = self.config.statement_timeout + GRACE;
        let worked = timeout(patience, async {
            sqlx::query("BEGIN").execute(&mut *tx.connection).await?;
            work(&mut tx).await
        });
        let value = match worked.await {
            Ok(Ok(value)) => value,
            Ok(Err(error)) => {
                undo(tx.connection, self.config.commit_deadline).await;
                self.note_error(&error);
                return Err(error);
            }
            Err(_) => return Err(self.abandon(tx.connection, "a statement")),
        };
        match timeout(self.config.commit_deadline, sqlx::query("COMMIT").execute(&mut *tx.connection)).await {
            Ok(Ok(_)) => self.noted(Ok(value)),
            Ok(Err(error)) => {
                drop(tx.connection.detach());
                self.noted(Err(error))
            }
            Err(_) => Err(self.abandon(tx.connection, "a COMMIT")),
        }
    }

    /// Its answer is that of a COMMIT too. It is given up before the server's own timeout: that one would end a wait for a
    /// synchronous standby as well, and then call committed what the standby has not got.
    async fn commit_at_once<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        W: for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>>,
    {
        let connection = self.noted(self.pool().acquire().await)?;
        let mut tx = Tx { connection };
        match timeout(self.config.statement_timeout.mul_f64(BEFORE_THE_SERVER), work(&mut tx)).await {
            Ok(Ok(value)) => self.noted(Ok(value)),
            Ok(Err(error)) => {
                if !matches!(error, StoreError::Refused { .. } | StoreError::Conflict { .. }) {
                    drop(tx.connection.detach());
                }
                self.note_error(&error);
                Err(error)
            }
            Err(_) => Err(self.abandon(tx.connection, "a statement that commits")),
        }
    }

    fn abandon(&self, connection: PoolConnection<Postgres>, what: &'static str) -> StoreError {
        drop(connection.detach());
        self.silent(what)
    }
}

/// Runs work in a task of its own, and waits for it.
#[expect(clippy::disallowed_methods, reason = "a transaction must outlive its caller; it ends by itself")]
async fn apart<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::spawn(work).await {
        Ok(outcome) => outcome,
        Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
        Err(_) => Err(StoreError::Silent("a transaction whose task ended early")),
    }
}

async fn undo(mut connection: PoolConnection<Postgres>, patience: Duration) {
    let undone = timeout(patience, sqlx::query("ROLLBACK").execute(&mut *connection)).await;
    if !matches!(undone, Ok(Ok(_))) {
        drop(connection.detach());
    }
}
