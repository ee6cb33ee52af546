//! Whether the next batch is taken to hold new leads only.
//!
//! Repeats are answered at accept, so nearly every batch does, and taking it so makes storing it a
//! third cheaper. A batch that disappoints is rolled back and stored with care, and so are the next
//! ones, twice as many after each disappointment in a row.
//!
//! **Invariant:** hope decides what a batch costs, never what becomes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Batches stored with care after the first disappointment, and after the tenth.
const FIRST: u32 = 4;
const LAST: u32 = 2048;

/// What the lanes of one process expect; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Hope(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    careful: AtomicU32,
    penalty: AtomicU32,
}

impl Hope {
    /// Whether this batch may be taken to be new.
    pub(super) fn has(&self) -> bool {
        let spend = |left: u32| left.checked_sub(1);
        self.0.careful.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_err()
    }

    /// A batch was new.
    pub(super) fn raise(&self) {
        self.0.penalty.store(0, Ordering::Relaxed);
    }

    /// A batch was not.
    pub(super) fn dash(&self) {
        let grow = |penalty: u32| Some((penalty * 2).clamp(FIRST, LAST));
        let before = self.0.penalty.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow).unwrap_or(0);
        self.0.careful.store((before * 2).clamp(FIRST, LAST), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn careful(hope: &Hope) -> usize {
        (0..).take_while(|_| !hope.has()).count()
    }

    #[test]
    fn care_grows_with_each_disappointment_and_ends_with_the_first_success() {
        let hope = Hope::default();
        assert_eq!(careful(&hope), 0);
        let mut seen = Vec::new();
        for _ in 0..12 {
            hope.dash();
            seen.push(careful(&hope));
        }
        assert_eq!(seen, [4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 2048, 2048]);
        hope.raise();
        hope.dash();
        assert_eq!(careful(&hope), 4);
    }
}
