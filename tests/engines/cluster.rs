//! Three RabbitMQ nodes: replicas, connections on all of them, dead and frozen nodes, a minority, alarms.
//!
//! One cluster for all of it, since it takes longer to start than any of this. The steps are functions, in this order.
//!
//! **Invariant:** a confirmed letter is received, however the cluster fared in between.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use leadline::broker::{Address, Letter, Link, Publisher, Queue};
use leadline::config::Broker;
use leadline::lifecycle::{Health, Stop, Tasks};
use leadline::telemetry::Metrics;
use secrecy::SecretString;
use uuid::Uuid;

use crate::desk::{config, eventually, logs};
use crate::engines::Rabbit;

const SHARD: Queue = Queue::Shard(0);
const NAME: &str = "leads.v1.s00";

struct Site {
    rabbit: Rabbit,
    config: Broker,
    metrics: Metrics,
    tasks: Tasks,
    publisher: Publisher,
    link: Link,
    /// Connected, and never used.
    fresh: Vec<Publisher>,
}

#[tokio::test]
async fn a_cluster_loses_nodes_and_no_letter() {
    let rabbit = Rabbit::start(&logs("cluster"), 3).await;
    eprintln!("RabbitMQ {}", rabbit.version().await);
    let mut config = config().broker;
    let urls: Vec<String> = (0..rabbit.count()).map(|node| rabbit.url(node)).collect();
    config.url = SecretString::from(urls.join(","));
    config.heartbeat = Duration::from_secs(2);
    config.connect_timeout = Duration::from_secs(3);
    config.rpc_timeout = Duration::from_secs(3);
    config.confirm_deadline = Duration::from_secs(2);
    let (metrics, mut tasks) = (Metrics::new().unwrap(), Tasks::new(Stop::new()));
    let publisher = Publisher::start(&config, &Health::default(), &metrics, &mut tasks);
    let link = Link::start(&config, &Health::default(), &metrics, &mut tasks);
    let fresh = (0..8).map(|_| Publisher::start(&config, &Health::default(), &metrics, &mut tasks)).collect();
    let mut site = Site { rabbit, config, metrics, tasks, publisher, link, fresh };
    site.has_replicas_and_spreads_connections().await;
    site.survives_its_leader().await;
    site.survives_a_frozen_leader().await;
    site.survives_a_minority().await;
    site.drains_while_publishers_are_blocked().await;
    site.link.close();
    site.publisher.close();
    site.tasks.stop().ask();
    site.tasks.join().await.unwrap();
}

impl Site {
    async fn has_replicas_and_spreads_connections(&mut self) {
        self.publish("the first").await;
        assert_eq!(self.rabbit.members(NAME).await, 3);
        self.receive(1).await;
        let more: Vec<Link> =
            (0..9).map(|_| Link::start(&self.config, &Health::default(), &self.metrics, &mut self.tasks)).collect();
        for link in &more {
            eventually("a consumer", || link.open(&[Queue::Wait], 1)).await.close().await;
        }
        let nodes = self.rabbit.connections().await;
        assert!(nodes.iter().filter(|connections| **connections > 0).count() > 1, "{nodes:?}");
        more.iter().for_each(Link::close);
    }

    /// The node that leads the queue dies, and channels that were never used before publish at that moment.
    async fn survives_its_leader(&mut self) {
        let leader = self.rabbit.leader_of(NAME).await;
        let fresh = std::mem::take(&mut self.fresh);
        self.rabbit.kill9(leader);
        let confirms =
            fresh.iter().map(|fresh| eventually("a fresh channel's confirm", || fresh.publish(letter("fresh"))));
        let confirmed = join_all(confirms).await.len();
        fresh.iter().for_each(Publisher::close);
        let confirmed = confirmed + self.publish_during(|_| {}).await;
        self.receive(confirmed).await;
        self.rabbit.start_again(leader).await;
    }

    /// The node that leads falls silent: the others have to elect, and whoever is connected to it has to notice. Then it
    /// is started anew, since one that wakes up may go on as if nothing had been.
    async fn survives_a_frozen_leader(&mut self) {
        let leader = self.rabbit.leader_of(NAME).await;
        let confirmed = self.publish_during(|rabbit| rabbit.pause(leader)).await;
        self.receive(confirmed).await;
        self.rabbit.kill9(leader);
        self.rabbit.start_again(leader).await;
    }

    /// One of three is left, and serves nobody; nothing that was confirmed is lost.
    async fn survives_a_minority(&mut self) {
        let confirmed = self.publish("before").await;
        for node in 0..2 {
            self.rabbit.kill9(node);
        }
        eventually("refusals", || async {
            match self.publisher.publish(letter("in the minority")).await {
                Ok(()) => Err("confirmed by a minority"),
                Err(_) => Ok(()),
            }
        })
        .await;
        self.rabbit.start_all().await;
        // What was not confirmed may be there as well.
        self.receive(confirmed).await;
        self.publish("together again").await;
        self.receive(1).await;
    }

    /// A real alarm blocks those who publish and nobody else.
    async fn drains_while_publishers_are_blocked(&mut self) {
        for what in ["memory", "disk"] {
            for _ in 0..20 {
                self.publish(what).await;
            }
            self.alarm(what, true).await;
            eventually("a blocked publisher", || async {
                let word = self.publisher.publish(letter("blocked")).await;
                if word.is_err() && !self.publisher.is_ready() { Ok(()) } else { Err(word) }
            })
            .await;
            self.receive(20).await;
            self.alarm(what, false).await;
            let began = Instant::now();
            self.publish("after the alarm").await;
            eprintln!("{what} alarm: publishes again after {:?}", began.elapsed());
            self.receive(1).await;
        }
    }

    async fn alarm(&self, what: &str, on: bool) {
        match what {
            "memory" => self.rabbit.memory_alarm(on).await,
            _ => self.rabbit.disk_alarm(on).await,
        }
    }

    /// Publishes until it is confirmed; says that one was.
    async fn publish(&self, body: &str) -> usize {
        eventually("a confirm", || self.publisher.publish(letter(body))).await;
        1
    }

    /// Publishes before, through and after a fault; how many were confirmed.
    async fn publish_during(&mut self, fault: impl FnOnce(&mut Rabbit)) -> usize {
        let mut confirmed = 0;
        for _ in 0..20 {
            confirmed += self.publish("before").await;
        }
        fault(&mut self.rabbit);
        let began = Instant::now();
        confirmed += self.publish("the first after").await;
        eprintln!("confirmed again after {:?}", began.elapsed());
        for _ in 0..20 {
            confirmed += self.publish("after").await;
        }
        confirmed
    }

    /// Receives and settles until the queue is empty; at least `count`, and what was never confirmed may come too.
    async fn receive(&self, count: usize) {
        let seen = Mutex::new(BTreeSet::new());
        // Each look has an inlet of its own: the last one may have died with its node.
        eventually("everything confirmed", || async {
            let looked = self.look().await;
            let mut seen = seen.lock().unwrap();
            seen.extend(looked);
            if seen.len() >= count { Ok(()) } else { Err(format!("{} of {count}", seen.len())) }
        })
        .await;
        eventually("an empty queue", || async {
            self.look().await;
            let left = self.rabbit.messages(NAME).await;
            if left == 0 { Ok(()) } else { Err(left) }
        })
        .await;
    }

    async fn look(&self) -> Vec<String> {
        let mut taken = Vec::new();
        let looking = async {
            let Ok(mut inlet) = self.link.open(&[SHARD], 100).await else {
                return;
            };
            let mut batch = Vec::new();
            let patience = Duration::from_secs(1);
            while let Ok(Ok(())) = tokio::time::timeout(patience, inlet.receive(&mut batch, 100, usize::MAX)).await {
                let tags: Vec<u64> = batch.iter().map(|delivery| delivery.tag).collect();
                if inlet.settle(&tags).await.is_err() {
                    break;
                }
                taken.extend(batch.drain(..).filter_map(|delivery| delivery.message_id));
            }
            inlet.close().await;
        };
        tokio::time::timeout(Duration::from_secs(20), looking).await.ok();
        taken
    }
}

fn letter(body: &str) -> Letter {
    let body = body.as_bytes().to_vec();
    Letter { to: Address::Queue(SHARD), id: Uuid::now_v7(), body, reply_to: None, trace: None }
}
