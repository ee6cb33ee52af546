//! A visit looks, and leaves everything as it was.
//!
//! **Invariant:** what a visit asked for can be told from nothing afterwards.

use lapin::options::QueueDeleteOptions;
use lapin::types::{AMQPValue, FieldTable};
use leadline::broker::{BrokerError, Depth, Node, Queue, Topology, Visit};
use leadline::config;

use super::set_up::{BLOCKED, Site, Wire, channel, in_time, letter, receive};

async fn visit(config: &config::Broker) -> Visit {
    let node = Node::all(config).unwrap().remove(0);
    in_time("a visit", node.visit()).await.unwrap()
}

#[tokio::test]
async fn a_broker_says_who_it_is_before_anybody_logs_in() {
    let mut config = Site::new().config;
    let url = super::set_up::broker_url();
    let (_, place) = url.rsplit_once('@').unwrap();
    config.url = format!("amqp://nobody:wrong@{place}").into();
    let node = Node::all(&config).unwrap().remove(0);
    let greeting = node.greet().await.unwrap();
    assert_eq!(greeting.product, "RabbitMQ");
    assert!(greeting.version.starts_with(|c: char| c.is_ascii_digit()), "{greeting:?}");
    assert!(matches!(node.visit().await, Err(BrokerError::Refused(_))));
}

#[tokio::test]
async fn nothing_is_made_by_asking_for_it() {
    let site = Site::new();
    for _ in 0..2 {
        let visit = visit(&site.config).await;
        assert_eq!(visit.depth(Queue::Shard(0)).await.unwrap(), None);
        assert!(!visit.has_exchange(&visit.topology().exchange()).await.unwrap());
        visit.may_listen().await.unwrap();
        assert_eq!(visit.may_publish("").await.unwrap(), None);
        visit.close().await;
    }
}

#[tokio::test]
async fn rights_are_shown_without_being_used() {
    let mut site = Site::new();
    let publisher = site.publisher().await;
    publisher.publish(letter(Queue::Wait, "kept")).await.unwrap();
    let visit = visit(&site.config).await;
    for queue in Queue::ALL {
        visit.redeclare_queue(queue).await.unwrap();
        visit.may_consume(queue).await.unwrap();
    }
    let topology = Topology::new(&site.config);
    for exchange in [topology.exchange(), topology.dead_exchange()] {
        assert!(visit.has_exchange(&exchange).await.unwrap());
        visit.redeclare_exchange(&exchange).await.unwrap();
        assert_eq!(visit.may_publish(&exchange).await.unwrap(), None);
    }
    assert_eq!(visit.depth(Queue::Wait).await.unwrap(), Some(Depth { ready: 1, consumers: 0 }));
    assert_eq!(visit.depth(Queue::Dead).await.unwrap(), Some(Depth { ready: 0, consumers: 0 }));
    visit.close().await;
    let link = site.link();
    let mut inlet = link.open(&[Queue::Wait], 10).await.unwrap();
    let taken = receive(&mut inlet, 1).await;
    assert_eq!((taken[0].body.as_slice(), taken[0].redelivered), (b"kept".as_slice(), false));
    drop((publisher, link, inlet));
    site.finish().await;
}

#[tokio::test]
async fn other_arguments_are_found() {
    let mut site = Site::new();
    let publisher = site.publisher().await;
    let name = Topology::new(&site.config).queue_name(Queue::Shard(1));
    let (_connection, other) = channel().await;
    other.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(5));
    let options = lapin::options::QueueDeclareOptions::durable();
    other.queue_declare(name.as_str().into(), options, arguments).await.unwrap();
    let visit = visit(&site.config).await;
    let error = visit.redeclare_queue(Queue::Shard(1)).await.unwrap_err();
    assert!(matches!(&error, BrokerError::Mismatch { queue, .. } if *queue == name), "{error}");
    visit.redeclare_queue(Queue::Shard(0)).await.unwrap();
    visit.close().await;
    drop(publisher);
    site.finish().await;
}

#[tokio::test]
async fn a_broker_that_blocks_says_why() {
    let (mut site, wire) = (Site::new(), Wire::new().await);
    let publisher = site.publisher().await;
    let mut config = site.config.clone();
    config.url = wire.url().into();
    let visit = visit(&config).await;
    visit.depth(Queue::Wait).await.unwrap();
    let exchange = visit.topology().exchange();
    wire.set(BLOCKED);
    let told = in_time("the reason", async {
        loop {
            if let Some(reason) = visit.may_publish(&exchange).await.unwrap() {
                return reason;
            }
        }
    });
    assert_eq!(told.await, "low on memory");
    in_time("the end of the visit", visit.close()).await;
    drop(publisher);
    site.finish().await;
}
