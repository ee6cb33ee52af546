//! Accepts one lead: resolve, publish, and wait where the caller asked for it.
//!
//! **Invariant:** `Unavailable` promises nothing; every other answer is final.

mod answer;
mod permits;
mod plan;
mod resolver;
mod accept;

pub use accept::{Intake, Parts};
pub use answer::{Answer, Tracked, TrackedCustomer, TrackedLink, TurnedAway};
