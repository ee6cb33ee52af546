//! One database per test, cloned from a template that bears the migrations' hash in its name.
//!
//! Enters: `TEST_DATABASE_URL`, a URL that may create databases. Leaves: a migrated, empty database.
//! The template is made once per set of migrations, under an advisory lock, and renamed when complete.
//!
//! **Invariant:** no test sees another's rows, and none runs on a half-made template.

use std::path::Path;
use std::{fs, thread};

use leadline::config::Config;
use leadline::lifecycle::Health;
use leadline::store::{Store, migrate};
use leadline::telemetry::Metrics;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use url::Url;

const LOCK: i64 = 0x6c65_6164_6c69_6e65;

/// A database of one test.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    admin: String,
    /// Its name.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) url: String,
}

impl Database {
    /// Clones the template under a name.
    pub(crate) async fn create(name: &str, config: &Config) -> Self {
        let admin = super::required("TEST_DATABASE_URL");
        let mut connection = connect(&admin).await;
        let template = template(&admin, &mut connection, config).await;
        execute(&mut connection, format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        connection.close().await.unwrap();
        Self { url: at(&admin, name), admin, name: name.to_owned() }
    }

    /// One without tables.
    pub(crate) async fn bare(name: &str) -> Self {
        let admin = super::required("TEST_DATABASE_URL");
        let mut connection = connect(&admin).await;
        execute(&mut connection, format!("CREATE DATABASE {name}")).await;
        connection.close().await.unwrap();
        Self { url: at(&admin, name), admin, name: name.to_owned() }
    }

    /// Another one on the same server, which exists or does not.
    pub(crate) fn named(&self, name: &str) -> Self {
        Self { admin: self.admin.clone(), name: name.to_owned(), url: at(&self.admin, name) }
    }

    /// Drops it, whoever is still connected.
    pub(crate) async fn remove(&self) {
        let mut connection = connect(&self.admin).await;
        execute(&mut connection, format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)).await;
    }
}

/// Drops a database at the end of its test, however that ends.
#[derive(Debug)]
pub(crate) struct Guard(pub(crate) Database);

impl Drop for Guard {
    fn drop(&mut self) {
        let database = self.0.clone();
        let cleaner = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(database.remove());
        });
        cleaner.join().ok();
    }
}

async fn template(admin: &str, connection: &mut PgConnection, config: &Config) -> String {
    let name = format!("leadline_template_{}", fingerprint());
    sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK).execute(&mut *connection).await.unwrap();
    let found: Option<i32> = sqlx::query_scalar("SELECT 1 FROM pg_database WHERE datname = $1")
        .bind(&name)
        .fetch_optional(&mut *connection)
        .await
        .unwrap();
    if found.is_none() {
        let making = format!("{name}_making");
        execute(connection, format!("DROP DATABASE IF EXISTS {making} WITH (FORCE)")).await;
        execute(connection, format!("CREATE DATABASE {making}")).await;
        let mut config = config.store.clone();
        config.url = SecretString::from(at(admin, &making));
        let store = Store::connect(&config, "template", 1, &Health::default(), &Metrics::new().unwrap()).unwrap();
        migrate(&store).await.expect("migrations");
        store.close().await;
        execute(connection, format!("ALTER DATABASE {making} RENAME TO {name}")).await;
    }
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(LOCK).execute(connection).await.unwrap();
    name
}

/// Twelve hex digits of what stands in `migrations/`.
fn fingerprint() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let hash = files.iter().fold(Sha256::new(), |hash, file| hash.chain_update(fs::read(file).unwrap()));
    hex::encode(hash.finalize())[..12].to_owned()
}

fn at(admin: &str, name: &str) -> String {
    let mut url = Url::parse(admin).expect("TEST_DATABASE_URL is no URL");
    url.set_path(name);
    url.to_string()
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url)
        .await
        .unwrap_or_else(|error| panic!("TEST_DATABASE_URL: PostgreSQL does not answer: {error}"))
}

async fn execute(connection: &mut PgConnection, statement: String) {
    sqlx::query(AssertSqlSafe(statement)).execute(connection).await.unwrap();
}
