//! A quantile out of a histogram's buckets, as Prometheus reckons it.
//!
//! **Invariant:** nothing is said of a histogram that observed nothing.

/// Within the bucket that holds it, a quantile lies as far as its rank; beyond the last finite bound, at that bound.
pub(super) fn quantile(buckets: &[(f64, f64)], share: f64) -> Option<f64> {
    let (_, all) = *buckets.last()?;
    if all <= 0.0 {
        return None;
    }
    let rank = share * all;
    let (mut below, mut counted) = (0.0, 0.0);
    for (bound, count) in buckets {
        if *count >= rank {
            if bound.is_infinite() {
                return Some(below);
            }
            let here = count - counted;
            let part = if here > 0.0 { (rank - counted) / here } else { 1.0 };
            return Some(below + (bound - below) * part);
        }
        (below, counted) = (*bound, *count);
    }
    Some(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let buckets = [(0.1, 50.0), (0.2, 90.0), (f64::INFINITY, 100.0)];
        assert_eq!(quantile(&buckets, 0.5), Some(0.1));
        assert!((quantile(&buckets, 0.7).unwrap() - 0.15).abs() < 1e-9);
        assert_eq!(quantile(&buckets, 0.99), Some(0.2));
        assert_eq!(quantile(&[(0.1, 0.0), (f64::INFINITY, 0.0)], 0.5), None);
        assert_eq!(quantile(&[], 0.5), None);
    }
}
