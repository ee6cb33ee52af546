//! Replies: from a worker's hand to a waiter's.
//!
//! **Invariant:** a reply wakes its waiter or is counted as late, lost or unreadable.

use std::time::Duration;

use leadline::broker::{Address, Letter};
use leadline::lead::Ending;
use leadline::reply::{Listener, Reply, Waiters, send};
use tokio::time::Instant;
use uuid::Uuid;

use super::set_up::{Mode, Site, Wire, eventually};

fn reply() -> Reply {
    Reply {
        v: Reply::VERSION,
        id: Uuid::now_v7(),
        ending: Ending::Recorded,
        reason: None,
        click_id: Some("click".to_owned()),
        link_id: Some(Uuid::now_v7()),
        brought: false,
        trace: None,
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

#[tokio::test]
async fn a_reply_makes_the_round_trip_also_after_a_reconnect() {
    let wire = Wire::new().await;
    let mut site = Site::new();
    let publisher = site.publisher().await;
    site.config.url = wire.url().into();
    let link = site.link();
    let waiters = Waiters::new(10, 1, &site.metrics);
    let listener = Listener::start(&link, &waiters, &site.metrics, &mut site.tasks);
    for round in 0..2 {
        eventually("a reply queue", async || listener.queue().is_some()).await;
        let queue = listener.queue().unwrap();
        let sent = reply();
        let waiter = waiters.register(Uuid::now_v7(), sent.id).unwrap();
        send(&publisher, &site.metrics, queue.clone(), &sent);
        assert_eq!(waiter.wait(soon()).await, Some(sent));

        send(&publisher, &site.metrics, queue.clone(), &reply());
        let nonsense = Letter {
            to: Address::Reply(queue.clone()),
            id: Uuid::now_v7(),
            body: b"nonsense".to_vec(),
            reply_to: None,
            trace: None,
        };
        let waiter = waiters.register(Uuid::now_v7(), nonsense.id).unwrap();
        assert!(publisher.post(nonsense));
        let count = |word: &str| site.metrics.replies.with_label_values(&[word]).get();
        eventually("counted", async || ["delivered", "late", "unreadable"].map(count) == [round + 1; 3]).await;
        drop(waiter);
        assert_eq!(waiters.count(), 0);
        wire.set(Mode::Cut);
        eventually("the queue is gone", async || listener.queue().is_none()).await;
        // Nobody listens there any more; harmless.
        send(&publisher, &site.metrics, queue, &reply());
        publisher.drained().await;
        wire.set(Mode::Open);
    }
    drop((publisher, link, listener));
    site.finish().await;
}
