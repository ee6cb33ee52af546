//! One broker application per test: connections, topology, and a wire that can be cut.
//!
//! Enters: a change to the configuration. Leaves: publisher, link, and a clean broker afterwards.
//!
//! **Invariant:** [`Site::finish`] deletes what the test declared, and fails when a task ended on its own.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use lapin::{Connection, ConnectionProperties};
use leadline::broker::{Address, Delivery, Inlet, Letter, Link, Publisher, Queue, Topology};
use leadline::config;
use leadline::lifecycle::{Ended, Health, Stop, Tasks};
use leadline::telemetry::Metrics;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// What a test works with.
pub(crate) struct Site {
    pub(crate) config: config::Broker,
    pub(crate) stop: Stop,
    pub(crate) tasks: Tasks,
    pub(crate) health: Health,
    pub(crate) metrics: Metrics,
}

#[expect(clippy::disallowed_methods, reason = "the test's engine is named by the environment")]
pub(crate) fn broker_url() -> String {
    std::env::var("TEST_AMQP_URL").expect("TEST_AMQP_URL must name a RabbitMQ")
}

impl Site {
    pub(crate) fn new() -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/test.toml");
        let mut config = config::load(Some(&file)).unwrap().broker;
        config.url = broker_url().into();
        // A busy machine is no finding; tests of the deadline set their own.
        config.confirm_deadline = Duration::from_secs(10);
        config.prefix = format!("test.{}.", Uuid::now_v7().simple());
        let stop = Stop::new();
        Self {
            config,
            tasks: Tasks::new(stop.clone()),
            stop,
            health: Health::default(),
            metrics: Metrics::new().unwrap(),
        }
    }

    /// A publisher that is ready.
    pub(crate) async fn publisher(&mut self) -> Publisher {
        let publisher = Publisher::start(&self.config, &self.health, &self.metrics, &mut self.tasks);
        in_time("publisher ready", publisher.ready()).await;
        publisher
    }

    pub(crate) fn link(&mut self) -> Link {
        Link::start(&self.config, &self.health, &self.metrics, &mut self.tasks)
    }

    /// Stops, waits for every task, deletes the topology.
    pub(crate) async fn finish(self) {
        let (ended, config) = self.end().await;
        delete(&config).await;
        assert_eq!(ended, Ok(Vec::new()));
    }

    /// Stops and waits, and says how it ended; the topology stays.
    pub(crate) async fn end(self) -> (Result<Vec<&'static str>, Ended>, config::Broker) {
        self.stop.ask();
        let Self { stop, tasks, config, .. } = self;
        let force = async {
            let patience = tokio::time::timeout(Duration::from_secs(10), std::future::pending::<()>());
            patience.await.unwrap_err();
            stop.force();
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! {
            ended = tasks.join() => ended,
            () = force => unreachable!(),
        };
        (ended, config)
    }
}

/// Deletes everything a topology declares.
pub(crate) async fn delete(config: &config::Broker) {
    let (_connection, channel) = channel().await;
    let topology = Topology::new(config);
    for queue in Queue::ALL {
        let options = QueueDeleteOptions::default();
        let name = topology.queue_name(queue);
        channel.queue_delete(name.into(), options).await.unwrap();
    }
    for exchange in [topology.exchange(), topology.dead_exchange()] {
        let options = ExchangeDeleteOptions::default();
        channel.exchange_delete(exchange.into(), options).await.unwrap();
    }
}

/// A channel past our own code.
pub(crate) async fn channel() -> (Connection, lapin::Channel) {
    let options = ConnectionProperties::default();
    let connection = Connection::connect(&broker_url(), options).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

pub(crate) fn letter(queue: Queue, body: &str) -> Letter {
    Letter { to: Address::Queue(queue), id: Uuid::now_v7(), body: body.into(), reply_to: None, trace: None }
}

/// Receives exactly `count` deliveries.
pub(crate) async fn receive(inlet: &mut Inlet, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let more = count - taken.len();
        let received = inlet.receive(&mut taken, more, usize::MAX);
        in_time("a delivery", received).await.unwrap();
    }
    taken
}

/// Whether nothing arrives for a little while.
pub(crate) async fn is_silent(inlet: &mut Inlet) -> bool {
    let mut taken = Vec::new();
    let received = inlet.receive(&mut taken, 1, usize::MAX);
    tokio::time::timeout(Duration::from_millis(300), received).await.is_err()
}

pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(20), future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not come in time"),
    }
}

pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    in_time(what, async {
        let mut look = tokio::time::interval(Duration::from_millis(10));
        while !holds().await {
            look.tick().await;
        }
    })
    .await;
}

/// A wire between us and the broker that a test can cut or silence.
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    mode: watch::Sender<Mode>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Carries bytes.
    Open,
    /// Ends every connection, and every new one at once.
    Cut,
    /// Keeps connections and carries nothing.
    Silent,
    /// Says this to us in the broker's name, then carries bytes. For idle connections only.
    Says(&'static [u8]),
}

/// The broker's word that it takes no messages: `connection.blocked("low on memory")`.
pub(crate) const BLOCKED: Mode = Mode::Says(b"\x01\0\0\0\0\0\x12\0\x0a\0\x3c\x0dlow on memory\xce");
/// The broker's word that it takes messages again: `connection.unblocked`.
pub(crate) const UNBLOCKED: Mode = Mode::Says(b"\x01\0\0\0\0\0\x04\0\x0a\0\x3d\xce");

impl Wire {
    #[expect(clippy::disallowed_methods, reason = "aborted when the wire is dropped")]
    pub(crate) async fn new() -> Self {
        let url: url::Url = broker_url().parse().unwrap();
        let target = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5672));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, seen) = watch::channel(Mode::Open);
        let accepting = tokio::spawn(async move {
            let mut carried = tokio::task::JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let (target, seen) = (target.clone(), seen.clone());
                carried.spawn(async move { carry(near, &target, seen).await });
            }
        });
        Self { address, mode, accepting }
    }

    /// The broker's URL by way of this wire.
    pub(crate) fn url(&self) -> String {
        let mut url: url::Url = broker_url().parse().unwrap();
        url.set_ip_host(self.address.ip()).unwrap();
        url.set_port(Some(self.address.port())).unwrap();
        url.to_string()
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(near: TcpStream, target: &str, mut mode: watch::Receiver<Mode>) {
    let Ok(far) = TcpStream::connect(target).await else {
        return;
    };
    let ((mut near_in, mut near_out), (mut far_in, mut far_out)) = (near.into_split(), far.into_split());
    loop {
        let now = *mode.borrow_and_update();
        if let Mode::Says(words) = now {
            near_out.write_all(words).await.unwrap();
        }
        let both = async {
            tokio::select! {
                done = tokio::io::copy(&mut near_in, &mut far_out) => done,
                done = tokio::io::copy(&mut far_in, &mut near_out) => done,
            }
        };
        tokio::select! {
            _ = both, if matches!(now, Mode::Open | Mode::Says(_)) => return,
            _ = mode.changed() => {}
            () = std::future::ready(()), if now == Mode::Cut => return,
        }
    }
}
