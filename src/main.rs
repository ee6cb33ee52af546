//! The `leadline` command; everything it does stands in the library's `cli` room.
//!
//! **Invariant:** nothing is decided here.

use std::process::ExitCode;

/// A lead is some hundred small allocations, many of them freed on another thread; glibc's allocator takes a seventh more CPU
/// for them (`deploy/dev bench`). Without huge pages, which would keep twice the memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    leadline::cli::main()
}
