//! What happened: how long the queues were, and how old the oldest lead that waited.
//!
//! Enters: how many messages were ready whenever RabbitMQ was asked; from the rows, when each lead was accepted and when the
//! transaction that recorded it began. Leaves: both sides of the same moments.
//!
//! **Invariant:** ages come from the rows, so they are exact to the length of one transaction, however seldom somebody looked.

use std::time::{Duration, Instant};

use crate::Outcome;
use crate::ground::Queues;
use crate::stats::median;

const LOOKED_EVERY: Duration = Duration::from_millis(250);
/// An age is the median of so many seconds, or of half of what there is.
const AGES_OF_S: f64 = 1.0;

/// One look at the queues.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// Seconds since the begin.
    at: f64,
    messages: u32,
}

/// One moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// Seconds since the begin.
    pub(super) at: f64,
    /// Messages ready in the shards.
    pub(super) messages: u32,
    /// Leads accepted and not being recorded yet, in queues and in the workers' hands.
    pub(super) leads: usize,
    /// Seconds since the oldest of them was accepted; 0 if there is none.
    pub(super) oldest: f64,
}

/// The whole run.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) moments: Vec<Moment>,
    /// When each lead was accepted and when its recording began.
    leads: Vec<(f64, f64)>,
}

/// Asks RabbitMQ again and again, until so many seconds are over.
pub(super) async fn look(queues: &Queues, began: Instant, seconds: f64) -> Outcome<Vec<Look>> {
    let connection = queues.connect().await?;
    let channel = connection.create_channel().await?;
    let mut every = tokio::time::interval(LOOKED_EVERY);
    let mut looks = Vec::new();
    while began.elapsed().as_secs_f64() < seconds {
        every.tick().await;
        let messages = queues.depth(&channel).await?;
        looks.push(Look { at: began.elapsed().as_secs_f64(), messages });
    }
    connection.close(200, "OK".into()).await?;
    Ok(looks)
}

impl Course {
    pub(super) fn of(looks: &[Look], leads: Vec<(f64, f64)>) -> Self {
        let moment = |look: &Look| {
            let waiting = leads.iter().filter(|(accepted, begun)| *accepted <= look.at && *begun > look.at);
            let (count, oldest) =
                waiting.fold((0, look.at), |(n, oldest), (accepted, _)| (n + 1, accepted.min(oldest)));
            Moment { at: look.at, messages: look.messages, leads: count, oldest: look.at - oldest }
        };
        Self { moments: looks.iter().map(moment).collect(), leads }
    }

    /// The last moment of a stretch, with the middle one of the ages just before it.
    pub(super) fn end_of(&self, from: f64, to: f64) -> Option<Moment> {
        let since = to - AGES_OF_S.min((to - from) / 2.0);
        let late: Vec<&Moment> = self.moments.iter().filter(|moment| moment.at > since && moment.at <= to).collect();
        let oldest = median(&late.iter().map(|moment| moment.oldest).collect::<Vec<_>>());
        late.last().map(|last| Moment { oldest, ..**last })
    }

    /// Leads per second whose recording began in a stretch.
    pub(super) fn recorded_per_s(&self, from: f64, to: f64) -> f64 {
        let begun = self.leads.iter().filter(|(_, begun)| *begun > from && *begun <= to);
        begun.count() as f64 / (to - from)
    }

    /// Leads per second whose recording began in the middle half of all: neither the first to come nor the last to go.
    pub(super) fn steady_per_s(&self) -> f64 {
        let mut begun: Vec<f64> = self.leads.iter().map(|(_, begun)| *begun).collect();
        begun.sort_by(f64::total_cmp);
        let quarter = begun.len() / 4;
        let (first, last) = (begun.get(quarter), begun.get(3 * quarter));
        first.zip(last).map_or(f64::NAN, |(first, last)| 2.0 * quarter as f64 / (last - first))
    }
}
