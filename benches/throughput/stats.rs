//! Medians, percentiles and spreads.
//!
//! **Invariant:** an empty series has no figure: NaN, which meets no target.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long something took, in milliseconds: the middle and the slow end.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Times {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
}

impl Default for Times {
    fn default() -> Self {
        Self { p50: f64::NAN, p99: f64::NAN, p999: f64::NAN }
    }
}

impl Times {
    /// Of a series in milliseconds.
    pub(crate) fn of(mut series: Vec<f64>) -> Self {
        series.sort_by(f64::total_cmp);
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| at(&series, share));
        Self { p50, p99, p999 }
    }

    /// The medians over several runs.
    pub(crate) fn medians(runs: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(&runs.iter().map(figure).collect::<Vec<_>>());
        Self { p50: of(|t| t.p50), p99: of(|t| t.p99), p999: of(|t| t.p999) }
    }

    /// Each longer by so much.
    pub(crate) fn and(self, more: f64) -> Self {
        Self { p50: self.p50 + more, p99: self.p99 + more, p999: self.p999 + more }
    }
}

/// Milliseconds of a duration.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// The value below which this share (0..=1) of a sorted series lies.
fn at(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
}

/// The middle value.
pub(crate) fn median(series: &[f64]) -> f64 {
    let middle = series.len() / 2;
    let mut sorted = series.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (series.len() % 2, middle) {
        (0, 1..) => f64::midpoint(
            sorted.get(middle - 1).copied().unwrap_or(f64::NAN),
            sorted.get(middle).copied().unwrap_or(f64::NAN),
        ),
        _ => sorted.get(middle).copied().unwrap_or(f64::NAN),
    }
}

/// Largest minus smallest, as a share of the median.
pub(crate) fn spread(series: &[f64]) -> f64 {
    let mut sorted = series.to_vec();
    sorted.sort_by(f64::total_cmp);
    (at(&sorted, 1.0) - at(&sorted, 0.0)) / median(series)
}

/// The largest of several figures, NaN among them ignored; NaN of none.
pub(crate) fn largest(figures: impl Iterator<Item = f64>) -> f64 {
    figures.fold(f64::NAN, f64::max)
}
