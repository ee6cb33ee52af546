//! The rooms `store` and `broker` against engines that are started, killed, frozen and promoted here.
//!
//! Unlike the chaos suite, which asks whether the whole service keeps its promises, these tests look at one room and one
//! fault each; and at engines that are lost and brought back by hand. The engines are those of `tests/chaos/engines`.
//!
//! **Invariant:** whatever was committed or confirmed before a fault is there after it.

#[cfg(test)]
#[path = "../chaos/clock.rs"]
#[expect(dead_code, reason = "the chaos suite uses all of it")]
mod clock;
#[cfg(test)]
#[path = "../chaos/engines/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the chaos suite uses all of it")]
mod engines;
#[cfg(test)]
#[path = "../it/harness/page.rs"]
mod page;
#[cfg(test)]
#[path = "../it/harness/port.rs"]
mod port;
#[cfg(test)]
mod desk;
#[cfg(test)]
mod failover;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod backup;
