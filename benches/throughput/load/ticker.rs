//! A clock that ticks evenly, to some microseconds, and costs nothing between two ticks.
//!
//! The runtime's own timer counts in milliseconds, which would send thousands of requests per second in
//! lumps and add half a millisecond to every answer; this one is the kernel's timerfd.
//!
//! **Invariant:** a tick is never lost: whoever looks late is told how many there were.

use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

use crate::Outcome;

/// A running clock.
#[derive(Debug)]
pub(crate) struct Ticker {
    /// No pipe, but it is read like one: eight bytes that say how many ticks there were.
    timer: Receiver,
}

impl Ticker {
    /// Starts it; the first tick comes after one interval.
    pub(crate) fn every(interval: Duration) -> Outcome<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        let interval = Timespec::try_from(interval)?;
        let spec = Itimerspec { it_interval: interval, it_value: interval };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &spec)?;
        Ok(Self { timer: Receiver::from_owned_fd_unchecked(timer)? })
    }

    /// Waits for the next tick; how many there were since the last call. Cancel-safe.
    pub(crate) async fn ticks(&mut self) -> Outcome<u64> {
        // Larger than what is read, which tells the runtime that there is no more and saves it asking.
        let mut room = [0; 16];
        let _eight = self.timer.read(&mut room).await?;
        let count = room.first_chunk().ok_or("half a tick")?;
        Ok(u64::from_ne_bytes(*count))
    }
}
