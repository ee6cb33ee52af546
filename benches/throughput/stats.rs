//! Medians, percentiles and spreads.
//!
//! **Invariant:** an empty series has no figure: NaN, which meets no target.

/// The value below which this share (0..=1) of the series lies.
pub(crate) fn percentile(series: &[f64], share: f64) -> f64 {
    let mut sorted = series.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into a short series"
    )]
    let n = (last as f64 * share).round() as usize;
    sorted.get(n).copied().unwrap_or(f64::NAN)
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
    let (low, high) = (percentile(series, 0.0), percentile(series, 1.0));
    (high - low) / median(series)
}
