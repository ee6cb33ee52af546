//! Real engines, driven: PostgreSQL alone or as a synchronous pair, RabbitMQ as one node or three.
//!
//! Enters: a folder for their logs. Leaves: addresses, and the faults that each engine can suffer. They listen on
//! 127.0.0.1 only, take ports below the ephemeral range (so that a dead engine's port is still free when it comes
//! back), and run as an ordinary user: for root, the users that the packages made.
//!
//! **Invariant:** no engine outlives the value that stands for it, also after a panic; what a killed run left behind
//! is ended by the next one.
#![cfg_attr(not(test), expect(clippy::panic, clippy::expect_used, reason = "an engine that fails us ends the suite"))]

mod place;
mod daemon;
mod postgres;
mod pair;
mod full_disk;
mod line;
mod node;
mod rabbit;

pub(crate) use full_disk::FullDisk;
pub(crate) use pair::PostgresPair;
pub(crate) use postgres::Postgres;
pub(crate) use rabbit::Rabbit;
