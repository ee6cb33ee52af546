//! From one release to the next: earlier schemas with what they held, two releases side by side, locks.
//!
//! **Invariant:** every migration is taken through with the rows of its time; none is tested on empty tables.

mod history;
mod schemas;
mod locks;
mod beside;
