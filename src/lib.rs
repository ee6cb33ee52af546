//! Leadline takes lead requests over HTTP, carries them through RabbitMQ and writes each to
//! PostgreSQL exactly once.
//!
//! ```text
//!  request ─▶ http ─▶ intake ─▶ broker ═════▶ worker ─▶ record ─▶ store ═▶ PostgreSQL
//!              ▲        │          RabbitMQ      │
//!              └────────┴──────── reply ◀────────┘      (wait, and follow-ups nobody knows yet)
//! ```
//!
//! The rooms below stand in flow order. A room may import only what `tests/tidy.rs` allows it.
//!
//! **Invariant:** nothing is answered 200 before it is durable, and nothing is acknowledged before it is committed.

pub mod lead;
pub mod config;
pub mod telemetry;
pub mod lifecycle;
pub mod broker;
pub mod store;
pub mod record;
pub mod reply;
pub mod worker;
pub mod intake;
pub mod http;
pub mod app;
pub mod cli;
