//! Publishing: confirms, full queues, lost and silent connections.
//!
//! **Invariant:** what was confirmed is in its queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use leadline::broker::{Address, Letter, PublishError, Queue, Topology};
use leadline::lead::Trace;
use leadline::lifecycle::Engine;
use tokio::time::Instant;
use uuid::Uuid;

use crate::harness::eventually::stays;

use super::set_up::{BLOCKED, Mode, Site, UNBLOCKED, Wire, channel, eventually, in_time, is_silent, letter, receive};

#[tokio::test]
async fn confirmed_letters_are_in_their_queues_with_their_properties() {
    let mut site = Site::new();
    let publisher = site.publisher().await;
    let link = site.link();
    let id = Uuid::now_v7();
    let trace = Some(Box::new(Trace::new("00-1-2-01".to_owned(), "a=1".to_owned())));
    let reply_to = Some("somewhere".to_owned());
    let sent = Letter { id, reply_to, trace: trace.clone(), ..letter(Queue::Shard(3), "hello") };
    publisher.publish(sent).await.unwrap();
    let mut inlet = link.open(&Queue::SHARDS, 10).await.unwrap();
    let delivery = receive(&mut inlet, 1).await.remove(0);
    assert_eq!(delivery.queue, Queue::Shard(3));
    assert_eq!(delivery.body, b"hello");
    assert_eq!(delivery.message_id, Some(id.to_string()));
    assert_eq!(delivery.reply_to.as_deref(), Some("somewhere"));
    assert_eq!((delivery.delivery_count, delivery.redelivered), (0, false));
    assert_eq!((delivery.death, delivery.trace), (None, trace));
    inlet.settle(&[delivery.tag]).await.unwrap();
    inlet.close().await;
    drop((publisher, link));
    site.finish().await;
}

#[tokio::test]
async fn what_cannot_be_routed_lands_in_the_dead_queue() {
    let mut site = Site::new();
    let publisher = site.publisher().await;
    publisher.publish(letter(Queue::Shard(200), "lost?")).await.unwrap();
    publisher.publish(letter(Queue::Dead, "dead")).await.unwrap();
    let link = site.link();
    let mut inlet = link.open(&[Queue::Dead], 10).await.unwrap();
    let bodies: Vec<Vec<u8>> = receive(&mut inlet, 2).await.into_iter().map(|d| d.body).collect();
    assert_eq!(bodies, [b"lost?".to_vec(), b"dead".to_vec()]);
    inlet.close().await;
    drop((publisher, link));
    site.finish().await;
}

#[tokio::test]
async fn a_full_queue_refuses() {
    let mut site = Site::new();
    site.config.queue_max_length = 3;
    let publisher = site.publisher().await;
    let mut words = Vec::new();
    // A quorum queue notices a little late that it is full.
    eventually("a refusal", async || {
        words.push(publisher.publish(letter(Queue::Wait, "x")).await);
        words.last() == Some(&Err(PublishError::Full))
    })
    .await;
    let confirmed = words.iter().filter(|word| word.is_ok()).count();
    assert!(confirmed >= 3, "{words:?}");
    let link = site.link();
    let mut inlet = link.open(&[Queue::Wait], 100).await.unwrap();
    let tags: Vec<u64> = receive(&mut inlet, confirmed).await.iter().map(|d| d.tag).collect();
    assert!(is_silent(&mut inlet).await);
    inlet.settle(&tags).await.unwrap();
    inlet.acknowledge().await.unwrap();
    eventually("room again", async || publisher.publish(letter(Queue::Wait, "x")).await.is_ok()).await;
    inlet.close().await;
    drop((publisher, link));
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_loses_no_confirmed_letter_and_comes_back() {
    let wire = Wire::new().await;
    let mut site = Site::new();
    site.config.publishers = 2;
    site.config.window = 32;
    site.config.url = wire.url().into();
    let publisher = site.publisher().await;
    let (over, confirms) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..64 {
        let (publisher, over, confirms) = (publisher.clone(), Arc::clone(&over), Arc::clone(&confirms));
        callers.spawn(async move {
            let mut confirmed = Vec::new();
            for n in 0_u32.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let body = format!("{caller}-{n}");
                match publisher.publish(letter(Queue::Shard(u8::try_from(n % 4).unwrap()), &body)).await {
                    Ok(()) => confirmed.push(body),
                    Err(_) => publisher.ready().await,
                }
                confirms.store(confirms.load(Ordering::Relaxed).max(confirmed.len()), Ordering::Relaxed);
            }
            confirmed
        });
    }
    for _ in 0..3 {
        let before = confirms.load(Ordering::Relaxed);
        eventually("confirms flow", async || confirms.load(Ordering::Relaxed) > before + 5).await;
        wire.set(Mode::Cut);
        eventually("away", async || !publisher.is_ready()).await;
        let word = publisher.publish(letter(Queue::Wait, "never")).await;
        assert_eq!(word, Err(PublishError::Away));
        assert!(!site.health.is_up(Engine::Rabbitmq));
        wire.set(Mode::Open);
        in_time("ready again", publisher.ready()).await;
    }
    over.store(true, Ordering::Relaxed);
    let confirmed: Vec<String> = callers.join_all().await.concat();
    publisher.publish(letter(Queue::Wait, "after")).await.unwrap();
    assert!(site.health.is_up(Engine::Rabbitmq));

    let link = site.link();
    let mut inlet = link.open(&Queue::SHARDS, 0).await.unwrap();
    let mut missing: std::collections::HashSet<String> = confirmed.into_iter().collect();
    assert!(!missing.is_empty());
    while !missing.is_empty() {
        for delivery in receive(&mut inlet, 1).await {
            missing.remove(&String::from_utf8(delivery.body).unwrap());
        }
    }
    inlet.close().await;
    drop((publisher, link));
    site.finish().await;
}

#[tokio::test]
async fn a_silent_connection_is_unconfirmed_holds_its_places_and_is_replaced() {
    let wire = Wire::new().await;
    let mut site = Site::new();
    site.config.url = wire.url().into();
    site.config.heartbeat = Duration::from_secs(3);
    site.config.confirm_deadline = Duration::from_millis(200);
    site.config.connect_timeout = Duration::from_millis(300);
    site.config.window = 2;
    let publisher = site.publisher().await;
    wire.set(Mode::Silent);
    for expected in [PublishError::Unconfirmed, PublishError::Unconfirmed, PublishError::Crowded] {
        let word = publisher.publish(letter(Queue::Wait, "?")).await;
        assert_eq!(word, Err(expected));
    }
    assert!(!publisher.post(letter(Queue::Wait, "?")));
    eventually("the loss is noticed", async || !publisher.is_ready()).await;
    stays(Duration::from_secs(3), "no connection comes about", async || !publisher.is_ready()).await;
    wire.set(Mode::Open);
    in_time("ready again", publisher.ready()).await;
    eventually("a confirm in time", async || publisher.publish(letter(Queue::Wait, "!")).await.is_ok()).await;
    drop(publisher);
    site.finish().await;
}

#[tokio::test]
async fn a_blocked_connection_is_away_at_once_and_does_not_delay_the_stop() {
    let wire = Wire::new().await;
    let mut site = Site::new();
    site.config.url = wire.url().into();
    site.config.confirm_deadline = Duration::from_secs(5);
    let publisher = site.publisher().await;
    publisher.publish(letter(Queue::Wait, "before")).await.unwrap();
    wire.set(BLOCKED);
    eventually("blocked", async || !publisher.is_ready()).await;
    let started = Instant::now();
    let word = publisher.publish(letter(Queue::Wait, "never")).await;
    assert_eq!(word, Err(PublishError::Away));
    assert!(!publisher.post(letter(Queue::Wait, "never")));
    assert!(started.elapsed() < site.config.confirm_deadline);
    assert!(!site.health.is_up(Engine::Rabbitmq));
    wire.set(UNBLOCKED);
    in_time("takes messages again", publisher.ready()).await;
    publisher.publish(letter(Queue::Wait, "after")).await.unwrap();
    wire.set(BLOCKED);
    eventually("blocked", async || !publisher.is_ready()).await;
    drop(publisher);
    let started = Instant::now();
    let (ended, config) = site.end().await;
    assert_eq!(ended, Ok(Vec::new()));
    assert!(started.elapsed() < config.confirm_deadline);
    super::set_up::delete(&config).await;
}

#[tokio::test]
async fn a_deleted_queue_ends_its_inlets_and_comes_back_with_the_next_start() {
    let mut site = Site::new();
    let publisher = site.publisher().await;
    let link = site.link();
    let mut inlet = link.open(&[Queue::Wait], 10).await.unwrap();
    let (_connection, other) = channel().await;
    let name = Topology::new(&site.config).queue_name(Queue::Wait);
    let options = lapin::options::QueueDeleteOptions::default();
    other.queue_delete(name.into(), options).await.unwrap();
    let mut taken = Vec::new();
    let received = in_time("the end", inlet.receive(&mut taken, 1, 1)).await;
    assert!(received.is_err());
    inlet.close().await;
    assert!(link.open(&[Queue::Wait], 10).await.is_err());
    drop((publisher, link));
    let (ended, config) = site.end().await;
    assert_eq!(ended, Ok(Vec::new()));
    let mut again = Site::new();
    again.config = config;
    let publisher = again.publisher().await;
    publisher.publish(letter(Queue::Wait, "x")).await.unwrap();
    drop(publisher);
    again.finish().await;
}

#[tokio::test]
async fn post_never_waits_and_draining_waits_for_confirms() {
    let mut site = Site::new();
    site.config.window = 8;
    let publisher = site.publisher().await;
    let posted = (0..100)
        .filter(|n| {
            publisher.post(Letter {
                to: Address::Queue(Queue::Wait),
                id: Uuid::now_v7(),
                body: n.to_string().into_bytes(),
                reply_to: None,
                trace: None,
            })
        })
        .count();
    assert_eq!(posted, 8, "the window bounds what is under way");
    in_time("drained", publisher.drained()).await;
    let link = site.link();
    let mut inlet = link.open(&[Queue::Wait], 10).await.unwrap();
    assert_eq!(receive(&mut inlet, 8).await.len(), 8);
    publisher.close();
    eventually("closed", async || !publisher.is_ready()).await;
    inlet.close().await;
    drop(link);
    site.finish().await;
}
