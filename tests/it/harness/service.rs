//! API and worker inside the test's process, each with a stop of its own.
//!
//! **Invariant:** a service that ends by itself fails the test, with its reason.

use std::net::SocketAddr;

use leadline::app::{App, Role};
use leadline::lifecycle::{Ended, Stop};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Harness;
use super::eventually::{PATIENCE, eventually, holds};

const HEARS: &str = "leadline_broker_connects_total{purpose=\"consume\",result=\"ok\"}";

/// One running API or worker.
#[derive(Debug)]
pub(crate) struct Service {
    /// The API's address; a worker's is that of its metrics.
    pub(crate) address: SocketAddr,
    /// Where its metrics and probes listen.
    pub(crate) metrics: SocketAddr,
    role: Role,
    stop: Stop,
    task: JoinHandle<Result<Vec<&'static str>, Ended>>,
}

impl Service {
    /// Soft stop: it finishes what it holds.
    pub(crate) async fn stop(self) {
        self.stop.ask();
        let ended = timeout(PATIENCE, self.task).await;
        let left = ended.unwrap_or_else(|_| panic!("{:?} did not stop", self.role));
        assert_eq!(left.unwrap(), Ok(Vec::new()), "a stop that left tasks behind");
    }

    /// Hard stop: it drops what it holds.
    pub(crate) async fn kill(self) {
        self.stop.force();
        let ended = timeout(PATIENCE, self.task).await;
        let left = ended.unwrap_or_else(|_| panic!("{:?} did not let itself be killed", self.role));
        left.unwrap().ok();
    }
}

impl Harness {
    /// Starts one more API and waits until it is ready, also to hear of verdicts.
    pub(crate) async fn add_api(&mut self) {
        let service = self.run(Role::Api).await;
        eventually("a connection for replies", || async {
            let (_, body) = self.readiness_of(&service).await;
            let connects = value(&self.scrape(&service).await, HEARS).unwrap_or(0.0);
            holds(body["rabbitmq"] == "up" && connects > 0.5, body)
        })
        .await;
        self.apis.push(service);
    }

    /// Starts one more worker and waits until it is ready.
    pub(crate) async fn add_worker(&mut self) {
        let service = self.run(Role::Worker).await;
        self.workers.push(service);
    }

    /// Starts a service and waits until it is ready.
    #[expect(clippy::disallowed_methods, reason = "the task ends with the test's runtime")]
    pub(crate) async fn run(&self, role: Role) -> Service {
        let app = App::build(&self.config, role).await.unwrap();
        let (metrics, stop) = (app.metrics_address(), Stop::new());
        let address = app.address().unwrap_or(metrics);
        let task = tokio::spawn(app.run(stop.clone()));
        self.ready(metrics).await;
        Service { address, metrics, role, stop, task }
    }

    /// What the first API's metrics say: the value of one line, 0 while it is not there.
    pub(crate) async fn metric(&self, line: &str) -> f64 {
        value(&self.scrape(&self.apis[0]).await, line).unwrap_or(0.0)
    }

    /// What the metrics of the worker started last say: the value of one line, if it is there.
    pub(crate) async fn worker_metric(&self, line: &str) -> Option<f64> {
        value(&self.scrape(self.workers.last()?).await, line)
    }

    /// Deliveries that the workers have received and not settled.
    pub(crate) async fn in_hand(&self) -> u64 {
        let mut in_hand = 0;
        for worker in &self.workers {
            let text = self.scrape(worker).await;
            let lines = text.lines().filter(|line| line.starts_with("leadline_deliveries_in_hand{"));
            in_hand += lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum::<u64>();
        }
        in_hand
    }

    /// A process's metrics page.
    pub(crate) async fn scrape(&self, service: &Service) -> String {
        let url = format!("http://{}/metrics", service.metrics);
        self.client().get(url).send().await.unwrap().text().await.unwrap()
    }

    /// What the first API's readiness says, with its status.
    pub(crate) async fn readiness(&self) -> (u16, serde_json::Value) {
        self.readiness_of(&self.apis[0]).await
    }

    async fn readiness_of(&self, service: &Service) -> (u16, serde_json::Value) {
        let answer = self.client().get(format!("http://{}/readyz", service.metrics)).send().await.unwrap();
        (answer.status().as_u16(), serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
    }

    /// Waits until the API says of an engine that it is away.
    pub(crate) async fn known_away(&self, engine: &str) {
        eventually(&format!("{engine} is known to be away"), || async {
            let (status, body) = self.readiness().await;
            holds(body[engine] == "away", (status, body))
        })
        .await;
    }

    /// Softly stops the worker started last.
    pub(crate) async fn stop_worker(&mut self) {
        self.workers.pop().expect("a worker to stop").stop().await;
    }

    /// Hard-stops the worker started last.
    pub(crate) async fn kill_worker(&mut self) {
        self.workers.pop().expect("a worker to kill").kill().await;
    }

    async fn ready(&self, metrics: SocketAddr) {
        eventually("readiness", || async {
            let answer = self.client().get(format!("http://{metrics}/readyz")).send().await;
            holds(answer.as_ref().is_ok_and(|a| a.status() == 200), format!("{answer:?}"))
        })
        .await;
    }
}

fn value(text: &str, line: &str) -> Option<f64> {
    text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' ')?.parse().ok())
}
