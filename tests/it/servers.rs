//! Several PostgreSQL servers in `store.url`: the one that takes writes is used, and sought again when it is gone.
//!
//! A database that is read-only by default stands for a standby here; real ones are in `tests/engines`.
//!
//! **Invariant:** a server that takes no writes never serves, and what was accepted meanwhile still ends.

use std::time::Duration;

use leadline::config::Config;
use leadline::lifecycle::{Condition, Engine, Health, Stop};
use leadline::store::{Store, StoreError};
use leadline::telemetry::Metrics;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use uuid::Uuid;

use crate::harness::eventually::{eventually, holds};
use crate::harness::track::{lead, somebody, with};
use crate::harness::{Harness, required};

/// A port of loopback where nobody listens, and the servers behind it.
fn after_nobody(config: &mut Config, more: &[&str]) {
    let own = config.store.url.expose_secret().to_owned();
    let urls: Vec<&str> = ["postgres://nobody:secret@127.0.0.1:1/x"].into_iter().chain(more.iter().copied()).collect();
    config.store.url = SecretString::from(format!("{}, {own}", urls.join(",")));
    config.store.acquire_timeout = Duration::from_secs(4);
}

/// One committed write, or why there is none.
async fn write(store: &Store) -> Result<(), StoreError> {
    store.report(Uuid::now_v7(), None, Duration::ZERO).await.map(|_| ())
}

async fn set_read_only(house: &Harness, on: bool) {
    let name: String = sqlx::query_scalar("SELECT current_database()::text").fetch_one(&house.pool).await.unwrap();
    let set = format!("ALTER DATABASE {name} SET default_transaction_read_only = {on}");
    let mut session = house.pool.acquire().await.unwrap();
    for statement in ["BEGIN READ WRITE", &set, "COMMIT"] {
        sqlx::query(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut *session).await.unwrap();
    }
}

#[tokio::test]
async fn servers_that_are_away_or_take_no_writes_are_passed_over() {
    let mut house = Harness::tuned(|config| after_nobody(config, &[])).await;
    house.announced.errors = vec![""];
    let click = house.click().await;
    house.track(&with(lead(&click, "Sign Up", &somebody()), json!({"mode": "wait"}))).await.ended("recorded");
    house.finish().await;
}

#[tokio::test]
async fn a_server_that_turns_read_only_is_away_until_it_writes_again() {
    let house = Harness::empty(|config| config.store.acquire_timeout = Duration::from_secs(4)).await;
    let (health, metrics) = (Health::default(), Metrics::new().unwrap());
    let store = Store::connect(&house.config.store, "test", 3, &health, &metrics).unwrap();
    write(&store).await.unwrap();
    set_read_only(&house, true).await;
    // Sessions keep the setting they began with; those of a server that became a standby were all cut.
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE application_name = 'leadline-test' AND datname = current_database()";
    sqlx::query(cut).execute(&house.pool).await.unwrap();
    let stop = Stop::default();
    let work = async {
        eventually("a refusal", || async {
            let refused = store.ping().await.is_err() && write(&store).await.is_err();
            holds(refused && health.of(Engine::Postgres) == Condition::Away, health.of(Engine::Postgres))
        })
        .await;
        set_read_only(&house, false).await;
        eventually("writes again", || write(&store)).await;
        stop.ask();
    };
    futures_util::future::join(work, store.watch(&stop)).await;
    store.close().await;
    house.finish().await;
}

#[tokio::test]
async fn a_pool_that_hangs_on_a_server_that_vanished_is_replaced() {
    let house = Harness::empty(|config| {
        let direct = required("TEST_DATABASE_URL");
        let mut second = url::Url::parse(&direct).unwrap();
        second.set_path(url::Url::parse(config.store.url.expose_secret()).unwrap().path());
        config.store.url = SecretString::from(format!("{},{second}", config.store.url.expose_secret()));
        config.store.acquire_timeout = Duration::from_secs(4);
        config.store.statement_timeout = Duration::from_secs(2);
        config.store.lock_timeout = Duration::from_secs(1);
    })
    .await;
    let (health, metrics) = (Health::default(), Metrics::new().unwrap());
    let store = Store::connect(&house.config.store, "test", 2, &health, &metrics).unwrap();
    write(&store).await.unwrap();
    house.postgres.blackhole();
    let stop = Stop::default();
    let work = async {
        // The proxy stays silent: only another connection, on the second address, can answer.
        eventually("a write on the other address", || write(&store)).await;
        write(&store).await.unwrap();
        stop.ask();
    };
    futures_util::future::join(work, store.watch(&stop)).await;
    store.close().await;
    house.finish().await;
}
