//! Replies: how a worker tells a waiting request what became of its lead.
//!
//! Enters: an ending. Leaves: a woken waiter. The worker publishes a [`Reply`] to the queue the request
//! named, the [`Listener`] of that API process receives it, [`Waiters`] finds who waits.
//!
//! **Invariant:** a reply is sent only after the commit, and nothing depends on its arrival.

mod message;
mod sender;
mod waiters;
mod listener;

pub use listener::Listener;
pub use message::{Reply, Unreadable};
pub use sender::send;
pub use waiters::{Waiter, Waiters};
