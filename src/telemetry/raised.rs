//! A gauge that counts what is under way: raised while somebody works on it, lowered on every way out,
//! that of a future dropped half-way included.
//!
//! **Invariant:** what a guard added it takes away, once.

use prometheus::IntGauge;

/// Lowers its gauge again when dropped.
#[derive(Debug)]
pub struct Raised {
    gauge: IntGauge,
    by: i64,
}

impl Raised {
    /// Raises a gauge.
    #[must_use]
    pub fn by(count: usize, gauge: IntGauge) -> Self {
        let by = i64::try_from(count).unwrap_or(i64::MAX);
        gauge.add(by);
        Self { gauge, by }
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        self.gauge.sub(self.by);
    }
}
