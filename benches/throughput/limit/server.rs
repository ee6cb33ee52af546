//! H: the barest HTTP server that answers what a `POST /track/lead` is answered with.
//!
//! hyper without a router; it reads the body, looks at nothing, and answers a constant of the same
//! size with the same headers. Runs as a process of its own, prints its port, and is killed.
//!
//! **Invariant:** it does nothing that any server under this contract could leave out.

use std::convert::Infallible;
use std::io::Write as _;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::Outcome;

/// The contract's answer to a recorded lead, in the lengths the benchmark's own leads have.
pub(crate) const BODY: &str = concat!(
    r#"{"click":{"id":"0QWERTYASDFGHJKL"},"link":{"id":"link_01JCZK4T5MHQX7R8S9VWY2ABCD","#,
    r#""domain":"bench.example","key":"k042","shortLink":"https://bench.example/k042","#,
    r#""url":"https://www.example.com/landing","partnerId":null,"programId":null,"tenantId":null,"#,
    r#""externalId":null},"customer":{"name":"Ada Lovelace","email":"a1b2c3d4e5f6@example.com","#,
    r#""avatar":null,"externalId":"user_a1b2c3d4e5f6a7b8c9d0"}}"#
);

/// Serves until killed; one thread, or a pool of so many.
pub(crate) fn run(threads: usize) -> Outcome<()> {
    let runtime = match threads {
        0 | 1 => tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        more => tokio::runtime::Builder::new_multi_thread().worker_threads(more).enable_all().build()?,
    };
    runtime.block_on(serve())
}

async fn serve() -> Outcome<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        connections.spawn(async move {
            let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
            // A generator that hangs up at the end of its time is no failure.
            drop(serving.await);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    drop(request.into_body().collect().await);
    let mut response = Response::new(Full::new(Bytes::from_static(BODY.as_bytes())));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("x-lead-id", HeaderValue::from_static("lead_01JCZK4T5MHQX7R8S9VWY2ABCD"));
    headers.insert("x-request-id", HeaderValue::from_static("019a0c2e-7b1c-7f4e-9d53-0a1b2c3d4e5f"));
    Ok(response)
}
