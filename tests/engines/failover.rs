//! A real primary with a synchronous standby: killed, frozen, promoted.
//!
//! **Invariant:** what the store said is committed is on the server that is primary afterwards.

use std::time::{Duration, Instant};

use futures_util::future::join;
use leadline::lifecycle::{Health, Stop};
use leadline::store::{Grave, Store, StoreError, migrate};
use leadline::telemetry::Metrics;
use secrecy::SecretString;
use uuid::Uuid;

use crate::desk::{config, eventually, logs};
use crate::engines::PostgresPair;

/// A store that knows both servers, the one that follows first.
async fn store(pair: &mut PostgresPair) -> Store {
    let mut config = config().store;
    let (follows, leads) = (pair.standby().url("leadline"), pair.primary().url("leadline"));
    config.url = SecretString::from(format!("{follows},{leads}"));
    config.statement_timeout = Duration::from_secs(2);
    config.lock_timeout = Duration::from_secs(1);
    config.commit_deadline = Duration::from_secs(1);
    config.acquire_timeout = Duration::from_secs(1);
    let store = Store::connect(&config, "test", 3, &Health::default(), &Metrics::new().unwrap()).unwrap();
    store.choose().await;
    store
}

/// A fresh pair, and a store whose schema is up to date.
async fn migrated(test: &str) -> (PostgresPair, Store) {
    let mut pair = PostgresPair::start(&logs(test)).await;
    pair.primary().execute("postgres", "CREATE DATABASE leadline").await;
    let store = store(&mut pair).await;
    migrate(&store).await.unwrap();
    (pair, store)
}

/// Commits a row, whatever it takes.
async fn commit(store: &Store, name: &str) {
    eventually(name, || async {
        let grave = Grave {
            identity: name.to_owned(),
            workspace_id: None,
            lead_id: None,
            reason: "a test".to_owned(),
            message: Vec::new(),
        };
        store.bury(grave).await
    })
    .await;
}

/// Commits rows until a fail-over is done and some more; returns how many and the longest one took.
async fn commits(store: &Store, from: usize, done: &Stop) -> (usize, Duration) {
    let (mut count, mut longest) = (from, Duration::ZERO);
    let mut last = from + 20;
    while count < last {
        let began = Instant::now();
        commit(store, &format!("row {count}")).await;
        longest = longest.max(began.elapsed());
        count += 1;
        if !done.is_asked() {
            last = count + 20;
        }
    }
    (count, longest)
}

/// One committed write, or why there is none.
async fn write(store: &Store) -> Result<(), StoreError> {
    store.report(Uuid::now_v7(), None, Duration::ZERO).await.map(|_| ())
}

async fn rows(pair: &mut PostgresPair) -> usize {
    let count = pair.primary().ask("leadline", "SELECT count(*)::text FROM buried_leads").await;
    count.parse().unwrap()
}

#[tokio::test]
async fn commits_go_on_at_the_standby_when_the_primary_dies_or_freezes() {
    let (mut pair, store) = migrated("failover").await;
    let (watching, promoted_long_ago, mut count) = (Stop::new(), Stop::new(), 0);
    let work = async {
        for fault in ["killed", "frozen"] {
            let promoted = Stop::new();
            let (after, longest) = join(commits(&store, count, &promoted), async {
                if fault == "killed" {
                    pair.primary().kill9();
                } else {
                    pair.primary().pause();
                }
                pair.promote_standby().await;
                promoted.ask();
            })
            .await
            .0;
            eprintln!("primary {fault}: the longest commit took {longest:?}");
            assert!(longest < Duration::from_secs(30), "{fault}: {longest:?}");
            assert_eq!(rows(&mut pair).await, after, "{fault}");
            count = after;
            if fault == "killed" {
                pair.rejoin().await;
            }
        }
        // The old primary wakes up and believes that it still is one: what it commits alone, nobody answers for.
        pair.standby().resume();
        promoted_long_ago.ask();
        let (after, _) = commits(&store, count, &promoted_long_ago).await;
        assert_eq!(rows(&mut pair).await, after);
        watching.ask();
    };
    join(work, store.watch(&watching)).await;
    store.close().await;
}

#[tokio::test]
async fn a_primary_alone_commits_nothing_until_its_standby_is_back() {
    let (mut pair, store) = migrated("alone").await;
    commit(&store, "together").await;
    pair.standby().kill9();
    let alone = write(&store).await;
    assert!(matches!(alone, Err(StoreError::Silent("a COMMIT"))), "{alone:?}");
    pair.standby().start_again().await;
    commit(&store, "together again").await;
    store.close().await;
}
