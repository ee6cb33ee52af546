//! Two releases side by side: this one, and the one before it that `deploy/upgrade-from` names.
//!
//! Enters: the binary of that release, built by `deploy/dev upgrade-from`; where its sources are not at hand (no git, no
//! history), that says so and nothing is tested. Leaves: a rolling upgrade and the way back, under load, through every pair
//! of API and worker, on the schema of this release.
//!
//! **Invariant:** whoever records, an accepted lead ends once, nothing is buried, and the books balance.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::{join, join_all};
use leadline::lead::{Ending, LeadMessage, Schema};
use leadline::reply::Reply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::Harness;
use crate::harness::balancer::Balancer;
use crate::harness::batch::single;
use crate::harness::client::{Answer, Call};
use crate::harness::eventually::{eventually, holds};
use crate::harness::process::{Process, Program};
use crate::harness::queues::{Queues, message_id};
use crate::harness::track::{lead, with};

const DRAIN: (&str, &str) = ("LEADLINE__LIFECYCLE__DRAIN", "2s");
/// Requests that are answered before the next exchange.
const SOME: usize = 40;

/// Which release is which half, in the order of the exchange; `true` is this one. Between two lines one half changes.
const PAIRS: [(bool, bool); 5] = [(false, false), (false, true), (true, true), (true, false), (false, false)];

/// The release before this one; `None` where it cannot be had, which is said on standard error.
fn before() -> Option<Program> {
    let mut script = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/dev"));
    script.arg("upgrade-from").env_remove("DATABASE_URL").env_remove("AMQP_URL");
    let output = script.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    eprint!("{said}");
    let folder = String::from_utf8(output.stdout).unwrap();
    (!folder.is_empty()).then(|| Program::within(&PathBuf::from(folder.trim_end())))
}

#[tokio::test]
async fn two_releases_share_tables_and_queues_while_they_are_exchanged() {
    let Some(before) = before() else { return };
    let house = Harness::empty(|_| {}).await;
    let mut site = Site::start(&house, [before, Program::current()], PAIRS[0]).await;
    let load =
        Load { house: &house, to: site.balancer.address, done: AtomicBool::new(false), answered: AtomicUsize::new(0) };
    let exchange = async {
        for (number, next) in PAIRS.into_iter().enumerate() {
            load.some().await;
            from_tomorrow(&house, number).await;
            let parked = park(&house, number).await;
            site.become_pair(next).await;
            load.bring(&parked.customer_external_id).await;
            assert_eq!(house.ended(parked.id).await.ending, "recorded");
        }
        load.some().await;
        load.done.store(true, Ordering::Relaxed);
    };
    join(join_all((0..6).map(|lane| load.lane(lane))), exchange).await;
    site.stop().await;
    house.finish().await;
}

/// One API behind a balancer, and one worker, each of one release or the other.
struct Site<'a> {
    house: &'a Harness,
    programs: [Program; 2],
    balancer: Balancer,
    pair: (bool, bool),
    api: Process,
    worker: Process,
}

impl<'a> Site<'a> {
    async fn start(house: &'a Harness, programs: [Program; 2], pair: (bool, bool)) -> Self {
        let balancer = Balancer::start().await;
        let worker = start(house, &programs[usize::from(pair.1)], "worker").await;
        let api = start(house, &programs[usize::from(pair.0)], "api").await;
        balancer.add(api.address).await;
        Self { house, programs, balancer, pair, api, worker }
    }

    /// Exchanges what is of the other release: the next is there before the old one goes.
    async fn become_pair(&mut self, pair: (bool, bool)) {
        if pair.1 != self.pair.1 {
            let next = start(self.house, &self.programs[usize::from(pair.1)], "worker").await;
            stop(std::mem::replace(&mut self.worker, next)).await;
        }
        if pair.0 != self.pair.0 {
            let next = start(self.house, &self.programs[usize::from(pair.0)], "api").await;
            self.balancer.add(next.address).await;
            let old = std::mem::replace(&mut self.api, next);
            let address = old.address;
            stop(old).await;
            self.balancer.remove(address);
        }
        self.pair = pair;
    }

    async fn stop(self) {
        stop(self.api).await;
        stop(self.worker).await;
    }
}

async fn start(house: &Harness, program: &Program, role: &str) -> Process {
    Process::start_of(program, role, &house.config, house.client(), &[DRAIN]).await
}

async fn stop(process: Process) {
    assert_eq!(process.errors(), Vec::<String>::new());
    assert_eq!(process.stop().await, Some(0), "SIGTERM ends it cleanly");
}

/// A follow-up that whoever is the worker now parks, and the next one wakes.
async fn park(house: &Harness, number: usize) -> LeadMessage {
    let message = house.message(&lead("", "Sign Up", &format!("parked-{number}")));
    house.publish(std::slice::from_ref(&message)).await;
    eventually("a parked follow-up", || async {
        let parked: i64 = sqlx::query_scalar("SELECT count(*) FROM parked_leads WHERE id = $1")
            .bind(message.id)
            .fetch_one(&house.pool)
            .await
            .unwrap();
        holds(parked == 1, parked)
    })
    .await;
    message
}

/// A message with a field that no release knows yet is recorded by whoever is the worker.
async fn from_tomorrow(house: &Harness, number: usize) {
    let click = house.click().await;
    let message = house.message(&lead(&click, "Sign Up", &format!("tomorrow-{number}")));
    let mut value: Value = serde_json::from_slice(&message.encode().unwrap()).unwrap();
    value["tomorrow"] = json!({"a": [1]});
    let (queue, id) = (Queues::shard(&message), message_id(message.id));
    house.queues.publish_bytes(&queue, value.to_string().as_bytes(), Some(&id), None).await;
    house.diary.note_message(&message);
    assert_eq!(house.ended(message.id).await.ending, "recorded");
}

/// Requests of every kind, one after the other in each lane.
struct Load<'a> {
    house: &'a Harness,
    to: std::net::SocketAddr,
    done: AtomicBool,
    answered: AtomicUsize,
}

impl Load<'_> {
    async fn lane(&self, lane: usize) {
        let click = self.house.click().await;
        for n in 0.. {
            if self.done.load(Ordering::Relaxed) {
                return;
            }
            self.one(&click, lane, n).await;
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn one(&self, click: &str, lane: usize, n: usize) {
        let customer = format!("c{lane}-{n}");
        let body = |click: &str, mode: &str| with(lead(click, "Sign Up", &customer), json!({"mode": mode}));
        match (n + lane) % 4 {
            0 => drop(self.track(&body(click, "async")).await),
            1 => {
                let answer = self.track(&body(click, "wait")).await;
                assert!(matches!(answer.ending(), Some("recorded" | "duplicate")), "{answer:?}");
            }
            2 => {
                self.track(&body(click, "deferred")).await;
                let answer = self.track(&body("", "wait")).await;
                assert_eq!(answer.body["click"]["id"], click);
            }
            _ => self.batch(&(0..12).map(|m| lead(click, &format!("event {m}"), &customer)).collect::<Vec<_>>()).await,
        }
    }

    /// Makes a customer known.
    async fn bring(&self, customer: &str) {
        let click = self.house.click().await;
        self.track(&with(lead(&click, "Sign Up", customer), json!({"mode": "deferred"}))).await;
    }

    /// Sends a lead until it is taken: a 503 promises nothing.
    async fn track(&self, body: &Value) -> Answer {
        let house = self.house;
        let call = Call::post("/track/lead", body).key(&house.workspace.secret);
        eventually("a 200", || async {
            let answer = call.send(house.client(), self.to).await;
            house.diary.note(house.workspace.id, body, Schema::Server, &answer);
            assert!([200, 503].contains(&answer.status), "{body}: {}", answer.body);
            if answer.status == 200 { Ok(answer) } else { Err(answer) }
        })
        .await
    }

    /// Many at once, which travel together; what is answered 503 stays so.
    async fn batch(&self, bodies: &[Value]) {
        let call = Call::post("/track/lead/batch", &json!(bodies)).key(&self.house.workspace.secret);
        let whole = call.send(self.house.client(), self.to).await.ok();
        for (body, result) in bodies.iter().zip(whole.body.as_array().unwrap()) {
            let answer = single(result);
            assert!([200, 503].contains(&answer.status), "{body}: {}", answer.body);
            self.house.diary.note(self.house.workspace.id, body, Schema::Server, &answer);
        }
    }

    /// Waits until some more was sent and answered.
    async fn some(&self) {
        // What is under way now was perhaps sent before the exchange.
        let until = self.answered.load(Ordering::Relaxed) + SOME;
        eventually("some load", || async { holds(self.answered.load(Ordering::Relaxed) > until, ()) }).await;
    }
}

#[test]
fn a_reply_with_a_field_that_no_release_knows_yet_is_understood() {
    let reply = Reply {
        v: Reply::VERSION,
        id: Uuid::now_v7(),
        ending: Ending::Recorded,
        reason: None,
        click_id: Some("click".to_owned()),
        link_id: None,
        brought: false,
        trace: None,
    };
    let mut value: Value = serde_json::from_slice(&reply.encode().unwrap()).unwrap();
    value["tomorrow"] = json!({"a": [1]});
    assert_eq!(Reply::decode(value.to_string().as_bytes()).unwrap(), reply);
}

#[tokio::test]
async fn this_release_works_on_a_schema_that_the_next_one_has_grown() {
    let mut house = Harness::empty(|_| {}).await;
    for statement in [
        "ALTER TABLE leads ADD COLUMN tomorrow text, ADD COLUMN weight integer NOT NULL DEFAULT 1",
        "ALTER TABLE customers ADD COLUMN tomorrow text",
        "ALTER TABLE links ADD COLUMN tomorrow bigint NOT NULL DEFAULT 0",
        "ALTER TABLE parked_leads ADD COLUMN tomorrow text",
        "ALTER TABLE buried_leads ADD COLUMN tomorrow text",
        "ALTER TABLE clicks ADD COLUMN tomorrow text",
        "CREATE TABLE tomorrow (id uuid PRIMARY KEY)",
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'x', true, '', 0)",
    ] {
        sqlx::query(statement).execute(&house.pool).await.unwrap();
    }
    let mut migrate = Program::current().command(&house.config);
    migrate.arg("migrate").env("DATABASE_URL", &house.database.url);
    let output = migrate.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("newer than this binary"), "{said}");
    house.add_api().await;
    house.add_worker().await;
    let click = house.click().await;
    let parked = park(&house, 0).await;
    for mode in ["async", "wait", "deferred"] {
        let body = with(lead(&click, "Sign Up", &format!("c-{mode}")), json!({"mode": mode, "metadata": {"a": 1}}));
        house.track(&body).await.ok();
        house.track(&body).await.ok();
    }
    house.track(&with(lead("", "Sign Up", "c-deferred"), json!({"mode": "wait"}))).await.ended("recorded");
    house.track(&with(lead(&click, "Sign Up", &parked.customer_external_id), json!({"mode": "deferred"}))).await.ok();
    assert_eq!(house.ended(parked.id).await.ending, "recorded");
    house.finish().await;
}
