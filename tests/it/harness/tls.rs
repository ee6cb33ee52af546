//! TLS before an engine: certificates made for the test, and a proxy that ends TLS with them.
//!
//! Enters: the address of an engine that need not speak TLS. Leaves: an address that speaks nothing else, as
//! RabbitMQ does (TLS from the first byte) or as `PostgreSQL` does (asked for first). So both are tested with
//! whatever engines there are.
//!
//! **Invariant:** nobody reaches the engine through here but over TLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs};

use leadline::lead::id;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use url::Url;

/// What a client of `PostgreSQL` sends to ask for TLS: length 8, code 80877103.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Which engine stands behind a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behind {
    /// `PostgreSQL`.
    Postgres,
    /// `RabbitMQ`.
    Rabbitmq,
}

/// A certificate authority with a folder of its own, gone when dropped.
#[derive(Debug)]
pub(crate) struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as files.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    /// A new one; no two trust each other.
    pub(crate) fn new() -> Self {
        let folder = env::temp_dir().join(format!("leadline-tls-{}", id::alphanumerics(12)));
        fs::create_dir(&folder).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, folder.display().to_string());
        let key = KeyPair::generate().unwrap();
        write(&folder.join("ca.pem"), &params.self_signed(&key).unwrap().pem());
        Self { folder, issuer: Issuer::new(params, key) }
    }

    /// The file of its own certificate.
    pub(crate) fn file(&self) -> String {
        self.folder.join("ca.pem").display().to_string()
    }

    /// A certificate for one name.
    pub(crate) fn issue(&self, name: &str) -> Identity {
        self.sign(name, &CertificateParams::new([name.to_owned()]).unwrap())
    }

    /// One that was good until the year 2001.
    pub(crate) fn issue_expired(&self, name: &str) -> Identity {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        self.sign(name, &params)
    }

    fn sign(&self, name: &str, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let at = |ending: &str| self.folder.join(format!("{name}.{ending}"));
        write(&at("pem"), &cert.pem());
        write(&at("key"), &key.serialize_pem());
        Identity { cert: at("pem").display().to_string(), key: at("key").display().to_string() }
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

/// A proxy that ends TLS; it lives as long as its test's runtime.
#[derive(Debug)]
pub(crate) struct TlsProxy {
    port: u16,
}

impl TlsProxy {
    /// Stands before the engine that a URL names, and shows a certificate.
    pub(crate) async fn before(url: &str, behind: Behind, shows: &Identity) -> Self {
        Self::start(url, behind, shows, None).await
    }

    /// The same, and asks everybody for a certificate of an authority.
    pub(crate) async fn asking(url: &str, behind: Behind, shows: &Identity, of: &Authority) -> Self {
        Self::start(url, behind, shows, Some(of)).await
    }

    #[expect(clippy::disallowed_methods, reason = "the proxy's tasks end with the test's runtime")]
    async fn start(url: &str, behind: Behind, shows: &Identity, asks: Option<&Authority>) -> Self {
        let url = Url::parse(url).unwrap();
        let default_port = if behind == Behind::Postgres { 5432 } else { 5672 };
        let target = format!("{}:{}", url.host_str().unwrap_or("127.0.0.1"), url.port().unwrap_or(default_port));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = TlsAcceptor::from(server(shows, asks));
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(serve(near, target.clone(), acceptor.clone(), behind));
            }
        });
        Self { port }
    }

    /// The same URL, through this proxy, which is called by a host name.
    pub(crate) fn through(&self, url: &str, host: &str) -> Url {
        // `set_scheme` refuses to turn a scheme it does not know into another.
        let mut url = Url::parse(&url.replacen("amqp://", "amqps://", 1)).unwrap();
        url.set_host(Some(host)).unwrap();
        url.set_port(Some(self.port)).unwrap();
        url
    }
}

fn server(shows: &Identity, asks: Option<&Authority>) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = CertificateDer::pem_file_iter(&shows.cert).unwrap().map(Result::unwrap).collect();
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let builder = match asks {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(authority.file()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    Arc::new(builder.with_single_cert(chain, PrivateKeyDer::from_pem_file(&shows.key).unwrap()).unwrap())
}

async fn serve(mut near: TcpStream, target: String, acceptor: TlsAcceptor, behind: Behind) {
    near.set_nodelay(true).unwrap();
    if behind == Behind::Postgres {
        let mut asked = [0; SSL_REQUEST.len()];
        let read = near.read_exact(&mut asked).await;
        if read.is_err() || asked != SSL_REQUEST || near.write_all(b"S").await.is_err() {
            return;
        }
    }
    let Ok(mut near) = acceptor.accept(near).await else {
        return;
    };
    let Ok(mut far) = TcpStream::connect(target).await else {
        return;
    };
    far.set_nodelay(true).unwrap();
    copy_bidirectional(&mut near, &mut far).await.ok();
}
