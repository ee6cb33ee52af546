//! A TCP proxy to put before an engine: passes, cuts, or swallows in silence, everything or what says something.
//!
//! Enters: the address of an engine. Leaves: an address of its own that behaves as the test says.
//!
//! **Invariant:** a blackhole loses no byte: what was sent into it arrives once it is restored.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use url::Url;

/// How a proxy treats connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Passes everything on.
    Pass,
    /// Closes what is open and what comes.
    Cut,
    /// Takes connections and bytes, and passes nothing on.
    Blackhole,
    /// Passes everything but what says this, and what comes after it on the same connection.
    Withhold(&'static str),
}

impl Mode {
    /// Whether something goes on now.
    fn passes(self, bytes: &[u8]) -> bool {
        match self {
            Self::Pass | Self::Cut => true,
            Self::Blackhole => false,
            Self::Withhold(text) => !bytes.windows(text.len()).any(|window| window == text.as_bytes()),
        }
    }
}

/// A running proxy; it ends with its test's runtime.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
}

impl Proxy {
    /// Stands before the engine that a URL names.
    #[expect(clippy::disallowed_methods, reason = "the proxy's tasks end with the test's runtime")]
    pub(crate) async fn before(url: &str, default_port: u16) -> Self {
        let url = Url::parse(url).unwrap();
        let target = format!("{}:{}", url.host_str().unwrap_or("127.0.0.1"), url.port().unwrap_or(default_port));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, watched) = watch::channel(Mode::Pass);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(serve(near, target.clone(), watched.clone()));
            }
        });
        Self { address, mode }
    }

    /// The same URL, through this proxy.
    pub(crate) fn through(&self, url: &str) -> String {
        through(self.address, url)
    }

    /// Closes what is open and refuses what comes.
    pub(crate) fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }

    /// Falls silent without closing anything.
    pub(crate) fn blackhole(&self) {
        self.mode.send_replace(Mode::Blackhole);
    }

    /// Withholds the rest of every connection whose client says this.
    pub(crate) fn withhold(&self, text: &'static str) {
        self.mode.send_replace(Mode::Withhold(text));
    }

    /// Passes again.
    pub(crate) fn restore(&self) {
        self.mode.send_replace(Mode::Pass);
    }
}

/// The same URL, through whatever listens at an address of this machine.
pub(super) fn through(address: SocketAddr, url: &str) -> String {
    let mut url = Url::parse(url).unwrap();
    url.set_host(Some("127.0.0.1")).unwrap();
    url.set_port(Some(address.port())).unwrap();
    url.to_string()
}

async fn serve(near: TcpStream, target: String, mut mode: watch::Receiver<Mode>) {
    if *mode.borrow() == Mode::Cut {
        return;
    }
    if mode.wait_for(|mode| *mode != Mode::Blackhole).await.is_err() {
        return;
    }
    let Ok(far) = TcpStream::connect(target).await else {
        return;
    };
    for socket in [&near, &far] {
        socket.set_nodelay(true).unwrap();
    }
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    let mut cut = mode.clone();
    tokio::select! {
        () = pump(near_in, far_out, mode.clone()) => {}
        () = pump(far_in, near_out, mode) => {}
        _ = cut.wait_for(|mode| *mode == Mode::Cut) => {}
    }
}

async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut mode: watch::Receiver<Mode>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        let open = mode.wait_for(|mode| mode.passes(&buffer[..n])).await.is_ok();
        if !open || to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

/// How long a cut lasts in tests that need several attempts to fail meanwhile.
pub(crate) const OUTAGE: Duration = Duration::from_millis(600);
