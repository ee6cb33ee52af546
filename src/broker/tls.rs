//! Connections to `amqps://` addresses: rustls with ring, on a socket that we keep a handle on.
//!
//! Enters: an address and the files that `[broker]` names. Leaves: a connection whose other end proved
//! its name with a certificate of a CA that is trusted, or the reason why not. The files are read for
//! every connection, so that renewed ones need no restart. lapin's own TLS would do, but it brings
//! two dozen crates for a key store (PKCS#12, DES, RC2) that nobody here uses.
//!
//! **Invariant:** not a byte of AMQP, and so no password, is sent before the certificate is accepted.

use std::future::Future;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream as Handle};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures_util::{AsyncRead, AsyncWrite, Stream};
use lapin::uri::AMQPUri;
use lapin::{AsyncTcpStream, Connection, ConnectionProperties};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use super::BrokerError;
use crate::config;

/// Whether this build can connect to `amqps://`.
///
/// # Errors
/// Never; its counterpart in a build without TLS does.
pub(super) fn available() -> Result<(), BrokerError> {
    Ok(())
}

/// Connects; `keep` gets a second handle on the socket before anything is said on it. Cancel-safe.
pub(super) async fn connect(
    uri: AMQPUri,
    config: &config::Broker,
    options: ConnectionProperties,
    keep: impl Fn(Handle) -> io::Result<()> + Send + Sync + 'static,
) -> Result<Connection, BrokerError> {
    let (connector, timeout) = (connector(config).await?, config.connect_timeout);
    let runtime = Runtime::new(RuntimeParts::new(Tokio::current(), Sockets(Tokio::current())));
    let connecting = Connection::connector(
        uri,
        runtime,
        async move |uri: AMQPUri, _| {
            let opened = open(&uri, &connector, &keep);
            let stream = tokio::time::timeout(timeout, opened).await.map_err(io::Error::from)??;
            Ok(AsyncTcpStream::Plain(stream.compat()))
        },
        options,
    );
    Ok(connecting.await?)
}

/// A stream on which nothing was said yet. Cancel-safe.
pub(super) async fn stream(uri: &AMQPUri, config: &config::Broker) -> Result<TlsStream<TcpStream>, BrokerError> {
    let opened = open(uri, &connector(config).await?, |_| Ok(())).await;
    opened.map_err(|error| lapin::Error::from(error).into())
}

async fn connector(config: &config::Broker) -> Result<TlsConnector, BrokerError> {
    let files = config.clone();
    // Hundreds of certificates may have to be read.
    let read = tokio::task::spawn_blocking(move || client(&files));
    Ok(TlsConnector::from(read.await.map_err(|_| BrokerError::Gone("the task that reads certificates"))??))
}

async fn open(
    uri: &AMQPUri,
    connector: &TlsConnector,
    keep: impl Fn(Handle) -> io::Result<()>,
) -> io::Result<TlsStream<TcpStream>> {
    let host = uri.authority.host.as_str();
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let socket = TcpStream::connect((host, uri.authority.port)).await?;
    socket.set_nodelay(true)?;
    keep(socket.as_fd().try_clone_to_owned()?.into())?;
    connector.connect(name, socket).await
}

/// What we trust, and what we show when we are asked who we are.
fn client(files: &config::Broker) -> Result<Arc<ClientConfig>, BrokerError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let refused = |key| move |error: rustls::Error| BrokerError::File { key, why: error.to_string() };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(refused("broker.url"))?
        .with_root_certificates(roots(&files.ca_file)?);
    if files.cert_file.is_empty() {
        return Ok(Arc::new(builder.with_no_client_auth()));
    }
    let chain = certificates("broker.cert_file", &files.cert_file)?;
    let key = PrivateKeyDer::from_pem_file(&files.key_file);
    let key = key.map_err(|error| unread("broker.key_file", &files.key_file, error))?;
    builder.with_client_auth_cert(chain, key).map(Arc::new).map_err(refused("broker.cert_file"))
}

/// The CAs of the file and no others, or else those of the system.
fn roots(ca: &str) -> Result<RootCertStore, BrokerError> {
    const KEY: &str = "broker.ca_file";
    let mut store = RootCertStore::empty();
    if ca.is_empty() {
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let none = "is empty, and this system trusts no CA either".to_owned();
        return if store.is_empty() { Err(BrokerError::File { key: KEY, why: none }) } else { Ok(store) };
    }
    for certificate in certificates(KEY, ca)? {
        store.add(certificate).map_err(|error| unread(KEY, ca, error))?;
    }
    Ok(store)
}

fn certificates(key: &'static str, path: &str) -> Result<Vec<CertificateDer<'static>>, BrokerError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => Err(unread(key, path, "it holds no certificate in PEM form")),
        other => other.map_err(|error| unread(key, path, error)),
    }
}

fn unread(key: &'static str, path: &str, why: impl std::fmt::Display) -> BrokerError {
    BrokerError::File { key, why: format!("{path}: {why}") }
}

/// Whether a connection ended because the broker's certificate is of a CA we do not trust, or not for
/// the name we asked for. An expired one is not among these: that heals without us.
pub(super) fn untrusted(error: &lapin::Error) -> Option<BrokerError> {
    let lapin::ErrorKind::IOError(error) = error.kind() else {
        return None;
    };
    let rustls::Error::InvalidCertificate(fault) = error.get_ref()?.downcast_ref()? else {
        return None;
    };
    let advice = match fault {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => "broker.ca_file names the CAs to trust",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "broker.url must name the host as the certificate does"
        }
        _ => return None,
    };
    Some(BrokerError::Untrusted { reason: fault.to_string(), advice })
}

/// lapin's view of tokio, except that a stream is one of TLS.
#[derive(Debug, Clone)]
struct Sockets(Tokio);

impl Reactor for Sockets {
    type TcpStream = Compat<TlsStream<TcpStream>>;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.0.register(socket)
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    /// Never right: TLS asks for a name, and an address has none. [`connect`] opens streams itself.
    fn tcp_connect_addr(&self, _: SocketAddr) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}
