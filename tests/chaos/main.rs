//! The chaos suite: real processes, real engines, real kills, under load; then every answer is checked.
//!
//! `deploy/dev chaos --help` says how to run it; under plain `cargo test` it does the short run. It needs
//! the feature `faults`, which gives the binary the places where it can be made to die.
//!
//! **Invariant:** it passes only if every fault bit and no promise broke.

#[cfg(test)]
mod args;
#[cfg(test)]
mod check;
#[cfg(test)]
mod clock;
#[cfg(test)]
mod diary;
#[cfg(test)]
#[expect(dead_code, reason = "engines can do more than the faults here ask of them")]
mod engines;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod given;
#[cfg(test)]
mod ground;
#[cfg(test)]
mod load;
#[cfg(test)]
#[path = "../it/harness/port.rs"]
mod port;
#[cfg(test)]
mod process;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod queues;
#[cfg(test)]
mod report;
#[cfg(test)]
mod run;
#[cfg(test)]
mod scrape;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod tune;
#[cfg(test)]
mod world;

#[cfg(test)]
fn main() -> std::process::ExitCode {
    suite::main()
}
