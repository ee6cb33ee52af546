//! The `leadline` command; everything it does stands in the library's `cli` room.
//!
//! **Invariant:** nothing is decided here.

use std::process::ExitCode;

fn main() -> ExitCode {
    leadline::cli::main()
}
