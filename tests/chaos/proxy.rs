//! A TCP proxy to put before an engine, with weather of our own making.
//!
//! Enters: the address of an engine, which may change. Leaves: an address that behaves as the fault says.
//!
//! **Invariant:** silence loses no byte: what was sent into it arrives once it is lifted, as with a real network.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::clock;

/// How a proxy treats connections.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Weather {
    /// Passes everything on.
    Pass,
    /// Closes what is open and what comes.
    Cut,
    /// The same with a reset instead of a farewell.
    Reset,
    /// Takes connections and bytes, and passes nothing on.
    Silence,
    /// Passes each piece on after this time.
    Delay(Duration),
    /// Passes this many bytes a second.
    Throttle(u64),
    /// Says farewell to the client on the engine's behalf, and still passes on what the client sends.
    HalfClose,
}

/// A running proxy; it ends with the suite's runtime.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    target: watch::Sender<String>,
    accepted: Arc<AtomicU64>,
    broken: Arc<AtomicU64>,
}

impl Proxy {
    /// Stands before `host:port`.
    #[expect(clippy::disallowed_methods, reason = "the proxy's tasks end with the suite's runtime")]
    pub(crate) async fn before(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            weather: watch::Sender::new(Weather::Pass),
            target: watch::Sender::new(target.to_owned()),
            accepted: Arc::default(),
            broken: Arc::default(),
        };
        let shared = proxy.clone();
        tokio::spawn(async move {
            loop {
                if let Ok((near, _)) = listener.accept().await {
                    shared.accepted.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(shared.clone().serve(near));
                }
            }
        });
        proxy
    }

    /// Its own `host:port`.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the weather, for open connections too.
    pub(crate) fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Leads new connections elsewhere.
    pub(crate) fn point_to(&self, target: &str) {
        self.target.send_replace(target.to_owned());
    }

    /// Connections taken so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Connections ended by bad weather so far.
    pub(crate) fn broken(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
    }

    async fn serve(self, near: TcpStream) {
        let mut weather = self.weather.subscribe();
        let now = *weather.borrow_and_update();
        if matches!(now, Weather::Cut | Weather::Reset | Weather::HalfClose) {
            if now == Weather::Reset {
                near.set_zero_linger().ok();
            }
            self.broken.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if weather.wait_for(|weather| *weather != Weather::Silence).await.is_err() {
            return;
        }
        let target = self.target.borrow().clone();
        let Ok(far) = TcpStream::connect(target).await else {
            return;
        };
        self.join(near, far, weather).await;
    }

    async fn join(&self, mut near: TcpStream, mut far: TcpStream, mut weather: watch::Receiver<Weather>) {
        near.set_nodelay(true).ok();
        far.set_nodelay(true).ok();
        let (calm, mut half) = (weather.clone(), weather.clone());
        let ended = {
            let ((near_in, mut near_out), (far_in, mut far_out)) = (near.split(), far.split());
            let answers = async {
                tokio::select! {
                    () = pump(far_in, &mut near_out, calm.clone()) => {}
                    () = comes(&mut half, |now| now == Weather::HalfClose) => {}
                }
                // Only a farewell leads here; the other direction goes on.
                if *half.borrow() == Weather::HalfClose {
                    near_out.shutdown().await.ok();
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = pump(near_in, &mut far_out, calm.clone()) => None,
                () = answers => None,
                () = comes(&mut weather, |now| matches!(now, Weather::Cut | Weather::Reset)) => Some(*weather.borrow()),
            }
        };
        if ended == Some(Weather::Reset) {
            near.set_zero_linger().ok();
            far.set_zero_linger().ok();
        }
        if ended.is_some() || *self.weather.borrow() != Weather::Pass {
            self.broken.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Resolves when such weather comes.
async fn comes(weather: &mut watch::Receiver<Weather>, such: impl Fn(Weather) -> bool) {
    if weather.wait_for(|now| such(*now)).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    to: &mut (impl AsyncWrite + Unpin),
    mut weather: watch::Receiver<Weather>,
) {
    let mut buffer = vec![0; 32 * 1024];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        let Ok(now) = weather.wait_for(|weather| *weather != Weather::Silence).await.map(|now| *now) else {
            return;
        };
        match now {
            Weather::Delay(time) => clock::pause(time).await,
            Weather::Throttle(rate) => clock::pause(Duration::from_secs_f64(n as f64 / rate.max(1) as f64)).await,
            _ => {}
        }
        if to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

/// All proxies between a role and an engine: one per node.
#[derive(Debug, Clone)]
pub(crate) struct Edge {
    proxies: Vec<Proxy>,
}

impl Edge {
    /// Stands before every node.
    pub(crate) async fn before(targets: &[String]) -> Self {
        Self { proxies: join_all(targets.iter().map(|target| Proxy::before(target))).await }
    }

    /// Its own addresses, in the order of the nodes.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.proxies.iter().map(Proxy::address).collect()
    }

    /// Changes the weather on all of them.
    pub(crate) fn set(&self, weather: Weather) {
        self.proxies.iter().for_each(|proxy| proxy.set(weather));
    }

    /// Leads new connections of all of them elsewhere.
    pub(crate) fn point_to(&self, target: &str) {
        self.proxies.iter().for_each(|proxy| proxy.point_to(target));
    }

    /// Connections taken so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.proxies.iter().map(Proxy::accepted).sum()
    }

    /// Connections ended by bad weather so far.
    pub(crate) fn broken(&self) -> u64 {
        self.proxies.iter().map(Proxy::broken).sum()
    }
}
