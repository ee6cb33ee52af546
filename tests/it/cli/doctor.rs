//! `leadline doctor` finds what is planted, and names what mends it.
//!
//! Faults of settings that one server cannot have are planted where the doctor reads them: a schema before `pg_catalog` in
//! the search path of the test's own database.
//!
//! **Invariant:** every fault is planted in a real engine or in what the command is told; the report is read as it is printed.

use std::process::Command;

use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use leadline::lead::id;
use sqlx::AssertSqlSafe;
use url::Url;

use super::books::Books;
use super::import::ran;
use super::typed::{Found, at_books, at_house, command};
use crate::broker::set_up::channel;
use crate::harness::eventually::{eventually, holds};
use crate::harness::{Harness, required};

fn at(url: &str, change: impl FnOnce(&mut Url)) -> String {
    let mut url = Url::parse(url).unwrap();
    change(&mut url);
    url.to_string()
}

async fn look(books: &Books) -> Found {
    Found::by(at_books(books, &[])).await
}

/// A setting of everybody who connects to these books from now on.
async fn set(books: &Books, setting: &str) {
    books.sql(&format!("ALTER DATABASE {} SET {setting}", books.name())).await;
}

#[tokio::test]
async fn what_is_well_is_called_so() {
    let house = Harness::start().await;
    eventually("a report of the worker", || async {
        let reported: i64 = sqlx::query_scalar("SELECT count(*) FROM horizons").fetch_one(&house.pool).await.unwrap();
        holds(reported > 0, reported)
    })
    .await;
    let found = Found::by(at_house(&house, &[])).await;
    assert_eq!((found.code, found.level("wrong").len()), (Some(0), 0), "{:#}", found.report);
    for (check, what) in [
        ("relations", "fits"),
        ("durability", "synchronous_commit is on"),
        ("schema", "this binary's schema"),
        ("rights", "may do all"),
        ("topology", "stand as they should"),
        ("rights", "configure, write and read"),
        ("alarm", "not blocked"),
        ("workers", "1 workers report"),
        ("queues", "no queue"),
        ("buried", "no buried lead"),
    ] {
        found.found("ok", check, what, "");
    }
    found.found("not checked", "limits", "disk_free_limit", "--management");
    found.found("not checked", "disk", "disk space", "df -h");
    let quiet = ran(at_house(&house, &["doctor", "--quiet"])).await;
    assert!(
        !quiet.out.lines().any(|line| line.starts_with("ok ")) && quiet.out.contains("nothing is wrong"),
        "{}",
        quiet.out
    );
    house.finish().await;
}

#[tokio::test]
async fn settings_that_break_the_promise_are_found() {
    let books = Books::open().await;
    for statement in [
        "CREATE SCHEMA planted",
        "CREATE VIEW planted.pg_settings AS SELECT name, source, CASE WHEN name IN ('fsync', 'full_page_writes', 'autovacuum')
         THEN 'off' WHEN name = 'server_version_num' THEN '130010' WHEN name = 'server_encoding' THEN 'SQL_ASCII'
         ELSE setting END AS setting FROM pg_catalog.pg_settings",
        "CREATE FUNCTION planted.clock_timestamp() RETURNS timestamptz LANGUAGE sql
         AS 'SELECT pg_catalog.clock_timestamp() + interval ''1 hour'''",
    ] {
        sqlx::query(statement).execute(&books.pool).await.unwrap();
    }
    for setting in ["synchronous_commit = off", "search_path = planted, pg_catalog, public"] {
        set(&books, setting).await;
    }
    let found = look(&books).await;
    let reset = format!("ALTER DATABASE \"{}\" RESET synchronous_commit", books.name());
    for (check, what, cure) in [
        ("synchronous_commit", "is off (set by: database)", reset.as_str()),
        ("fsync", "fsync is off", "ALTER SYSTEM SET fsync = on"),
        ("full_page_writes", "full_page_writes is off", "ALTER SYSTEM SET full_page_writes = on"),
        ("autovacuum", "autovacuum is off", "ALTER SYSTEM SET autovacuum = on"),
        ("version", "is PostgreSQL", "pg_upgrade"),
        ("encoding", "SQL_ASCII", "createdb -E UTF8"),
        ("clock", "ahead of this machine's", "timedatectl"),
    ] {
        found.found("wrong", check, what, cure);
    }
}

#[tokio::test]
async fn a_database_that_takes_no_writes_is_found() {
    let books = Books::open().await;
    set(&books, "default_transaction_read_only = on").await;
    let reset = format!("ALTER DATABASE \"{}\" RESET default_transaction_read_only", books.name());
    look(&books).await.found("wrong", "writes", "read-only", &reset);
}

#[tokio::test]
async fn a_schema_that_does_not_fit_is_found() {
    let books = Books::open().await;
    let newest = "(SELECT max(version) FROM _sqlx_migrations)";
    for (plant, what, cure) in [
        (
            format!("UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = {newest}"),
            "another one",
            "a release",
        ),
        (
            format!("UPDATE _sqlx_migrations SET success = false WHERE version = {newest}"),
            "half-way",
            "DELETE FROM _sqlx_migrations",
        ),
        (format!("DELETE FROM _sqlx_migrations WHERE version = {newest}"), "an older schema", "leadline migrate"),
        ("DELETE FROM _sqlx_migrations WHERE version = 2".to_owned(), "migration 2 is missing", "leadline migrate"),
        ("DROP TABLE _sqlx_migrations".to_owned(), "an older schema", "leadline migrate"),
    ] {
        sqlx::query(AssertSqlSafe(plant)).execute(&books.pool).await.unwrap();
        look(&books).await.found("wrong", "schema", what, cure);
    }
}

#[tokio::test]
async fn a_role_that_may_too_little_is_found_and_one_that_may_what_is_asked_for_works() {
    let (house, role) = (Harness::empty(|_| {}).await, format!("doctor_{}", id::alphanumerics(10).to_lowercase()));
    let run = async |statement: String| sqlx::query(AssertSqlSafe(statement)).execute(&house.pool).await.unwrap();
    run(format!("CREATE ROLE {role} LOGIN PASSWORD 'x' CONNECTION LIMIT 3")).await;
    for (table, rights) in leadline::store::NEEDED {
        run(format!("GRANT {rights} ON {table} TO {role}")).await;
    }
    run(format!("REVOKE UPDATE ON links FROM {role}")).await;
    let doctor = || {
        let mut doctor = at_house(&house, &[]);
        let url = doctor
            .get_envs()
            .find(|(name, _)| *name == "DATABASE_URL")
            .unwrap()
            .1
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let url = at(&url, |url| {
            url.set_username(&role).unwrap();
            url.set_password(Some("x")).unwrap();
        });
        doctor.env("DATABASE_URL", url);
        doctor
    };
    let found = Found::by(doctor()).await;
    found.found("wrong", "rights", "UPDATE on links", &format!("GRANT UPDATE ON links TO \"{role}\";"));
    found.found("wrong", "connection_limit", "3 connections", &format!("ALTER ROLE \"{role}\" CONNECTION LIMIT"));
    run(format!("GRANT UPDATE ON links TO {role}")).await;
    run(format!("ALTER ROLE {role} CONNECTION LIMIT -1")).await;
    let found = Found::by(doctor()).await;
    found.found("ok", "rights", &format!("{role} may do all"), "");
    works_as(house, &role).await;
}

/// Everything a service does, done by a role; then the role is dropped.
async fn works_as(mut house: Harness, role: &str) {
    use crate::harness::client::Call;
    use crate::harness::track::{lead, with};
    use secrecy::ExposeSecret;
    use serde_json::json;

    let own = house.config.store.url.clone();
    let url = at(own.expose_secret(), |url| {
        url.set_username(role).unwrap();
        url.set_password(Some("x")).unwrap();
    });
    house.config.store.url = url.into();
    house.add_api().await;
    house.add_worker().await;
    let click = house.click().await;
    house.track(&with(lead(&click, "Sign Up", "ann"), json!({"mode": "wait"}))).await.ended("recorded");
    house.track(&with(lead("", "Later", "ann"), json!({"mode": "wait"}))).await.ended("recorded");
    house.track(&with(lead(&click, "Sign Up", "bob"), json!({"mode": "deferred"}))).await.ok();
    let key = house.workspace.secret.clone();
    for call in [
        Call::new("PATCH", "/customers/ext_ann").raw(b"{\"name\":\"Ann\"}").key(&key),
        Call::new("GET", "/customers").key(&key),
        Call::post("/links", &json!({"url": "https://x.test", "domain": house.workspace.domain, "key": "made"}))
            .key(&key),
    ] {
        house.call(call).await.ok();
    }
    house.stop_worker().await;
    for api in std::mem::take(&mut house.apis) {
        api.stop().await;
    }
    for statement in [format!("DROP OWNED BY {role}"), format!("DROP ROLE {role}")] {
        sqlx::query(AssertSqlSafe(statement)).execute(&house.pool).await.unwrap();
    }
    house.config.store.url = own;
    house.finish().await;
}

#[tokio::test]
async fn too_few_connections_are_found() {
    let books = Books::open().await;
    let mut doctor = at_books(&books, &[]);
    doctor.env("LEADLINE__STORE__API_CONNECTIONS", "400");
    let found = Found::by(doctor).await;
    found.found("wrong", "max_connections", "1 API x 400", "max_connections = ");
}

#[tokio::test]
async fn a_postgres_that_does_not_let_us_in_is_found() {
    let books = Books::open().await;
    let doctor = |url: String| {
        let mut doctor = at_books(&books, &[]);
        doctor.env("DATABASE_URL", url);
        doctor
    };
    let wrong = at(&books.url, |url| url.set_password(Some("wrong")).unwrap());
    let found = Found::by(doctor(wrong)).await;
    found.found("wrong", "server", "password authentication failed", "PASSWORD");
    assert!(!found.report.to_string().contains(":wrong@"));
    let nowhere = at(&books.url, |url| url.set_path("/no_such_database"));
    Found::by(doctor(nowhere)).await.found("wrong", "server", "no_such_database", "createdb");
    let nobody = at(&books.url, |url| url.set_port(Some(1)).unwrap());
    Found::by(doctor(nobody)).await.found("wrong", "server", "127.0.0.1:1", "pg_isready -h 127.0.0.1 -p 1");
    Found::by(doctor("postgres://u:secret@[".to_owned())).await.found(
        "wrong",
        "address",
        "",
        "DATABASE_URL=postgres://",
    );
}

#[tokio::test]
async fn a_rabbitmq_that_does_not_let_us_in_is_found() {
    let books = Books::open().await;
    let amqp = required("TEST_AMQP_URL");
    let doctor = |url: String| {
        let mut doctor = at_books(&books, &[]);
        doctor.env("AMQP_URL", url);
        doctor
    };
    let wrong = at(&amqp, |url| url.set_password(Some("wrong")).unwrap());
    let found = Found::by(doctor(wrong)).await;
    found.found("wrong", "node", "ACCESS_REFUSED", "rabbitmqctl change_password");
    assert!(!found.report.to_string().contains(":wrong@"));
    let nowhere = at(&amqp, |url| url.set_path("/no-such-vhost"));
    Found::by(doctor(nowhere)).await.found("wrong", "node", "no-such-vhost", "rabbitmqctl add_vhost 'no-such-vhost'");
    let nobody = at(&amqp, |url| url.set_port(Some(1)).unwrap());
    Found::by(doctor(nobody)).await.found("wrong", "node", "127.0.0.1:1", "check_port_listener");
    let stranger = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = stranger.local_addr().unwrap().port();
    let answering = async {
        use tokio::io::AsyncWriteExt;
        let (mut socket, _) = stranger.accept().await.unwrap();
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        socket
    };
    let (found, _socket) =
        tokio::join!(Found::by(doctor(at(&amqp, |url| url.set_port(Some(port)).unwrap()))), answering);
    found.found("wrong", "node", "does not speak AMQP", "5672");
}

#[tokio::test]
async fn a_configuration_that_does_not_fit_is_found() {
    let books = Books::open().await;
    let doctor = |key: &str, value: &str| {
        let mut doctor = at_books(&books, &[]);
        doctor.env(key, value);
        doctor
    };
    let found = Found::by(doctor("LEADLINE__WORKER__PREFETCH", "1")).await;
    found.found("wrong", "relations", "a batch could never fill", "LEADLINE__WORKER__BATCH");
    found.found("ok", "schema", "this binary's schema", "");
    let found = Found::by(doctor("LEADLINE__WORKER__LANEZ", "1")).await;
    found.found("wrong", "layers", "lanez", "config/default.toml");
    let found = Found::by(doctor("LEADLINE__STORE__STATEMENT_TIMEOUT", "0s")).await;
    found.found("wrong", "deadlines", "statement_timeout is 0", "defaults");
}

#[tokio::test]
async fn a_topology_that_is_not_ours_is_found() {
    let mut house = Harness::without_worker().await;
    let (_connection, other) = channel().await;
    let (missing, changed) = (house.queues.name("s01"), house.queues.name("s02"));
    for name in [&missing, &changed] {
        other.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    }
    let declared = other.queue_declare(changed.as_str().into(), QueueDeclareOptions::durable(), FieldTable::default());
    declared.await.unwrap();
    let found = Found::by(at_house(&house, &[])).await;
    found.found("wrong", "topology", &missing, "restart one API or worker");
    found.found("wrong", "topology", &format!("{changed} exists with other arguments"), "rabbitmqctl delete_queue");
    other.queue_delete(changed.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    house.add_worker().await;
    Found::by(at_house(&house, &[])).await.found("ok", "topology", "stand as they should", "");
    house.finish().await;
}

#[tokio::test]
async fn a_topology_that_was_never_made_is_a_warning() {
    let books = Books::open().await;
    let found = look(&books).await;
    found.found("warning", "topology", "nothing of the topology stands", "leadline worker");
    found.found("warning", "workers", "no worker", "leadline worker");
    assert_eq!(found.code, Some(0), "{:#}", found.report);
}

#[tokio::test]
async fn work_that_waits_for_somebody_is_found() {
    let mut house = Harness::without_worker().await;
    house.queues.publish_bytes("s00", b"nonsense", Some("one"), None).await;
    house.queues.publish_bytes("dead", b"nonsense", Some("two"), None).await;
    sqlx::query(
        "INSERT INTO buried_leads (id, identity, reason, message) VALUES (gen_random_uuid(), 'three', 'planted', '')",
    )
    .execute(&house.pool)
    .await
    .unwrap();
    let parked = "INSERT INTO parked_leads (workspace_id, id, customer_external_id, message, parked_at, expires_at)
         VALUES (gen_random_uuid(), gen_random_uuid(), 'x', '', now() - interval '2 hours', now() - interval '1 hour')";
    sqlx::query(parked).execute(&house.pool).await.unwrap();
    let found = Found::by(at_house(&house, &[])).await;
    found.found("wrong", "consumers", "1 messages wait in s00", "leadline worker");
    found.found("wrong", "dead", "1 messages are in the dead queue", "start a worker");
    found.found("wrong", "parked", "1 parked leads", "leadline worker");
    found.found("warning", "buried", "1 buried messages", "leadline buried replay --all");
    found.found("warning", "workers", "no worker", "leadline worker");
    sqlx::query("DELETE FROM parked_leads").execute(&house.pool).await.unwrap();
    house.announced.buried = 3;
    house.finish().await;
}

#[tokio::test]
async fn limits_are_asked_of_the_management_plugin() {
    let books = Books::open().await;
    let members = r#"[{"name":"rabbit@one","running":true,"mem_used":50,"mem_limit":100,"mem_alarm":false,
        "disk_free":5000000000,"disk_free_limit":50000000,"disk_free_alarm":false},{"name":"rabbit@two","running":false}]"#;
    let router = axum::Router::new().route(
        "/api/nodes",
        axum::routing::get(async move |headers: axum::http::HeaderMap| match headers.get("authorization") {
            Some(_) => (axum::http::StatusCode::OK, members),
            None => (axum::http::StatusCode::UNAUTHORIZED, ""),
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let asked = |url: String| {
        let mut doctor: Command = at_books(&books, &[]);
        doctor.env("LEADLINE_MANAGEMENT_URL", url);
        doctor
    };
    let found = Found::by(asked(format!("http://{address}"))).await;
    found.found("ok", "memory", "rabbit@one", "");
    found.found("warning", "disk", "rabbit@one", "disk_free_limit.absolute");
    found.found("wrong", "cluster", "rabbit@two is not running", "forget_cluster_node");
    let found = Found::by(asked("http://me:secret@127.0.0.1:1".to_owned())).await;
    found.found("not checked", "limits", "no answer from http://127.0.0.1:1/api/nodes", "set_user_tags");
    assert!(!found.report.to_string().contains("secret"));
}

#[tokio::test]
async fn a_configuration_that_cannot_be_read_ends_the_look() {
    let mut doctor = command(&[]);
    doctor.env("DATABASE_URL", "postgres://127.0.0.1:1/x").env("LEADLINE__HTTP__LISTEN", "nowhere");
    let found = Found::by(doctor).await;
    found.found("wrong", "layers", "listen", "README");
    assert_eq!(found.report["findings"].as_array().unwrap().len(), 1);
}
