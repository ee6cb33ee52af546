//! The yardstick: the most this machine could do, measured in the same run.
//!
//! H is a bare HTTP server (`http`, `server`), P and C a bare loop between a message and its rows (`bare`,
//! `rows`), and the bare round trip (`round_trip`) is what `wait` is held against. L = 1/(1/H + 1/P).
//!
//! **Invariant:** nothing here calls the product, except to encode and decode its messages.

mod bare;
mod http;
mod round_trip;
mod rows;
mod server;

pub(crate) use bare::{Bare, Plan};
pub(crate) use http::{Limit, Served};
pub(crate) use server::{BODY, run as serve};
