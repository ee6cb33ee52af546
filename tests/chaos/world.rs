//! One world: engines, a proxy on every edge, a fleet, load, and a diary of it all.
//!
//! Enters: where the engines are. Leaves: everything that a fault needs to do harm and to show that it did.
//!
//! **Invariant:** the suite itself reaches the engines past the proxies, so that it sees what is true.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leadline::lead::Mode;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};
use url::Url;

use crate::check::Allowances;
use crate::clock::within;
use crate::diary::{Diary, Kind};
use crate::fleet::{Engines, Fleet};
use crate::given::{Tenant, tenants};
use crate::load::{Client, Wish};
use crate::process::{Role, fresh_folder};
use crate::proxy::{Proxy, Weather};
use crate::queues::Queues;
use crate::scrape::Readings;

const APIS: usize = 2;
const WORKERS: usize = 2;
const START_WITHIN: Duration = Duration::from_secs(30);

/// The four edges, each with a proxy of its own.
#[derive(Debug, Clone)]
pub(crate) struct Edges {
    pub(crate) api_pg: Proxy,
    pub(crate) api_mq: Proxy,
    pub(crate) worker_pg: Proxy,
    pub(crate) worker_mq: Proxy,
}

impl Edges {
    async fn before(database: &str, amqp: &str) -> Self {
        let (pg, mq) = (host_port(database), host_port(amqp));
        Self {
            api_pg: Proxy::before(&pg).await,
            api_mq: Proxy::before(&mq).await,
            worker_pg: Proxy::before(&pg).await,
            worker_mq: Proxy::before(&mq).await,
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
    pub(crate) database: String,
    pub(crate) pool: PgPool,
    pub(crate) queues: Queues,
    pub(crate) edges: Edges,
    pub(crate) fleet: Fleet,
    pub(crate) readings: Readings,
    pub(crate) diary: Diary,
    pub(crate) client: Client,
    pub(crate) tenants: Arc<Vec<Tenant>>,
    pub(crate) allowances: Mutex<Allowances>,
    pub(crate) dice: Mutex<StdRng>,
    pub(crate) probes: reqwest::Client,
}

impl World {
    /// Makes a database, starts the fleet through the proxies, and waits until it serves.
    pub(crate) async fn start(folder: &Path, database: &str, amqp: &str, seed: u64) -> Self {
        fresh_folder(folder);
        let mut dice = StdRng::seed_from_u64(seed);
        let name = format!("chaos_{:08x}", rand::random::<u32>());
        let (database, pool) = database_for(database, &name).await;
        let edges = Edges::before(&database, amqp).await;
        let engines = [
            Engines { database: through(&edges.api_pg, &database), amqp: through(&edges.api_mq, amqp) },
            Engines { database: through(&edges.worker_pg, &database), amqp: through(&edges.worker_mq, amqp) },
        ];
        let prefix = format!("{name}.");
        let fleet = Fleet::new(engines, &prefix, folder);
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
            queues: Queues { url: amqp.to_owned(), prefix },
            allowances: Mutex::default(),
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
        };
        world.up("the first start").await;
        world
    }

    /// Waits until every process is ready.
    pub(crate) async fn up(&self, what: &str) {
        let up = self.fleet.up(&self.probes, "/readyz", START_WITHIN).await;
        up.unwrap_or_else(|last| panic!("{what}: {last}; logs in {}", self.folder.display()));
    }

    /// A draw from the seed.
    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.dice.lock().unwrap())
    }

    /// Asks every API for a `wait` until each has recorded one again and the queues are short.
    pub(crate) async fn recovered(&self, patience: Duration) -> Result<(), String> {
        within(patience, || async {
            for api in self.fleet.addresses() {
                let entry = self.client.send_to(&self.tenants[0], &self.probe(), api).await;
                if entry.line.status != 200 {
                    return Err(format!("{api} answers {}", entry.line.status));
                }
            }
            match self.queues.ready().await? {
                0..200 => Ok(()),
                ready => Err(format!("{ready} messages ready")),
            }
        })
        .await
    }

    /// Sends a `wait` of a new customer, repeated as it is told to be.
    pub(crate) async fn wait(&self) -> u16 {
        self.client.send(&self.tenants[0], &self.probe()).await
    }

    fn probe(&self) -> Wish {
        Wish {
            customer: format!("probe-{:016x}", rand::random::<u64>()),
            event: "Probe".to_owned(),
            mode: Mode::Wait,
            click: Some(self.draw(|dice| self.tenants[0].click(dice))),
            quantity: 1,
            kind: Kind::Click,
        }
    }

    /// Ends all processes and drops the database; queues go with their prefix's world.
    pub(crate) fn end(&self) {
        self.edges.calm();
        self.fleet.end();
    }
}

/// A migrated database of its own, and a pool that goes past every proxy.
async fn database_for(admin: &str, name: &str) -> (String, PgPool) {
    let maintenance = PgPoolOptions::new().max_connections(1).connect(admin).await.unwrap();
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&maintenance).await.unwrap();
    let mut url = Url::parse(admin).unwrap();
    url.set_path(name);
    let url = url.to_string();
    let migrated =
        Command::new(env!("CARGO_BIN_EXE_leadline")).arg("migrate").env("DATABASE_URL", &url).output().unwrap();
    assert!(migrated.status.success(), "leadline migrate: {}", String::from_utf8_lossy(&migrated.stderr));
    let options = PgPoolOptions::new().max_connections(6).acquire_timeout(Duration::from_secs(3));
    let pool = options.connect(&url).await.unwrap();
    (url, pool)
}

fn host_port(url: &str) -> String {
    let url = Url::parse(url).unwrap();
    format!("{}:{}", url.host_str().unwrap(), url.port().unwrap())
}

/// The same URL, through a proxy.
pub(crate) fn through(proxy: &Proxy, url: &str) -> String {
    let mut url = Url::parse(url).unwrap();
    url.set_host(Some("127.0.0.1")).unwrap();
    url.set_port(Some(proxy.address().port())).unwrap();
    url.to_string()
}
