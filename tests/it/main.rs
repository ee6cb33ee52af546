//! The integration tests: one binary.
//!
//! **Invariant:** no test shares a table or a queue with another.

#[cfg(test)]
mod cli;
