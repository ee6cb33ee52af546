//! The API's side: keeps a reply queue open and wakes waiters.
//!
//! Enters: the link and the waiters. Leaves: the name of the current reply queue, and woken waiters.
//! After a reconnect the queue has another name; replies to the old one are lost, and their waiters
//! time out, which is harmless.
//!
//! **Invariant:** a name is given out only while its queue is being listened to.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Reply, Waiters};
use crate::broker::{BrokerError, Link, ReplyDelivery, ReplyInlet};
use crate::lifecycle::{Delays, Stop, Tasks};
use crate::telemetry::Metrics;

const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// A handle on the listening task; clones share it.
///
/// It listens until the last handle is dropped, so that requests under way when the stop is asked for still get their replies;
/// waiters that are left then time out.
#[derive(Debug, Clone)]
pub struct Listener {
    queue: watch::Receiver<Option<String>>,
    _held: Arc<DropGuard>,
}

impl Listener {
    /// Starts listening in the background.
    pub fn start(link: &Link, waiters: &Waiters, metrics: &Metrics, tasks: &mut Tasks) -> Self {
        let closing = CancellationToken::new();
        let (name, queue) = watch::channel(None);
        let ears = Ears { link: link.clone(), waiters: waiters.clone(), metrics: metrics.clone(), name };
        tasks.spawn("replies", ears.run(closing.clone(), tasks.stop().clone()));
        Self { queue, _held: Arc::new(closing.drop_guard()) }
    }

    /// The reply queue's name for `reply_to`; `None` while the broker is away.
    #[must_use]
    pub fn queue(&self) -> Option<String> {
        self.queue.borrow().clone()
    }

    /// The same, waiting for a queue until then: at a start, or just after a reconnect. Cancel-safe.
    pub async fn queue_by(&self, until: Instant) -> Option<String> {
        let mut queue = self.queue.clone();
        let open = timeout_at(until, queue.wait_for(Option::is_some)).await;
        open.ok()?.ok()?.clone()
    }
}

struct Ears {
    link: Link,
    waiters: Waiters,
    metrics: Metrics,
    name: watch::Sender<Option<String>>,
}

impl Ears {
    async fn run(self, closing: CancellationToken, stop: Stop) {
        let mut delays = Delays::new(PAUSE_MIN, PAUSE_MAX);
        while !closing.is_cancelled() {
            let opened = closing.run_until_cancelled(self.link.open_replies()).await;
            match opened {
                None => break,
                Some(Ok(inlet)) => {
                    delays.reset();
                    self.listen(inlet, &closing).await;
                }
                Some(Err(error)) => tracing::debug!(%error, "no reply queue"),
            }
            let pause = tokio::time::sleep(delays.next());
            closing.run_until_cancelled(pause).await;
        }
        drop(self);
        stop.asked().await;
    }

    async fn listen(&self, mut inlet: ReplyInlet, closing: &CancellationToken) {
        self.name.send_replace(Some(inlet.queue().to_owned()));
        let ended = closing.run_until_cancelled(self.wake_all(&mut inlet)).await;
        self.name.send_replace(None);
        if let Some(error) = ended {
            tracing::debug!(%error, "reply queue lost");
        }
        inlet.close().await;
    }

    async fn wake_all(&self, inlet: &mut ReplyInlet) -> BrokerError {
        let mut arrived = Vec::new();
        loop {
            if let Err(error) = inlet.receive(&mut arrived).await {
                return error;
            }
            for delivery in arrived.drain(..) {
                let result = self.wake(&delivery);
                self.metrics.replies.with_label_values(&[result]).inc();
            }
        }
    }

    fn wake(&self, delivery: &ReplyDelivery) -> &'static str {
        if delivery.id.is_some_and(|id| !self.waiters.has(id)) {
            return "late";
        }
        match Reply::decode(&delivery.body) {
            Ok(reply) => {
                if self.waiters.wake(reply) {
                    "delivered"
                } else {
                    "late"
                }
            }
            Err(error) => {
                tracing::debug!(%error, "unreadable reply");
                "unreadable"
            }
        }
    }
}
