//! The whole service in one test: own database, own topology prefix, port 0; and the books at the end.
//!
//! Enters: `TEST_DATABASE_URL` and `TEST_AMQP_URL`; either missing fails the test. Leaves: nothing; what
//! a test made is removed also when it fails. Tests run on runtimes of one thread (see `log.rs`).
//!
//! **Invariant:** [`Harness::finish`] lets no test pass whose books do not balance.

pub(crate) mod eventually;
pub(crate) mod database;
pub(crate) mod proxy;
pub(crate) mod withhold;
#[cfg(feature = "tls")]
pub(crate) mod tls;
pub(crate) mod balancer;
pub(crate) mod queues;
pub(crate) mod log;
pub(crate) mod given;
pub(crate) mod client;
pub(crate) mod document;
pub(crate) mod diary;
pub(crate) mod ledger;
#[cfg(feature = "otlp")]
pub(crate) mod collector;
pub(crate) mod page;
pub(crate) mod port;
pub(crate) mod process;
pub(crate) mod service;
pub(crate) mod track;
pub(crate) mod batch;
mod finish;

use std::path::Path;
use std::time::Duration;

use leadline::config::Config;
use leadline::lead::id;
use reqwest::Client;
use secrecy::SecretString;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use database::Database;
use diary::Diary;
use given::{Link, Workspace};
use log::Log;
use proxy::Proxy;
use queues::Queues;
use service::Service;

/// What a test announces, because `finish` would otherwise object to it.
#[derive(Debug, Default)]
pub(crate) struct Announced {
    /// Rows left parked.
    pub(crate) parked: i64,
    /// Messages buried.
    pub(crate) buried: i64,
    /// Texts of ERROR lines.
    pub(crate) errors: Vec<&'static str>,
}

/// One test's service and everything around it.
#[derive(Debug)]
pub(crate) struct Harness {
    /// What services are started with.
    pub(crate) config: Config,
    /// The test's own connections to the database.
    pub(crate) pool: PgPool,
    /// The test's own hand in the broker.
    pub(crate) queues: Queues,
    /// A tenant.
    pub(crate) workspace: Workspace,
    /// A link of that tenant.
    pub(crate) link: Link,
    /// Requests and answers so far.
    pub(crate) diary: Diary,
    /// What `finish` shall not object to.
    pub(crate) announced: Announced,
    /// Before `PostgreSQL`, if the service goes through proxies.
    pub(crate) postgres: Proxy,
    /// Before `RabbitMQ`.
    pub(crate) rabbitmq: Proxy,
    /// Running APIs; requests go to the first.
    pub(crate) apis: Vec<Service>,
    /// Running workers.
    pub(crate) workers: Vec<Service>,
    /// The test's own.
    pub(crate) database: Database,
    client: Client,
    /// What the services say.
    pub(crate) log: Log,
    finished: bool,
}

impl Harness {
    /// API and worker.
    pub(crate) async fn start() -> Self {
        Self::tuned(|_| {}).await
    }

    /// API and worker with another configuration.
    pub(crate) async fn tuned(tune: impl FnOnce(&mut Config)) -> Self {
        let mut house = Self::without_worker_tuned(tune).await;
        house.add_worker().await;
        house
    }

    /// API only.
    pub(crate) async fn without_worker() -> Self {
        Self::without_worker_tuned(|_| {}).await
    }

    /// API only, with another configuration.
    pub(crate) async fn without_worker_tuned(tune: impl FnOnce(&mut Config)) -> Self {
        let mut house = Self::empty(tune).await;
        house.add_api().await;
        house
    }

    /// The engines, the tables, and nobody at work.
    pub(crate) async fn empty(tune: impl FnOnce(&mut Config)) -> Self {
        Self::over(Database::create(&fresh_name(), &configuration()).await, tune).await
    }

    /// The same over tables that are there already, with what stands in them.
    pub(crate) async fn over(database: Database, tune: impl FnOnce(&mut Config)) -> Self {
        let log = Log::listen();
        let mut config = configuration();
        let amqp = required("TEST_AMQP_URL");
        let postgres = Proxy::before(&database.url, 5432).await;
        let rabbitmq = Proxy::before(&amqp, 5672).await;
        config.store.url = SecretString::from(postgres.through(&database.url));
        config.broker.url = SecretString::from(rabbitmq.through(&amqp));
        config.broker.prefix = format!("{}.", database.name);
        patient(&mut config);
        tune(&mut config);
        assert_eq!(leadline::config::violations(&config), Vec::<String>::new());
        let pool = pool(&database).await;
        let workspace = given::workspace(&pool).await;
        let link = given::link(&pool, &workspace).await;
        Self {
            queues: Queues::connect(&amqp, &config.broker.prefix).await,
            config,
            pool,
            workspace,
            link,
            diary: Diary::default(),
            announced: Announced::default(),
            postgres,
            rabbitmq,
            apis: Vec::new(),
            workers: Vec::new(),
            client: client::client(),
            database,
            log,
            finished: false,
        }
    }

    /// The client that all requests of this test share.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }
}

/// The test's own connections to a database.
pub(crate) async fn pool(database: &Database) -> PgPool {
    PgPoolOptions::new().max_connections(4).connect(&database.url).await.unwrap()
}

/// What all tests begin with.
pub(crate) fn configuration() -> Config {
    leadline::config::load(Some(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config/test.toml"))).unwrap()
}

/// A name for a database, and for what else belongs to one test.
pub(crate) fn fresh_name() -> String {
    format!("leadline_test_{}", id::alphanumerics(12).to_lowercase())
}

/// Deadlines that a busy machine does not meet by accident; tests of deadlines set their own.
fn patient(config: &mut Config) {
    config.intake.resolve_timeout = Duration::from_secs(8);
    config.intake.wait_timeout = Duration::from_secs(20);
    config.broker.confirm_deadline = Duration::from_secs(8);
    config.store.acquire_timeout = Duration::from_secs(8);
    config.lifecycle.stop_budget = Duration::from_secs(40);
}

/// An environment variable that says where an engine is.
#[expect(clippy::disallowed_methods, reason = "tests are told by their caller where the engines are")]
pub(crate) fn required(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: `deploy/dev test` starts the engines and sets it"))
}
