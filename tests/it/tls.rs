//! TLS to both engines: what is encrypted and verified works, what is not trusted is refused and says why.
//!
//! **Invariant:** every engine here stands behind a proxy that speaks nothing but TLS, with certificates made
//! for the test; no message names a password.

use std::fs;
use std::time::Duration;

use leadline::app::{App, Role};
use leadline::broker::{Publisher, Queue};
use leadline::config;
use leadline::lifecycle::{Ended, Health, Tasks};
use leadline::store::{Store, StoreError};
use leadline::telemetry::Metrics;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use url::Url;

use crate::broker::set_up::{Site, broker_url, delete, in_time, letter};
use crate::harness::eventually::{eventually, holds};
use crate::harness::process::Process;
use crate::harness::tls::{Authority, Behind, Identity, TlsProxy};
use crate::harness::track::{lead, somebody, with};
use crate::harness::{Harness, required};

const SECRET: &str = "se-cr-et";

/// Both engines of a test behind TLS, called `localhost`, with a password that nobody may see.
async fn behind_tls(house: &mut Harness, shows: &Identity, parameters: &[(&str, &str)]) {
    let (postgres, rabbitmq) = (house.config.store.url.expose_secret(), house.config.broker.url.expose_secret());
    let mut url = TlsProxy::before(postgres, Behind::Postgres, shows).await.through(postgres, "localhost");
    url.query_pairs_mut().extend_pairs(parameters);
    let amqps = TlsProxy::before(rabbitmq, Behind::Rabbitmq, shows).await.through(rabbitmq, "localhost");
    house.config.store.url = SecretString::from(url.to_string());
    house.config.broker.url = SecretString::from(amqps.to_string());
}

#[tokio::test]
async fn a_lead_travels_with_both_engines_behind_tls_also_after_a_cut() {
    let (authority, mut house) = (Authority::new(), Harness::empty(|_| {}).await);
    let verified = [("sslmode", "verify-full"), ("sslrootcert", &authority.file())];
    behind_tls(&mut house, &authority.issue("localhost"), &verified).await;
    house.config.broker.ca_file = authority.file();
    assert_eq!(config::violations(&house.config), Vec::<String>::new());
    house.add_api().await;
    house.add_worker().await;
    let click = house.click().await;
    for mode in ["async", "wait", "deferred"] {
        let answer = house.track(&with(lead(&click, "Sign Up", &somebody()), json!({"mode": mode}))).await;
        assert_eq!(answer.status, 200, "{mode}: {}", answer.body);
    }
    for engine in [&house.rabbitmq, &house.postgres] {
        engine.cut();
        eventually("the cut is noticed", || async {
            let said = house.readiness().await.1;
            holds(said["rabbitmq"] == "away" || said["postgres"] == "away", said)
        })
        .await;
        engine.restore();
        eventually("a recorded wait after the cut", || async {
            let answer = house.track(&with(lead(&click, "back", &somebody()), json!({"mode": "wait"}))).await;
            holds(answer.status == 200 && answer.ending() == Some("recorded"), answer)
        })
        .await;
    }
    house.announced.errors = vec![""];
    house.finish().await;
}

#[tokio::test]
async fn where_no_file_is_named_the_systems_authorities_count() {
    let (authority, mut house) = (Authority::new(), Harness::empty(|_| {}).await);
    let plain = house.config.clone();
    behind_tls(&mut house, &authority.issue("localhost"), &[("sslmode", "verify-full")]).await;
    let system = authority.file();
    let process = Process::start_with("all", &house.config, house.client(), &[("SSL_CERT_FILE", &system)]).await;
    assert_eq!(process.stop().await, Some(0));
    house.config = plain;
    house.finish().await;
}

#[tokio::test]
async fn a_broker_that_is_not_trusted_stops_the_start_and_hears_no_password() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let at = |proxy: &TlsProxy| {
        let mut url = proxy.through(&broker_url(), "localhost");
        url.set_password(Some(SECRET)).unwrap();
        url.to_string()
    };
    let stranger = TlsProxy::before(&broker_url(), Behind::Rabbitmq, &theirs.issue("localhost")).await;
    let misnamed = TlsProxy::before(&broker_url(), Behind::Rabbitmq, &ours.issue("other.test")).await;
    let hollow = format!("{}.hollow", ours.file());
    fs::write(&hollow, "no certificate").unwrap();
    for (url, ca, parts) in [
        (at(&stranger), ours.file(), ["RabbitMQ's TLS certificate is refused", "broker.ca_file"]),
        (at(&misnamed), ours.file(), ["not valid for name \"localhost\"", "broker.url must name the host"]),
        (at(&stranger), "/nowhere/ca.pem".to_owned(), ["broker.ca_file: /nowhere/ca.pem", "No such file"]),
        (at(&stranger), hollow.clone(), ["broker.ca_file", "holds no certificate"]),
    ] {
        let why = refused_broker(url, ca).await;
        assert!(parts.iter().all(|part| why.contains(part)), "{parts:?}: {why}");
        assert!(!why.contains(SECRET), "{why}");
    }
    fs::remove_file(hollow).unwrap();
}

async fn refused_broker(url: String, ca: String) -> String {
    let mut site = Site::new();
    (site.config.url, site.config.ca_file) = (url.into(), ca);
    let publisher = Publisher::start(&site.config, &site.health, &site.metrics, &mut site.tasks);
    let tasks = std::mem::replace(&mut site.tasks, Tasks::new(site.stop.clone()));
    in_time("the stop", site.stop.asked()).await;
    drop(publisher);
    match tasks.join().await {
        Err(Ended::Failed("publisher", why)) => why,
        other => panic!("the publisher should have given up: {other:?}"),
    }
}

#[tokio::test]
async fn a_broker_that_asks_for_our_certificate_gets_it() {
    let authority = Authority::new();
    let shows = authority.issue("localhost");
    let proxy = TlsProxy::asking(&broker_url(), Behind::Rabbitmq, &shows, &authority).await;
    let mut site = Site::new();
    let url = proxy.through(&broker_url(), "localhost").to_string();
    (site.config.url, site.config.ca_file) = (url.into(), authority.file());
    let anonymous = Publisher::start(&site.config, &site.health, &site.metrics, &mut site.tasks);
    let failed = site.metrics.broker_connects.with_label_values(&["publish", "failed"]);
    eventually("a refusal", || async { holds(failed.get() > 0, failed.get()) }).await;
    let ours = authority.issue("leadline");
    (site.config.cert_file, site.config.key_file) = (ours.cert, ours.key);
    let publisher = site.publisher().await;
    publisher.publish(letter(Queue::Wait, "over TLS")).await.unwrap();
    drop((anonymous, publisher));
    let config = site.config.clone();
    site.stop.ask();
    assert_eq!(site.tasks.join().await, Ok(Vec::new()));
    delete(&config).await;
}

#[tokio::test]
async fn an_expired_certificate_is_an_outage_that_a_new_one_ends_without_a_restart() {
    let authority = Authority::new();
    let proxy = TlsProxy::before(&broker_url(), Behind::Rabbitmq, &authority.issue_expired("localhost")).await;
    let renewed = TlsProxy::before(&broker_url(), Behind::Rabbitmq, &authority.issue("localhost")).await;
    let mut site = Site::new();
    // Two addresses stand in for one whose certificate changes: they are tried in turn.
    let urls = [&proxy, &renewed].map(|proxy| proxy.through(&broker_url(), "localhost").to_string());
    (site.config.url, site.config.ca_file) = (urls.join(",").into(), authority.file());
    let failed = site.metrics.broker_connects.with_label_values(&["publish", "failed"]);
    // Which of the two comes first is drawn by lot, each time anew.
    for _ in 0..64 {
        drop(site.publisher().await);
        if failed.get() > 0 {
            break;
        }
    }
    assert!(failed.get() > 0);
    site.finish().await;

    let admin = required("TEST_DATABASE_URL");
    let proxy = TlsProxy::before(&admin, Behind::Postgres, &authority.issue_expired("localhost")).await;
    let root = authority.file();
    let verified = [("sslmode", "verify-full"), ("sslrootcert", root.as_str())];
    let error = asked(&proxy.through(&admin, "localhost"), &verified).await.unwrap_err();
    assert!(matches!(error, StoreError::Away(_)) && error.to_string().contains("expired"), "{error}");
}

/// What a store says that connects as the parameters have it.
async fn asked(url: &Url, parameters: &[(&str, &str)]) -> Result<(), StoreError> {
    let (mut url, mut config) = (url.clone(), config::load(None).unwrap().store);
    url.query_pairs_mut().extend_pairs(parameters);
    config.url = SecretString::from(url.to_string());
    config.acquire_timeout = Duration::from_secs(20);
    let store = Store::connect(&config, "test", 1, &Health::default(), &Metrics::new().unwrap())?;
    let answer = store.ping().await;
    store.close().await;
    answer
}

#[tokio::test]
async fn sslmode_means_what_it_says() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let admin = required("TEST_DATABASE_URL");
    let proxy = TlsProxy::before(&admin, Behind::Postgres, &ours.issue("localhost")).await;
    let (named, misnamed) = (proxy.through(&admin, "localhost"), proxy.through(&admin, "127.0.0.1"));
    let (right, wrong) = (ours.file(), theirs.file());
    for (url, mode, root) in [
        (&named, "verify-full", &right),
        (&named, "verify-ca", &right),
        (&misnamed, "verify-ca", &right),
        (&misnamed, "require", &wrong),
        (&misnamed, "prefer", &wrong),
    ] {
        asked(url, &[("sslmode", mode), ("sslrootcert", root)]).await.unwrap_or_else(|e| panic!("{mode}: {e}"));
    }
    for (url, mode, root, part) in [
        (&named, "verify-full", &wrong, "sslrootcert in store.url"),
        (&named, "verify-ca", &wrong, "sslrootcert in store.url"),
        (&misnamed, "verify-full", &right, "store.url must name the host"),
    ] {
        let mut url = url.clone();
        url.set_username("somebody").unwrap();
        url.set_password(Some(SECRET)).unwrap();
        let error = asked(&url, &[("sslmode", mode), ("sslrootcert", root)]).await.unwrap_err();
        assert!(matches!(error, StoreError::Untrusted { .. }) && error.is_outage(), "{mode}: {error:?}");
        let (said, shown) = (error.to_string(), format!("{error:?}"));
        assert!(said.starts_with("PostgreSQL's TLS certificate is refused") && said.contains(part), "{mode}: {said}");
        assert!(!shown.contains(SECRET), "{shown}");
    }
}

#[tokio::test]
async fn a_postgres_that_asks_for_our_certificate_gets_it() {
    let authority = Authority::new();
    let (shows, ours, root) = (authority.issue("localhost"), authority.issue("leadline"), authority.file());
    let admin = required("TEST_DATABASE_URL");
    let proxy = TlsProxy::asking(&admin, Behind::Postgres, &shows, &authority).await;
    let url = proxy.through(&admin, "localhost");
    let verified = [("sslmode", "verify-full"), ("sslrootcert", root.as_str())];
    let shown = [verified.as_slice(), &[("sslcert", &ours.cert), ("sslkey", &ours.key)]].concat();
    asked(&url, &shown).await.unwrap();
    asked(&url, &verified).await.unwrap_err();
}

#[tokio::test]
async fn a_postgres_that_is_not_trusted_stops_the_start() {
    let (ours, theirs, mut house) = (Authority::new(), Authority::new(), Harness::empty(|_| {}).await);
    let plain = house.config.clone();
    let verified = [("sslmode", "verify-full"), ("sslrootcert", &ours.file())];
    behind_tls(&mut house, &theirs.issue("localhost"), &verified).await;
    house.config.broker.ca_file = theirs.file();
    let refused = App::build(&house.config, Role::Api).await.unwrap_err().to_string();
    assert!(refused.contains("sslrootcert in store.url names the CAs"), "{refused}");
    house.config = plain;
    house.finish().await;
}
