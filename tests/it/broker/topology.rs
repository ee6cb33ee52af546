//! Declaring: as often as wanted, and never over something else.
//!
//! **Invariant:** a difference stops the start, names both sides, and leaves the queue as it was.

use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use leadline::broker::{Queue, Topology};
use leadline::lifecycle::{Ended, Tasks};

use super::set_up::{Site, channel, in_time, letter, receive};

#[tokio::test]
async fn declaring_again_changes_nothing() {
    let mut site = Site::new();
    let first = site.publisher().await;
    first.publish(letter(Queue::Wait, "kept")).await.unwrap();
    let second = site.publisher().await;
    second.publish(letter(Queue::Wait, "more")).await.unwrap();
    let link = site.link();
    let mut inlet = link.open(&[Queue::Wait], 10).await.unwrap();
    let bodies: Vec<Vec<u8>> = receive(&mut inlet, 2).await.into_iter().map(|d| d.body).collect();
    assert_eq!(bodies, [b"kept", b"more"]);
    drop((first, second, link, inlet));
    site.finish().await;
}

#[tokio::test]
async fn other_arguments_stop_the_start_and_are_left_alone() {
    let mut site = Site::new();
    let name = Topology::new(&site.config).queue_name(Queue::Shard(2));
    let (_connection, other) = channel().await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(7));
    let options = QueueDeclareOptions::durable();
    let declare = || other.queue_declare(name.as_str().into(), options, arguments.clone());
    declare().await.unwrap();

    let publisher = leadline::broker::Publisher::start(&site.config, &site.health, &site.metrics, &mut site.tasks);
    let tasks = std::mem::replace(&mut site.tasks, Tasks::new(site.stop.clone()));
    in_time("the stop", site.stop.asked()).await;
    drop(publisher);
    let Err(Ended::Failed("publisher", why)) = tasks.join().await else {
        panic!("the publisher should have given up");
    };
    for part in [
        name.as_str(),
        "ours: durable",
        "x-delivery-limit=1000000",
        "x-overflow=reject-publish",
        "PRECONDITION_FAILED - inequivalent arg",
    ] {
        assert!(why.contains(part), "{part} is not in: {why}");
    }

    declare().await.expect("the queue is as it was");
    other.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    super::set_up::delete(&site.config).await;
}

#[tokio::test]
async fn a_refused_login_and_an_unusable_address_stop_the_start() {
    let url = super::set_up::broker_url();
    let wrong = url.replacen("guest:guest@", "guest:wrong@", 1);
    assert_ne!(url, wrong, "this test expects the user guest");
    for (url, said) in [(wrong.as_str(), "ACCESS_REFUSED"), ("http://guest:guest@127.0.0.1/%2f", "broker.url")] {
        let mut site = Site::new();
        site.config.url = url.into();
        let link = site.link();
        in_time("the stop", site.stop.asked()).await;
        drop(link);
        let (ended, _) = site.end().await;
        let Err(Ended::Failed("link", why)) = ended else {
            panic!("the link should have given up: {ended:?}");
        };
        assert!(why.contains(said), "{why}");
        assert!(!why.contains("wrong"), "{why}");
    }
}
