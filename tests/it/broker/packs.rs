//! Letters that travel together: one message for the broker, as many deliveries for the worker.
//!
//! **Invariant:** a message that brought several comes back whole until the last of them is settled.

use std::collections::BTreeSet;
use std::time::Duration;

use leadline::broker::{Delivery, Letter, Publisher, Queue};
use leadline::lead::Ending;
use leadline::reply::{Listener, Reply, Waiters, send};
use tokio::time::Instant;
use uuid::Uuid;

use super::set_up::{Site, eventually, is_silent, letter, receive};

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

/// Orders letters in one moment and awaits their confirms.
async fn publish(publisher: &Publisher, letters: Vec<Letter>) {
    let mut ordered = Vec::new();
    for letter in letters {
        ordered.push(publisher.order(letter, soon()).await);
    }
    for mut one in ordered {
        one.confirmed().await.unwrap();
    }
}

fn seen(deliveries: &[Delivery]) -> Vec<(Option<String>, &[u8])> {
    deliveries.iter().map(|delivery| (delivery.message_id.clone(), delivery.body.as_slice())).collect()
}

#[tokio::test]
async fn letters_of_one_moment_are_few_messages_and_come_back_whole() {
    let mut site = Site::new();
    let publisher = site.publisher().await;
    let letters: Vec<Letter> = (0..40).map(|n| letter(Queue::Shard(0), &format!("{n}\n"))).collect();
    let expected: Vec<_> = letters.iter().map(|letter| (Some(letter.id.to_string()), letter.body.clone())).collect();
    publish(&publisher, letters).await;
    let link = site.link();
    let mut inlet = link.open(&Queue::SHARDS, 100).await.unwrap();
    let all = receive(&mut inlet, 40).await;
    assert_eq!(seen(&all), expected.iter().map(|(id, body)| (id.clone(), body.as_slice())).collect::<Vec<_>>());
    let messages: BTreeSet<u64> = all.iter().map(|delivery| delivery.tag).collect();
    assert!(messages.len() < 10, "{messages:?}");
    assert!(all.iter().all(|delivery| delivery.queue == Queue::Shard(0) && delivery.reply_to.is_none()));

    let of_the_first = all.iter().take_while(|delivery| delivery.tag == 1).count();
    assert!(of_the_first > 1);
    let all_but_one: Vec<u64> = all.iter().skip(1).map(|delivery| delivery.tag).collect();
    inlet.settle(&all_but_one).await.unwrap();
    assert_eq!(inlet.settled_through(), 0);
    inlet.close().await;
    let mut inlet = link.open(&Queue::SHARDS, 100).await.unwrap();
    let again = receive(&mut inlet, of_the_first).await;
    assert_eq!(seen(&again), seen(&all[..of_the_first]));
    assert!(again.iter().all(|delivery| delivery.redelivered && delivery.delivery_count == 1));
    inlet.settle(&vec![1; of_the_first]).await.unwrap();
    assert!(is_silent(&mut inlet).await);
    inlet.close().await;
    drop((publisher, link));
    site.finish().await;
}

#[tokio::test]
async fn letters_with_and_without_somebody_waiting_travel_apart() {
    let mut site = Site::new();
    let publisher = site.publisher().await;
    let letters = (0..9).map(|n| {
        let reply_to = ["", "r", "s"][n % 3];
        Letter { reply_to: Some(reply_to.to_owned()).filter(|name| !name.is_empty()), ..letter(Queue::Shard(2), "x") }
    });
    publish(&publisher, letters.collect()).await;
    let link = site.link();
    let mut inlet = link.open(&Queue::SHARDS, 100).await.unwrap();
    let all = receive(&mut inlet, 9).await;
    let kinds: BTreeSet<(u64, Option<&str>)> = all.iter().map(|one| (one.tag, one.reply_to.as_deref())).collect();
    assert_eq!(kinds.len(), 3, "{kinds:?}");
    inlet.close().await;
    drop((publisher, link));
    site.finish().await;
}

#[tokio::test]
async fn replies_of_one_moment_travel_together_and_each_wakes_its_waiter() {
    let mut site = Site::new();
    let publisher = site.publisher().await;
    let link = site.link();
    let waiters = Waiters::new(100, 1, &site.metrics);
    let listener = Listener::start(&link, &waiters, &site.metrics, &mut site.tasks);
    eventually("a reply queue", async || listener.queue().is_some()).await;
    let replies: Vec<Reply> = (0..40)
        .map(|_| Reply {
            v: Reply::VERSION,
            id: Uuid::now_v7(),
            ending: Ending::Recorded,
            reason: None,
            click_id: None,
            link_id: None,
            brought: false,
            trace: None,
        })
        .collect();
    let waiting: Vec<_> = replies.iter().map(|reply| waiters.register(Uuid::nil(), reply.id).unwrap()).collect();
    for reply in &replies {
        send(&publisher, &site.metrics, listener.queue().unwrap(), reply);
    }
    for (reply, waiter) in replies.into_iter().zip(waiting) {
        assert_eq!(waiter.wait(soon()).await, Some(reply));
    }
    let messages = site.metrics.message_letters.with_label_values(&[] as &[&str]).get_sample_count();
    assert!(messages < 10, "{messages}");
    drop((publisher, link, listener));
    site.finish().await;
}
