//! libFuzzer against the law `batch`.
//!
//! **Invariant:** the law is the one that the property tests hold the same reader to.
#![no_main]

#[path = "../laws/mod.rs"]
mod laws;

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::of("batch")(data));
