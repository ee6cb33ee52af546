//! The integration tests: one binary, one service per test, real engines.
//!
//! A test is a sentence. It starts a [`harness`], does what it says, and ends with `finish()`.
//!
//! **Invariant:** no test shares a table or a queue with another, and none is skipped.

#[cfg(test)]
mod harness;
mod broker;
#[cfg(test)]
mod modes;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod dedup;
#[cfg(test)]
mod follow_up;
#[cfg(test)]
mod guesses;
#[cfg(test)]
mod wait;
#[cfg(test)]
mod look_ups;
#[cfg(test)]
mod batch;
#[cfg(test)]
mod batch_limits;
#[cfg(test)]
mod order;
#[cfg(test)]
mod commit;
#[cfg(test)]
mod poison;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod unsent;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod direct;
#[cfg(test)]
mod processes;
#[cfg(test)]
mod rolling;
#[cfg(test)]
mod upgrade;
#[cfg(test)]
mod backup;
mod partitions;
#[cfg(test)]
mod http_setup;
#[cfg(test)]
mod links;
#[cfg(test)]
mod link_lists;
#[cfg(test)]
mod clicks;
#[cfg(test)]
mod customers;
#[cfg(test)]
mod workspaces;
#[cfg(test)]
mod auth;
#[cfg(test)]
mod server;
#[cfg(test)]
#[cfg(feature = "tls")]
mod tls;
#[cfg(test)]
mod untraced;
#[cfg(test)]
#[cfg(feature = "otlp")]
mod traces;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod overload;
#[cfg(test)]
mod watch;
#[cfg(test)]
mod rates;
#[cfg(test)]
#[path = "../fuzz/laws/mod.rs"]
mod laws;
#[cfg(test)]
mod readers;
#[cfg(test)]
mod cli;
