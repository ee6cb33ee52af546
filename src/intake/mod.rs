//! Accepts one lead: resolve, publish, and wait where the caller asked for it.
//!
//! **Invariant:** `Unavailable` promises nothing; every other answer is final.

mod answer;

pub use answer::{Answer, Tracked, TrackedCustomer, TrackedLink, TurnedAway};
