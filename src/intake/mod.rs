//! Accepts leads, one or many of a request: resolve, publish, and wait where the caller asked for it; without a broker, record.
//!
//! **Invariant:** `Unavailable` promises nothing; every other answer is final.

mod answer;
mod permits;
mod met;
mod plan;
mod resolver;
mod breaker;
mod direct;
mod send;
mod accept;
mod family;
mod batch;

pub use accept::{Intake, Parts};
pub use answer::{Answer, Cause, Tracked, TrackedCustomer, TrackedLink, TurnedAway};
pub use batch::Bulk;
