//! The integration tests: one binary, real engines, one topic per module.
//!
//! **Invariant:** no test is skipped because an engine is missing.

mod broker;
