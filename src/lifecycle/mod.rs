//! Living and dying: the two-part stop, supervised tasks, the health of both engines.
//!
//! **Invariant:** no statics: two applications in one process start, stop and fail apart.

mod stop;
mod tasks;
mod health;
mod delays;
pub(crate) mod fault;

pub use delays::Delays;
pub use health::{Condition, Engine, Health};
pub use stop::Stop;
pub use tasks::{Ended, Tasks};
