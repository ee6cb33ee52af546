//! The broker and reply rooms against a real RabbitMQ.
//!
//! `TEST_AMQP_URL` names it. Every test has a topology of its own, by a random prefix, and deletes it.
//!
//! **Invariant:** a test that leaves a message unaccounted for fails.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail the test")]

pub(crate) mod set_up;
mod packs;
mod publishing;
mod receiving;
mod replies;
mod topology;
mod visit;
