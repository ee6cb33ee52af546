//! Turns a batch of messages into one verdict per lead, in one transaction.
//!
//! Enters: messages as received. Leaves: what became of each, read back from what is stored. The
//! worker and the API's direct path both come through here, so there is one way to be recorded.
//!
//! **Invariant:** a verdict other than `Bury` is returned only after the transaction that made it
//! true was committed.

mod verdict;
mod batch;
mod attribute;
mod keys;
mod transaction;
mod short;
mod hope;
mod recorder;

pub use batch::Batch;
pub use recorder::{Limits, Recorder};
pub use verdict::{Received, Recorded, Told, Verdict};
