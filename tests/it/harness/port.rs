//! Ports for processes that are told where to listen.
//!
//! Enters: nothing. Leaves: a port of 127.0.0.1. Those that the system chooses by itself will not do where a process binds them
//! later: by then another may have been told the same, or an outgoing connection may have taken it, and so may it be while the
//! process is restarted.
//!
//! **Invariant:** none is given twice while this process lives, save after ten thousand others.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below those that outgoing connections take by themselves, and above what engines are used to.
const FIRST: u16 = 20_500;
const COUNT: u16 = 11_500;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// Where nobody listens; `None` if there is no such place.
pub(crate) fn free_address() -> Option<SocketAddr> {
    let first = u16::try_from(std::process::id() % 113).unwrap_or_default() * 100;
    (0..COUNT)
        .map(|_| FIRST + (first + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT)
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .find(|address| TcpListener::bind(address).is_ok())
}
