//! RabbitMQ: the queues and their arguments, confirmed publishing, receiving and settling.
//!
//! Enters: a [`Letter`] to publish, tags to settle. Leaves: a confirm, a [`Delivery`], or a
//! [`BrokerError`]. One connection publishes and another consumes, because a blocked connection
//! stops everything on it. lapin lives in this room only.
//!
//! **Invariant:** every channel has one owner, every answer of the broker a deadline, and nothing that
//! exists on the broker is ever deleted.

mod error;
mod queue;
mod letter;
mod pack;
mod delivery;
mod session;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
mod tls;
mod topology;
mod keeper;
mod piles;
mod outlet;
mod live;
mod publisher;
mod tags;
mod inlet;
mod reply_inlet;
mod depths;
mod link;
mod greeting;
mod visit;

pub use delivery::{Delivery, ReplyDelivery};
pub use error::{BrokerError, PublishError};
pub use greeting::Greeting;
pub use inlet::Inlet;
pub use letter::{Address, Letter};
pub use link::Link;
pub use publisher::{Ordered, Publisher};
pub use queue::Queue;
pub use reply_inlet::ReplyInlet;
pub use topology::Topology;
pub use visit::{Depth, Node, Visit};
