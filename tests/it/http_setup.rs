//! A router of its own database per test, for what needs `PostgreSQL` but no queue.
//!
//! Enters: `TEST_DATABASE_URL`, a URL that may create databases. The broker's address is a dead one.
//!
//! **Invariant:** no test sees another's rows, and every answer is as the `OpenAPI` document says.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use leadline::broker::{Link, Publisher};
use leadline::config::{self, Config};
use leadline::http::{Http, router};
use leadline::intake::{Intake, Parts};
use leadline::lifecycle::{Health, Stop, Tasks};
use leadline::record::Limits;
use leadline::reply::{Listener, Waiters};
use leadline::store::{KeyKind, Store, Workspace, migrate};
use leadline::telemetry::{Metrics, Tracer};
use secrecy::ExposeSecret;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use tower::ServiceExt;
use url::Url;

use crate::harness::document;

/// One API without a broker, on a database of its own.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) router: Router,
    pub(crate) store: Store,
    pub(crate) rows: PgPool,
    pub(crate) workspace: Workspace,
    /// A secret key of the workspace.
    pub(crate) key: String,
    pub(crate) config: Config,
    pub(crate) health: Health,
    pub(crate) metrics: Metrics,
    name: String,
    tasks: Tasks,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The message of an error's envelope, whose code must be the one tied to its status.
    pub(crate) fn refused(&self, status: u16, code: &str) -> &str {
        let error = &self.body["error"];
        assert_eq!((self.status.as_u16(), &error["code"]), (status, &Value::from(code)), "{error}");
        assert!(error["doc_url"].is_string());
        error["message"].as_str().unwrap()
    }

    /// The body of a 200.
    pub(crate) fn good(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        assert_eq!(self.headers["content-type"], "application/json");
        self.body
    }
}

impl Front {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let moment = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros();
        let name = format!("leadline_front_{moment}_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        admin(&format!("CREATE DATABASE {name}")).await;
        let mut url: Url = admin_url().parse().unwrap();
        url.set_path(&name);
        let mut config = config::load(None).unwrap();
        config.store.url = url.to_string().into();
        config.store.api_connections = 4;
        // A busy machine stalls; tests of an outage set their own.
        config.store.acquire_timeout = Duration::from_secs(8);
        config.broker.url = "amqp://127.0.0.1:1/%2f".to_owned().into();
        change(&mut config);
        let (health, metrics) = (Health::default(), Metrics::new().unwrap());
        let store = Store::connect(&config.store, "api", 4, &health, &metrics).unwrap();
        migrate(&store).await.unwrap();
        let mut tasks = Tasks::new(Stop::new());
        let router = api(&config, &store, &health, &metrics, &mut tasks);
        let workspace = store.create_workspace("Acme", "acme").await.unwrap();
        let key = made(&store, &workspace, KeyKind::Secret).await;
        let rows = PgPool::connect(url.as_str()).await.unwrap();
        Self { router, store, rows, workspace, key, config, health, metrics, name, tasks }
    }

    /// One more API process on the same database.
    pub(crate) fn another(&mut self) -> Router {
        let metrics = Metrics::new().unwrap();
        let store = Store::connect(&self.config.store, "api", 4, &self.health, &metrics).unwrap();
        api(&self.config, &store, &self.health, &metrics, &mut self.tasks)
    }

    /// A request with the workspace's secret key.
    pub(crate) async fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {}", self.key))
            .body(Body::from(body.to_owned()))
            .unwrap();
        send(&self.router, request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, "").await
    }

    /// Another workspace with a secret key.
    pub(crate) async fn stranger(&self) -> String {
        let other = self.store.create_workspace("Other", "other").await.unwrap();
        made(&self.store, &other, KeyKind::Secret).await
    }

    /// Drops the database.
    pub(crate) async fn finish(self) {
        self.tasks.stop().force();
        self.tasks.join().await.ok();
        self.rows.close().await;
        self.store.close().await;
        admin(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }
}

pub(crate) async fn made(store: &Store, workspace: &Workspace, kind: KeyKind) -> String {
    let key = store.create_key(workspace.id, kind, "test").await.unwrap();
    key.plain.expose_secret().to_owned()
}

pub(crate) async fn send(router: &Router, request: Request<Body>) -> Answer {
    let (method, path) = (request.method().clone(), request.uri().to_string());
    let answer = router.clone().oneshot(request).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    document::hold(method.as_str(), &path, head.status.as_u16(), &head.headers, &body);
    Answer { status: head.status, headers: head.headers, body }
}

fn api(config: &Config, store: &Store, health: &Health, metrics: &Metrics, tasks: &mut Tasks) -> Router {
    let publisher = Publisher::start(&config.broker, health, metrics, tasks);
    let link = Link::start(&config.broker, health, metrics, tasks);
    let waiters = Waiters::new(config.reply.max_waiters, config.intake.workspace_share, metrics);
    let listener = Listener::start(&link, &waiters, metrics, tasks);
    let limits = Limits { follow_up_wait: config.worker.follow_up_wait, park_max: config.worker.park_max };
    let (metrics, tracer) = (metrics.clone(), Tracer::default());
    let parts = Parts {
        store: store.clone(),
        limits,
        publisher,
        waiters,
        listener,
        metrics: metrics.clone(),
        tracer: tracer.clone(),
    };
    let intake = Intake::start(parts, &config.intake, tasks);
    router(Http::new(intake, store.clone(), &config.http, &config.store, health, &metrics, &tracer))
}

#[expect(clippy::disallowed_methods, reason = "tests are told where their engines are")]
fn admin_url() -> String {
    std::env::var("TEST_DATABASE_URL").expect("TEST_DATABASE_URL, a URL that may create databases")
}

async fn admin(statement: &str) {
    let mut connection = PgConnection::connect(&admin_url()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
