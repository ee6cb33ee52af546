//! Receiving and settling: batches, gaps, pauses, returns.
//!
//! **Invariant:** what is not settled comes back, once per close, in its place.

use std::time::Duration;

use leadline::broker::{Delivery, Letter, Publisher, Queue};
use tokio::time::{Instant, timeout};

use crate::harness::eventually::stays;
use crate::harness::queues::Queues;

use super::set_up::{Mode, Site, Wire, broker_url, eventually, in_time, is_silent, letter, receive};

async fn publish(publisher: &Publisher, queue: Queue, count: usize) {
    for n in 0..count {
        publisher.publish(letter(queue, &n.to_string())).await.unwrap();
    }
}

fn bodies(deliveries: &[Delivery]) -> Vec<String> {
    let text = |d: &Delivery| String::from_utf8(d.body.clone()).unwrap();
    deliveries.iter().map(text).collect()
}

fn tags(deliveries: &[Delivery]) -> Vec<u64> {
    deliveries.iter().map(|d| d.tag).collect()
}

#[tokio::test]
async fn a_batch_is_bounded_in_count_and_bytes_and_never_empty() {
    let mut site = Site::new();
    let publisher = site.publisher().await;
    let link = site.link();
    for body in ["aaaa", "bbbb", "cc", "d"] {
        publisher.publish(letter(Queue::Wait, body)).await.unwrap();
    }
    let mut inlet = link.open(&[Queue::Wait], 10).await.unwrap();
    loop {
        // Not before the broker has sent all four; else they go back, and we begin again.
        stays(Duration::from_millis(50), "a moment for the broker", async || true).await;
        let mut first = Vec::new();
        inlet.receive(&mut first, 1, 1).await.unwrap();
        assert_eq!(bodies(&first), ["aaaa"], "one is taken whatever its size");
        if inlet.arrived() == 3 {
            break;
        }
        inlet.close().await;
        inlet = link.open(&[Queue::Wait], 10).await.unwrap();
    }
    let mut batch = Vec::new();
    inlet.receive(&mut batch, 10, 6).await.unwrap();
    assert_eq!(bodies(&batch), ["bbbb", "cc"]);
    inlet.receive(&mut batch, 10, 6).await.unwrap();
    assert_eq!(bodies(&batch), ["bbbb", "cc", "d"]);
    inlet.close().await;
    drop((publisher, link));
    site.finish().await;
}

#[tokio::test]
async fn messages_pile_up_until_there_are_enough_or_somebody_waits_for_one() {
    let mut site = Site::new();
    let publisher = site.publisher().await;
    let link = site.link();
    let mut inlet = link.open(&[Queue::Wait], 10).await.unwrap();
    let (now, never) = (Instant::now(), Instant::now() + Duration::from_secs(3600));
    inlet.gather(now, 1).await.unwrap();
    assert_eq!(inlet.arrived(), 0, "a time that is over is not waited for");
    publish(&publisher, Queue::Wait, 2).await;
    in_time("two are enough", inlet.gather(never, 2)).await.unwrap();
    assert_eq!(inlet.arrived(), 2);
    let third = timeout(Duration::from_millis(300), inlet.gather(never, 3)).await;
    assert!(third.is_err(), "only two are there");
    let awaited = Letter { reply_to: Some("somebody".to_owned()), ..letter(Queue::Wait, "2") };
    publisher.publish(awaited).await.unwrap();
    in_time("somebody waits", inlet.gather(never, 100)).await.unwrap();
    in_time("and goes on waiting", inlet.gather(never, 100)).await.unwrap();
    assert_eq!(bodies(&receive(&mut inlet, 3).await), ["0", "1", "2"]);
    inlet.close().await;
    drop((publisher, link));
    site.finish().await;
}

#[tokio::test]
async fn settling_with_gaps_settles_exactly_what_it_names() {
    let mut site = Site::new();
    let publisher = site.publisher().await;
    let link = site.link();
    for shard in Queue::SHARDS {
        publish(&publisher, shard, 25).await;
    }
    let mut inlet = link.open(&Queue::SHARDS, 50).await.unwrap();
    let taken = receive(&mut inlet, 100).await;
    assert_eq!(tags(&taken), (1..=100).collect::<Vec<u64>>());
    let (even, odd): (Vec<u64>, Vec<u64>) = (1..=100).partition(|tag| tag % 2 == 0);
    let (kept, odd) = odd.split_at(10);
    inlet.settle(&even).await.unwrap();
    inlet.settle(odd).await.unwrap();
    inlet.settle(&[kept[0], kept[2]]).await.unwrap();
    inlet.close().await;

    let mut unsettled: Vec<(Queue, Vec<u8>)> = taken
        .into_iter()
        .filter(|d| kept.contains(&d.tag) && ![kept[0], kept[2]].contains(&d.tag))
        .map(|d| (d.queue, d.body))
        .collect();
    let mut inlet = link.open(&Queue::SHARDS, 50).await.unwrap();
    let back = receive(&mut inlet, 8).await;
    assert!(back.iter().all(|d| d.redelivered && d.delivery_count == 1));
    let mut back: Vec<(Queue, Vec<u8>)> = back.into_iter().map(|d| (d.queue, d.body)).collect();
    back.sort();
    unsettled.sort();
    assert_eq!(back, unsettled);
    assert!(is_silent(&mut inlet).await);
    inlet.close().await;
    drop((publisher, link));
    site.finish().await;
}

#[tokio::test]
async fn what_was_sent_before_an_answer_is_known_and_silence_is_no_answer() {
    let wire = Wire::new().await;
    let mut site = Site::new();
    site.config.url = wire.url().into();
    let publisher = site.publisher().await;
    let link = site.link();
    publish(&publisher, Queue::Wait, 3).await;
    let mut inlet = link.open(&[Queue::Wait], 10).await.unwrap();
    eventually("the broker has sent all three", async || inlet.caught_up().await.unwrap() == 3).await;
    assert_eq!((inlet.arrived(), inlet.settled_through()), (3, 0));
    assert_eq!(bodies(&receive(&mut inlet, 3).await), ["0", "1", "2"]);
    assert_eq!(inlet.caught_up().await.unwrap(), 3);
    inlet.settle(&[1, 3]).await.unwrap();
    assert_eq!(inlet.settled_through(), 1);
    inlet.settle(&[2]).await.unwrap();
    assert_eq!(inlet.settled_through(), 3);
    wire.set(Mode::Silent);
    assert!(inlet.caught_up().await.is_err());
    wire.set(Mode::Open);
    inlet.close().await;
    drop((publisher, link));
    site.finish().await;
}

#[tokio::test]
async fn a_pause_keeps_deliveries_and_a_resume_lets_new_ones_in() {
    let mut site = Site::new();
    let publisher = site.publisher().await;
    let link = site.link();
    publish(&publisher, Queue::Wait, 5).await;
    let mut inlet = link.open(&[Queue::Wait, Queue::Shard(0)], 10).await.unwrap();
    eventually("the broker has sent all five", async || inlet.caught_up().await.unwrap() == 5).await;
    let held = receive(&mut inlet, 2).await;
    inlet.pause().await.unwrap();
    inlet.pause().await.unwrap();
    publisher.publish(letter(Queue::Wait, "later")).await.unwrap();
    let arrived_before = inlet.arrived();
    let early = receive(&mut inlet, arrived_before).await;
    assert!(is_silent(&mut inlet).await);

    // Nobody else gets what is ours, and what is ours can still be settled.
    let mut other = link.open(&[Queue::Wait], 10).await.unwrap();
    let rest = receive(&mut other, 4 - arrived_before).await;
    assert!(bodies(&rest).contains(&"later".to_owned()));
    assert!(rest.iter().all(|d| d.delivery_count == 0), "{rest:?}");
    assert!(is_silent(&mut other).await);
    other.settle(&tags(&rest)).await.unwrap();
    other.close().await;
    inlet.settle(&tags(&held)).await.unwrap();
    inlet.settle(&tags(&early)).await.unwrap();

    inlet.resume().await.unwrap();
    inlet.resume().await.unwrap();
    publisher.publish(letter(Queue::Shard(0), "new")).await.unwrap();
    let new = receive(&mut inlet, 1).await;
    assert_eq!(bodies(&new), ["new"]);
    assert_eq!(new[0].delivery_count, 0);
    inlet.settle(&tags(&new)).await.unwrap();
    inlet.close().await;
    let mut inlet = link.open(&[Queue::Wait, Queue::Shard(0)], 10).await.unwrap();
    assert!(is_silent(&mut inlet).await, "everything was settled");
    inlet.close().await;
    drop((publisher, link));
    site.finish().await;
}

#[tokio::test]
async fn a_close_returns_deliveries_to_their_places() {
    let mut site = Site::new();
    let publisher = site.publisher().await;
    let link = site.link();
    publish(&publisher, Queue::Shard(1), 10).await;
    let queues = Queues::connect(&broker_url(), &site.config.prefix).await;
    for expected in 0..3 {
        let mut inlet = link.open(&[Queue::Shard(1)], 6).await.unwrap();
        let taken = receive(&mut inlet, 6).await;
        assert_eq!(bodies(&taken), ["0", "1", "2", "3", "4", "5"]);
        assert!(taken.iter().all(|d| d.delivery_count == expected), "{taken:?}");
        if expected == 2 {
            inlet.settle(&tags(&taken)).await.unwrap();
            let rest = receive(&mut inlet, 4).await;
            assert_eq!(bodies(&rest), ["6", "7", "8", "9"]);
            assert!(rest.iter().all(|d| d.delivery_count == 0));
            inlet.settle(&tags(&rest)).await.unwrap();
        }
        inlet.close().await;
        // A quorum queue hears of it a little later than whoever closed.
        let left = if expected == 2 { 0 } else { 10 };
        eventually("what was handed out is back", async || queues.depth("s01").await == Some(left)).await;
    }
    drop((publisher, link));
    site.finish().await;
}

#[tokio::test]
async fn what_is_settled_is_acknowledged_while_more_is_waited_for() {
    let wire = Wire::new().await;
    let mut site = Site::new();
    let publisher = site.publisher().await;
    publish(&publisher, Queue::Wait, 5).await;
    site.config.url = wire.url().into();
    let link = site.link();
    let mut inlet = link.open(&[Queue::Wait], 100).await.unwrap();
    let taken = receive(&mut inlet, 5).await;
    // One after the other, with a gap that is filled and one that stays.
    for n in [0, 2, 1, 4] {
        inlet.settle(&[taken[n].tag]).await.unwrap();
    }
    assert!(is_silent(&mut inlet).await);
    // The answer to a channel opened and closed comes after the acknowledgements have arrived.
    assert!(link.open(&[Queue::Dead], 1).await.unwrap().close().await);
    wire.set(Mode::Cut);
    inlet.close().await;
    wire.set(Mode::Open);
    let mut inlet = in_time("open again", link.open(&[Queue::Wait], 100)).await.unwrap();
    assert_eq!(bodies(&receive(&mut inlet, 1).await), ["3"]);
    assert!(is_silent(&mut inlet).await);
    inlet.settle(&[1]).await.unwrap();
    inlet.close().await;
    drop((publisher, link));
    site.finish().await;
}

#[tokio::test]
async fn a_cut_connection_ends_the_inlet_and_the_deliveries_come_back() {
    let wire = Wire::new().await;
    let mut site = Site::new();
    let publisher = site.publisher().await;
    publish(&publisher, Queue::Wait, 3).await;
    site.config.url = wire.url().into();
    let link = site.link();
    let mut inlet = link.open(&[Queue::Wait], 10).await.unwrap();
    let taken = receive(&mut inlet, 3).await;
    wire.set(Mode::Cut);
    let mut more = Vec::new();
    let ended = in_time("the end", inlet.receive(&mut more, 1, 1)).await;
    assert!(ended.is_err() && more.is_empty());
    assert!(inlet.settle(&tags(&taken)).await.is_err());
    inlet.close().await;
    wire.set(Mode::Open);
    let mut inlet = in_time("open again", link.open(&[Queue::Wait], 10)).await.unwrap();
    let again = receive(&mut inlet, 3).await;
    assert!(again.iter().all(|d| d.redelivered && d.delivery_count == 1));
    inlet.settle(&tags(&again)).await.unwrap();
    inlet.close().await;
    drop((publisher, link));
    site.finish().await;
}
