//! One world: engines, a proxy on every edge, a fleet, load, and a diary of it all.
//!
//! Enters: engines. Leaves: everything that a fault needs to do harm and to show that it did.
//!
//! **Invariant:** the suite itself reaches the engines past the proxies, so that it sees what is true.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leadline::lead::Mode;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use url::Url;
use uuid::Uuid;

use crate::clock::{EVENTUALLY, within};
use crate::diary::{Diary, Entry, Kind};
use crate::fleet::{Engines, Fleet};
use crate::given::{Tenant, tenants};
use crate::ground::Ground;
use crate::load::{Client, Wish};
use crate::process::Role;
use crate::proxy::{Edge, Weather};
use crate::queues::Queues;
use crate::scrape::Readings;
use crate::tune::queue_max_length;

const APIS: usize = 2;
const WORKERS: usize = 2;

/// The four edges, and the suite's own way to PostgreSQL, which follows a fail-over too.
#[derive(Debug, Clone)]
pub(crate) struct Edges {
    pub(crate) api_pg: Edge,
    pub(crate) api_mq: Edge,
    pub(crate) worker_pg: Edge,
    pub(crate) worker_mq: Edge,
    books: Edge,
}

impl Edges {
    async fn before(pg: &[String], mq: &[String]) -> Self {
        Self {
            api_pg: Edge::before(pg).await,
            api_mq: Edge::before(mq).await,
            worker_pg: Edge::before(pg).await,
            worker_mq: Edge::before(mq).await,
            books: Edge::before(pg).await,
        }
    }

    /// Leads everybody to another PostgreSQL, and ends the connections to the one before.
    pub(crate) fn fail_over(&self, target: &str) {
        for edge in [&self.api_pg, &self.worker_pg, &self.books] {
            edge.point_to(target);
            edge.set(Weather::Cut);
            edge.set(Weather::Pass);
        }
    }

    /// The weather on both edges to PostgreSQL.
    pub(crate) fn postgres_is(&self, weather: Weather) {
        self.api_pg.set(weather);
        self.worker_pg.set(weather);
    }

    /// The weather on both edges to RabbitMQ.
    pub(crate) fn rabbitmq_is(&self, weather: Weather) {
        self.api_mq.set(weather);
        self.worker_mq.set(weather);
    }

    /// Fair weather everywhere.
    pub(crate) fn calm(&self) {
        for edge in [&self.api_pg, &self.api_mq, &self.worker_pg, &self.worker_mq] {
            edge.set(Weather::Pass);
        }
    }
}

/// A world under way.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) folder: PathBuf,
    pub(crate) ground: Ground,
    /// Where the suite itself finds PostgreSQL.
    pub(crate) database: String,
    pub(crate) pool: PgPool,
    pub(crate) queues: Queues,
    pub(crate) edges: Edges,
    pub(crate) fleet: Fleet,
    pub(crate) readings: Readings,
    pub(crate) diary: Diary,
    pub(crate) client: Client,
    pub(crate) tenants: Arc<Vec<Tenant>>,
    pub(crate) poison: Mutex<HashSet<String>>,
    pub(crate) dice: Mutex<StdRng>,
    pub(crate) probes: reqwest::Client,
    /// Of one shard queue.
    pub(crate) queue_max_length: usize,
}

impl World {
    /// Starts the fleet on its ground, through the proxies, and waits until it serves.
    pub(crate) async fn start(folder: &Path, ground: Ground, seed: u64, long: bool) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let (amqp, direct) = {
            let (mut postgres, rabbit) = (ground.postgres.lock().await, ground.rabbit.lock().await);
            let urls: Vec<String> = (0..rabbit.count()).map(|node| rabbit.url(node)).collect();
            let server = postgres.primary();
            server.execute("postgres", "CREATE DATABASE leadline").await;
            (urls, server.url("leadline"))
        };
        let mq: Vec<String> = amqp.iter().map(|url| host_port(url)).collect();
        let edges = Edges::before(&[host_port(&direct)], &mq).await;
        let engines = [(&edges.api_pg, &edges.api_mq), (&edges.worker_pg, &edges.worker_mq)]
            .map(|(pg, mq)| Engines { database: through(pg, &direct), amqp: through(mq, &amqp[0]) });
        let database = through(&edges.books, &direct);
        let pool = migrated(&database).await;
        let queue_max_length = queue_max_length(long);
        let fleet = Fleet::new(engines, folder, queue_max_length);
        let diary = Diary::at(&folder.join("diary.ndjson"));
        let tenants = Arc::new(tenants(&pool).await);
        for _ in 0..APIS {
            fleet.add(Role::Api, &[]);
        }
        for _ in 0..WORKERS {
            fleet.add(Role::Worker, &[]);
        }
        let readings = Readings::follow(&fleet);
        let client = Client::new(&fleet, &diary, &pool);
        let probes = reqwest::Client::builder().timeout(Duration::from_secs(1)).build().unwrap();
        let world = Self {
            folder: folder.to_owned(),
            queues: Queues { urls: amqp },
            ground,
            poison: Mutex::default(),
            dice: Mutex::new(StdRng::seed_from_u64(dice.random())),
            database,
            pool,
            edges,
            fleet,
            readings,
            diary,
            client,
            tenants,
            probes,
            queue_max_length,
        };
        world.up("the first start").await;
        world
    }

    /// Waits until every process is ready.
    pub(crate) async fn up(&self, what: &str) {
        let up = within(EVENTUALLY, || self.fleet.ready(&self.probes)).await;
        up.unwrap_or_else(|last| panic!("{what}: {last}; logs in {}", self.folder.display()));
    }

    /// A draw from the seed.
    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.dice.lock().unwrap())
    }

    /// Waits until whoever was to be started anew was, all are ready, every API has a `wait` recorded again, through the queue,
    /// and everything accepted between the n-th entry of the diary and now has ended or is parked: nothing of a fault is left
    /// for the next one.
    pub(crate) async fn recovered(&self, since: usize, patience: Duration) -> Result<(), String> {
        let until = self.diary.len();
        within(patience, || async {
            self.fleet.all_renewed()?;
            self.fleet.ready(&self.probes).await?;
            for api in self.fleet.addresses() {
                let entry = self.client.send_to(&self.tenants[0], &self.probe(Mode::Wait), api).await;
                if entry.line.status != 200 {
                    return Err(format!("{api} answers {}", entry.line.status));
                }
            }
            self.breakers_closed().await?;
            self.ended(since, until).await
        })
        .await
    }

    /// That everything accepted between two entries of the diary has ended or is parked.
    async fn ended(&self, since: usize, until: usize) -> Result<(), String> {
        let accepted = |entry: Entry| entry.line.lead_id.filter(|_| entry.line.status == 200);
        let ids: Vec<Uuid> = self.diary.entries(since).into_iter().take(until - since).filter_map(accepted).collect();
        let open: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM unnest($1::uuid[]) AS asked (id) WHERE NOT EXISTS (SELECT FROM leads WHERE id = asked.id) \
             AND NOT EXISTS (SELECT FROM parked_leads WHERE id = asked.id) \
             AND NOT EXISTS (SELECT FROM buried_leads WHERE lead_id = asked.id)",
        )
        .bind(ids)
        .fetch_one(&self.pool)
        .await
        .map_err(|error| error.to_string())?;
        if open == 0 { Ok(()) } else { Err(format!("{open} accepted leads have not ended")) }
    }

    /// That every API goes through the queue.
    async fn breakers_closed(&self) -> Result<(), String> {
        for metrics in self.fleet.metrics(Role::Api) {
            let answer = self.probes.get(format!("http://{metrics}/metrics")).send().await;
            let page = answer.map_err(|error| error.to_string())?.text().await.map_err(|error| error.to_string())?;
            if !page.contains("\nleadline_breaker_open 0") {
                return Err("an API still records directly".to_owned());
            }
        }
        Ok(())
    }

    /// Sends a lead of a new customer, repeated as it is told to be.
    pub(crate) async fn lead(&self, mode: Mode) -> u16 {
        self.client.send(&self.tenants[0], &self.probe(mode)).await
    }

    /// Brings a new customer with a deferred lead, and sends the follow-up: one that no batch of new leads takes with it.
    pub(crate) async fn follow_up(&self) -> u16 {
        let first = self.probe(Mode::Deferred);
        match self.client.send(&self.tenants[0], &first).await {
            200 => {
                let then = Wish { mode: Mode::Async, click: None, kind: Kind::After, ..first };
                self.client.send(&self.tenants[0], &then).await
            }
            status => status,
        }
    }

    fn probe(&self, mode: Mode) -> Wish {
        Wish {
            customer: format!("probe-{:016x}", rand::random::<u64>()),
            event: "Probe".to_owned(),
            mode,
            click: Some(self.draw(|dice| self.tenants[0].click(dice))),
            quantity: 1,
            kind: Kind::Click,
        }
    }

    /// Ends all processes; the engines end with the world.
    pub(crate) fn end(&self) {
        self.edges.calm();
        self.fleet.end();
    }
}

/// A pool on the freshly migrated database.
async fn migrated(url: &str) -> PgPool {
    let url = url.to_owned();
    let migrated =
        Command::new(env!("CARGO_BIN_EXE_leadline")).arg("migrate").env("DATABASE_URL", &url).output().unwrap();
    assert!(migrated.status.success(), "leadline migrate: {}", String::from_utf8_lossy(&migrated.stderr));
    let options = PgPoolOptions::new().max_connections(6).acquire_timeout(Duration::from_secs(3));
    // The other worlds' engines may be starting just now.
    within(EVENTUALLY, || options.clone().connect(&url)).await.unwrap()
}

fn host_port(url: &str) -> String {
    let url = Url::parse(url).unwrap();
    format!("{}:{}", url.host_str().unwrap(), url.port().unwrap())
}

/// The same URL through every proxy of an edge, separated by commas.
pub(crate) fn through(edge: &Edge, url: &str) -> String {
    let one = |address: SocketAddr| {
        let mut url = Url::parse(url).unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(address.port())).unwrap();
        url.to_string()
    };
    edge.addresses().into_iter().map(one).collect::<Vec<_>>().join(",")
}
