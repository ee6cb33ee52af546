//! How long to pause before the next attempt: longer each time, jittered, bounded.
//!
//! Enters: the shortest and the longest pause. Leaves: one pause per call. Waiting, and watching the stop
//! while waiting, is the caller's business.
//!
//! **Invariant:** a pause is never shorter than the shortest nor longer than the longest.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;

/// A source of growing pauses.
#[derive(Debug)]
pub struct Delays {
    source: ExponentialBackoff,
    min: Duration,
    max: Duration,
}

impl Delays {
    /// Pauses between `min` and `max`, about doubling, each jittered by half of itself.
    #[must_use]
    pub fn new(min: Duration, max: Duration) -> Self {
        let source = ExponentialBackoff {
            current_interval: min,
            initial_interval: min,
            multiplier: 2.0,
            randomization_factor: 0.5,
            max_interval: max,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        Self { source, min, max }
    }

    /// The next pause.
    #[expect(clippy::should_implement_trait, reason = "a source of pauses never ends, an iterator may")]
    pub fn next(&mut self) -> Duration {
        let pause = self.source.next_backoff().unwrap_or(self.max);
        pause.min(self.max).max(self.min)
    }

    /// Starts over with the shortest pause, after a success.
    pub fn reset(&mut self) {
        self.source.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_within_their_bounds_and_start_over() {
        let (min, max) = (Duration::from_millis(10), Duration::from_millis(500));
        let mut delays = Delays::new(min, max);
        let pauses: Vec<Duration> = (0..40).map(|_| delays.next()).collect();
        assert!(pauses.iter().all(|p| (min..=max).contains(p)), "{pauses:?}");
        assert!(pauses[0] <= min * 3 / 2 && pauses[39] >= max / 2);
        delays.reset();
        assert!(delays.next() <= min * 3 / 2);
    }
}
