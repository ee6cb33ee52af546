//! The plan: how much load there is, and how many workers, from when to when.
//!
//! Load is counted in workers: 1 is what one of them can record. It rises over what the workers there can do, a worker is
//! added, and so on; then it falls, and each time a worker goes.
//!
//! A load that does not fit is a fifth more than what the workers there can do, at least, and one that fits a fifth less: so much
//! may a worker do more or less than it did when it was measured. What piled up needs time to go: the longer, the less is left
//! over, hence the steps after a worker was added are the longest.
//!
//! **Invariant:** after every step that adds a worker the load fits again, and before every step that takes one away it fits
//! those who stay.

/// A stretch of the run in which neither load nor workers change; times in seconds since its begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) load: f64,
    pub(super) workers: usize,
}

/// Load, workers, and how long it lasts, in units.
const PLAN: [(f64, usize, f64); 9] = [
    (0.6, 1, 2.0),
    (1.5, 1, 2.0),
    (1.5, 2, 4.0),
    (2.4, 2, 2.0),
    (2.4, 3, 5.0),
    (1.5, 3, 1.0),
    (1.5, 2, 2.0),
    (0.6, 2, 1.0),
    (0.6, 1, 2.0),
];

/// The plan, with a unit of so many seconds.
pub(super) fn steps(unit: f64) -> Vec<Step> {
    let mut from = 0.0;
    let step = |(load, workers, lasts): (f64, usize, f64)| {
        let step = Step { from, to: from + lasts * unit, load, workers };
        from = step.to;
        step
    };
    PLAN.into_iter().map(step).collect()
}
