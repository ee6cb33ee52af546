//! The only place where rooms are joined: an API, a worker, or both in one process.
//!
//! `build` joins, `run` lives until the stop. Doors close in flow order, one stage after the other:
//! first readiness goes off and a load balancer may notice, then the listeners (requests under way are
//! answered), then the lanes (the open batch is committed and settled), then what both lean on.
//!
//! **Invariant:** a stage is asked to stop only after everything that leans on it has ended.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout_at};

use crate::broker::{Link, Publisher};
use crate::config::Config;
use crate::http;
use crate::intake::{Intake, Parts};
use crate::lifecycle::{Ended, Health, Stop, Tasks};
use crate::record::Limits;
use crate::reply::{Listener, Waiters};
use crate::store::{SchemaState, Store, StoreError, schema_state};
use crate::telemetry::{Metrics, MetricsError, TraceError, Tracer};
use crate::worker;

/// How long the API's door stays shut for RabbitMQ to be reached and the reply queue opened; that takes a few milliseconds.
const REACHED_WITHIN: Duration = Duration::from_secs(1);

/// Why an application does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The database URL cannot be read, or names a server whose certificate is not trusted.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The schema is older than this binary.
    #[error("the database schema is behind this binary: run `leadline migrate` first")]
    SchemaBehind,
    /// Spans cannot be exported as configured.
    #[error("traces: {0}")]
    Traces(#[from] TraceError),
    /// A metric is declared badly.
    #[error("metrics: {0}")]
    Metrics(#[from] MetricsError),
}

/// A running-to-be application.
#[derive(Debug)]
pub struct App {
    address: Option<SocketAddr>,
    metrics_address: SocketAddr,
    health: Health,
    drain: Duration,
    doors: Tasks,
    lanes: Tasks,
    ground: Tasks,
    publisher: Publisher,
}

/// Which halves a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// HTTP in, queue out.
    Api,
    /// Queue in, `PostgreSQL` out.
    Worker,
    /// Both.
    All,
}

impl Role {
    /// The word in labels, and after `leadline`.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Worker => "worker",
            Self::All => "all",
        }
    }
}

/// Connections to `PostgreSQL` that a process of this role opens at most.
#[must_use]
pub fn connections(config: &Config, role: Role) -> u32 {
    let (api, worker) = (config.store.api_connections, worker::connections(&config.worker));
    match role {
        Role::Api => api,
        Role::Worker => worker,
        Role::All => api + worker,
    }
}

/// What every half of a process shares.
struct Ground<'a> {
    config: &'a Config,
    health: Health,
    metrics: Metrics,
    tracer: Tracer,
    publisher: Publisher,
    link: Link,
}

impl App {
    /// Joins the rooms and opens the listeners. Engines that are away are waited for while running.
    ///
    /// # Errors
    /// [`StartError`] when the application could never run as configured.
    pub async fn build(config: &Config, role: Role) -> Result<Self, StartError> {
        let (metrics, health) = (Metrics::new()?, Health::default());
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION"), role.as_str()]).set(1);
        let [mut doors, mut lanes, mut ground] = [(); 3].map(|()| Tasks::new(Stop::new()));
        let (tracer, exporter) = Tracer::start(&config.telemetry, role.as_str(), &metrics)?;
        if let Some(exporter) = exporter {
            let stop = ground.stop().clone();
            ground.spawn("traces", async move { exporter.run(stop.asked()).await });
        }
        let publisher = Publisher::start(&config.broker, &health, &metrics, &mut ground);
        let link = Link::start(&config.broker, &health, &metrics, &mut ground);
        let shared = Ground { config, health: health.clone(), metrics, tracer, publisher: publisher.clone(), link };
        let address = match role {
            Role::Worker => None,
            Role::Api | Role::All => Some(shared.api(&mut doors, &mut ground).await?),
        };
        if role != Role::Api {
            shared.worker(&mut lanes, &mut ground).await?;
        }
        let duty = if role == Role::Worker { http::Duty::Records } else { http::Duty::Accepts };
        let metrics_address = shared.admin(duty, &mut ground).await?;
        let drain = if address.is_some() { config.lifecycle.drain } else { Duration::ZERO };
        Ok(Self { address, metrics_address, health, drain, doors, lanes, ground, publisher })
    }

    /// Where the API listens; `None` for a worker.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Where metrics and probes are served.
    #[must_use]
    pub fn metrics_address(&self) -> SocketAddr {
        self.metrics_address
    }

    /// Lives until `stop` is asked for or a task fails; then closes the doors in flow order.
    ///
    /// Returns the names of the tasks that had to be dropped because `stop` was forced.
    ///
    /// # Errors
    /// [`Ended`] when a task ended before anybody asked it to.
    pub async fn run(self, stop: Stop) -> Result<Vec<&'static str>, Ended> {
        let Self { health, drain, doors, lanes, ground, publisher, .. } = self;
        let stages = [doors.stop().clone(), lanes.stop().clone(), ground.stop().clone()];
        let [first, second, third] = &stages;
        tokio::select! {
            () = stop.asked() => tracing::info!("stopping"),
            () = first.asked() => {}
            () = second.asked() => {}
            () = third.asked() => {}
        }
        // A task that failed by itself is a stop too: its budget begins now.
        stop.ask();
        health.drain();
        if !stages.iter().any(Stop::is_asked) {
            stop.unless_forced(tokio::time::sleep(drain)).await;
        }
        let doors = close(doors, &stop).await;
        let lanes = close(lanes, &stop).await;
        if doors.is_ok() && lanes.is_ok() && !third.is_asked() {
            stop.unless_forced(publisher.drained()).await;
        }
        publisher.close();
        drop(publisher);
        let ground = close(ground, &stop).await;
        Ok([doors?, lanes?, ground?].concat())
    }
}

impl Ground<'_> {
    async fn api(&self, doors: &mut Tasks, ground: &mut Tasks) -> Result<SocketAddr, StartError> {
        let Self { config, health, metrics, tracer, publisher, link } = self;
        let store = self.store("api", config.store.api_connections, ground).await?;
        let waiters = Waiters::new(config.reply.max_waiters, config.intake.workspace_share, metrics);
        let listener = Listener::start(link, &waiters, metrics, ground);
        // What came in before RabbitMQ is reached would open the breaker, and whoever waits for a verdict needs the reply queue.
        // One that is away is not waited for any longer.
        let by = Instant::now() + REACHED_WITHIN;
        drop(join(timeout_at(by, publisher.ready()), listener.queue_by(by)).await);
        let (publisher, metrics) = (publisher.clone(), metrics.clone());
        let limits = Limits { follow_up_wait: config.worker.follow_up_wait, park_max: config.worker.park_max };
        let parts = Parts {
            store: store.clone(),
            limits,
            publisher,
            waiters,
            listener,
            metrics: metrics.clone(),
            tracer: tracer.clone(),
        };
        let intake = Intake::start(parts, &config.intake, ground);
        let (socket, address) = listen(config.http.listen).await?;
        let stop = doors.stop().clone();
        let front = http::Http::new(intake, store, &config.http, &config.store, health, &metrics, tracer);
        doors.spawn("visitors", http::forget_visitors(front.clone(), stop.clone()));
        let (router, limits) = (http::router(front), config.http.clone());
        doors.spawn("http", async move { http::serve(socket, router, &limits, &metrics, stop).await });
        Ok(address)
    }

    async fn worker(&self, lanes: &mut Tasks, ground: &mut Tasks) -> Result<(), StartError> {
        let store = self.store("worker", worker::connections(&self.config.worker), ground).await?;
        let (link, publisher, metrics) = (self.link.clone(), self.publisher.clone(), self.metrics.clone());
        let bench = worker::Bench { link, publisher, store, metrics, tracer: self.tracer.clone() };
        let patience = self.config.intake.wait_timeout;
        worker::start(&bench, &self.config.worker, patience, lanes, ground);
        Ok(())
    }

    async fn admin(&self, duty: http::Duty, ground: &mut Tasks) -> Result<SocketAddr, StartError> {
        let (socket, address) = listen(self.config.http.metrics_listen).await?;
        let (router, limits) = (http::admin_router(&self.health, &self.metrics, duty), self.config.http.clone());
        let (metrics, stop) = (self.metrics.clone(), ground.stop().clone());
        ground.spawn("metrics", async move { http::serve(socket, router, &limits, &metrics, stop).await });
        Ok(address)
    }

    async fn store(&self, name: &'static str, connections: u32, ground: &mut Tasks) -> Result<Store, StartError> {
        let store = Store::connect(&self.config.store, name, connections, &self.health, &self.metrics)?;
        store.choose().await;
        refuse_old_schema(&store).await?;
        let (watched, stop) = (store.clone(), ground.stop().clone());
        ground.spawn("postgres watch", async move { watched.watch(&stop).await });
        Ok(store)
    }
}

/// Asks one stage to stop and waits for it, at most until the stop is forced.
async fn close(tasks: Tasks, stop: &Stop) -> Result<Vec<&'static str>, Ended> {
    let own = tasks.stop().clone();
    own.ask();
    let joined = tasks.join();
    tokio::pin!(joined);
    tokio::select! {
        left = &mut joined => left,
        () = stop.forced() => {
            own.force();
            joined.await
        }
    }
}

async fn listen(wished: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let refused = |error| StartError::Listen(wished, error);
    let socket = TcpListener::bind(wished).await.map_err(refused)?;
    let address = socket.local_addr().map_err(refused)?;
    Ok((socket, address))
}

/// A schema known to be older stops the start; a database that is away does not.
async fn refuse_old_schema(store: &Store) -> Result<(), StartError> {
    match schema_state(store).await {
        Ok(SchemaState::Behind) => Err(StartError::SchemaBehind),
        Ok(SchemaState::Current | SchemaState::Ahead) => Ok(()),
        // As with a login that RabbitMQ refuses: it would hardly heal by waiting.
        Err(error @ StoreError::Untrusted { .. }) => Err(StartError::Store(error)),
        Err(error) => {
            tracing::warn!(%error, "starting while postgres is away");
            Ok(())
        }
    }
}
