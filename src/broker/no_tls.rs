//! What stands in for `tls.rs` in a build without the feature `tls`.
//!
//! Enters: an `amqps://` address. Leaves: a refusal that says why.
//!
//! **Invariant:** such an address is never connected to in the clear.

use std::io;
use std::net::TcpStream as Handle;

use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};
use tokio::net::TcpStream;

use super::BrokerError;
use crate::config;

/// Whether this build can connect to `amqps://`.
///
/// # Errors
/// It cannot.
pub(super) fn available() -> Result<(), BrokerError> {
    Err(lacking())
}

fn lacking() -> BrokerError {
    BrokerError::Address("amqps:// needs TLS, which this build lacks (the cargo feature `tls`)".to_owned())
}

/// Refuses.
pub(super) async fn connect(
    _: AMQPUri,
    _: &config::Broker,
    _: ConnectionProperties,
    _: impl Fn(Handle) -> io::Result<()> + Send + Sync + 'static,
) -> Result<Connection, BrokerError> {
    Err(lacking())
}

/// Refuses.
pub(super) async fn stream(_: &AMQPUri, _: &config::Broker) -> Result<TcpStream, BrokerError> {
    Err(lacking())
}

/// No certificate is ever seen here.
pub(super) fn untrusted(_: &lapin::Error) -> Option<BrokerError> {
    None
}
