//! A proxy before RabbitMQ that can withhold deliveries: the broker has handed them out, and nobody ever gets them.
//!
//! Enters: an AMQP URL without TLS. Leaves: another. It stands for a replica that does not know of a consumer which the
//! leader counts on (Ra before 2.15.2, <https://github.com/rabbitmq/rabbitmq-server/pull/13326>).
//!
//! **Invariant:** everything but deliveries passes, frame by frame, in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

/// Frame types.
const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
/// Class and method of `basic.deliver`.
const DELIVER: [u8; 4] = [0, 60, 0, 60];

/// A running proxy; it ends with its test's runtime.
#[derive(Debug)]
pub(crate) struct Withhold {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    on: AtomicBool,
    withheld: AtomicUsize,
}

impl Withhold {
    /// Stands before the broker that a URL names, and passes everything.
    #[expect(clippy::disallowed_methods, reason = "the proxy's tasks end with the test's runtime")]
    pub(crate) async fn before(url: &str) -> Self {
        let url = Url::parse(url).unwrap();
        let target = format!("{}:{}", url.host_str().unwrap_or("127.0.0.1"), url.port().unwrap_or(5672));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let seen = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(serve(near, target.clone(), Arc::clone(&seen)));
            }
        });
        Self { address, shared }
    }

    /// The same URL, through this proxy.
    pub(crate) fn through(&self, url: &str) -> String {
        super::proxy::through(self.address, url)
    }

    /// From now on deliveries are withheld, or pass.
    pub(crate) fn set(&self, on: bool) {
        self.shared.on.store(on, Ordering::SeqCst);
    }

    /// How many were withheld.
    pub(crate) fn withheld(&self) -> usize {
        self.shared.withheld.load(Ordering::SeqCst)
    }
}

async fn serve(near: TcpStream, target: String, shared: Arc<Shared>) {
    let Ok(far) = TcpStream::connect(target).await else {
        return;
    };
    for socket in [&near, &far] {
        socket.set_nodelay(true).unwrap();
    }
    let (mut near_in, near_out) = near.into_split();
    let (far_in, mut far_out) = far.into_split();
    tokio::select! {
        _ = copy(&mut near_in, &mut far_out) => {}
        _ = frames(far_in, near_out, &shared) => {}
    }
}

/// Passes frames on until one side ends. A frame: type, channel (2), size (4), payload, end mark.
async fn frames(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    shared: &Shared,
) -> std::io::Result<()> {
    // The channel of a delivery whose content is to be withheld too.
    let mut of = None;
    loop {
        let mut frame = vec![0; 7];
        from.read_exact(&mut frame).await?;
        let size = u32::from_be_bytes([frame[3], frame[4], frame[5], frame[6]]);
        frame.resize(7 + size as usize + 1, 0);
        from.read_exact(&mut frame[7..]).await?;
        let channel = [frame[1], frame[2]];
        let withhold = match frame[0] {
            METHOD if frame[7..].starts_with(&DELIVER) && shared.on.load(Ordering::SeqCst) => {
                of = Some(channel);
                shared.withheld.fetch_add(1, Ordering::SeqCst);
                true
            }
            HEADER | BODY => of == Some(channel),
            METHOD if of == Some(channel) => {
                of = None;
                false
            }
            _ => false,
        };
        if !withhold {
            to.write_all(&frame).await?;
        }
    }
}
