//! When lanes beyond the first join in.
//!
//! One lane makes the largest batches, which cost the least per lead; two keep `PostgreSQL` busy while
//! one of them waits for it. So the others only receive while somebody's batches are full: enough is
//! waiting for everyone. They leave once no batch has been full for a while. When messages bring many leads each, they are sent
//! fewer of them: what lanes were sent ahead is most of a worker's memory, and the same leads do.
//!
//! **Invariant:** the first lane of each kind always receives; nothing waits for a lane that rests.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// No full batch for so long: the others leave.
const CALM: Duration = Duration::from_secs(5);

/// What the lanes of one kind know of the queue behind them; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Pressure(watch::Sender<Option<Full>>);

/// The last full batch.
#[derive(Debug, Clone, Copy)]
struct Full {
    at: Instant,
    messages: usize,
    leads: usize,
}

impl Pressure {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// A batch was full: so many messages brought so many leads.
    pub(super) fn note(&self, messages: usize, leads: usize) {
        self.0.send_replace(Some(Full { at: Instant::now(), messages, leads }));
    }

    /// Waits until a batch was full. Cancel-safe.
    pub(super) async fn felt(&self) {
        let mut last = self.0.subscribe();
        // It cannot be closed: `self` keeps the sender.
        drop(last.wait_for(|last| last.is_some_and(|full| full.at.elapsed() < CALM)).await);
    }

    /// Whether no batch has been full for a while.
    pub(super) fn is_over(&self) -> bool {
        self.0.borrow().is_none_or(|full| full.at.elapsed() >= CALM)
    }

    /// How many messages bring as many leads as `prefetch` messages with one each would, by the last full batch.
    pub(super) fn share(&self, prefetch: u16) -> u16 {
        let (messages, leads) = self.0.borrow().map_or((1, 1), |full| (full.messages, full.leads));
        let share = (usize::from(prefetch) * messages).div_ceil(leads.max(1));
        u16::try_from(share).unwrap_or(u16::MAX).clamp(1, prefetch.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_joins_is_sent_as_many_leads_in_fewer_messages() {
        let pressure = Pressure::new();
        assert_eq!(pressure.share(320), 320);
        for (messages, leads, share) in [(512, 512, 320), (34, 512, 22), (1, 16, 20), (0, 0, 1)] {
            pressure.note(messages, leads);
            assert_eq!(pressure.share(320), share, "{messages} messages with {leads} leads");
        }
        pressure.note(1, 16);
        assert_eq!(pressure.share(1), 1);
    }
}
