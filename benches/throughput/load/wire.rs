//! One connection: bytes out, one whole answer in.
//!
//! Cancel-unsafe: a request that was begun is awaited, or the connection is dropped.
//!
//! **Invariant:** a connection that failed is never used again; the next request opens another.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::answer::Head;
use crate::Outcome;

/// Room for an answer at first; it grows for larger ones.
const BUFFER: usize = 16 * 1024;
/// No answer is larger.
const BUFFER_MAX: usize = 16 * 1024 * 1024;

/// A connection to one address.
#[derive(Debug)]
pub(super) struct Wire {
    address: String,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    store: Vec<u8>,
}

/// An answer, as bytes.
#[derive(Debug)]
pub(super) struct Reply<'a> {
    pub(super) status: u16,
    pub(super) head: &'a [u8],
    pub(super) body: &'a [u8],
}

impl Wire {
    /// Opens it.
    pub(super) async fn open(address: &str) -> Outcome<Self> {
        let stream = Some(connect(address).await?);
        Ok(Self { address: address.to_owned(), stream, buffer: vec![0; BUFFER], store: Vec::new() })
    }

    /// Sends a request and reads its answer; `None` when the connection was lost on the way.
    pub(super) async fn exchange(&mut self, request: &[u8]) -> Option<Reply<'_>> {
        // Taken, and only put back after a whole answer.
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(&self.address).await.ok()?,
        };
        stream.write_all(request).await.ok()?;
        let (mut filled, mut head) = (0, None);
        loop {
            if filled == self.buffer.len() {
                if filled >= BUFFER_MAX {
                    return None;
                }
                self.buffer.resize(2 * filled, 0);
            }
            let read = stream.read(self.buffer.get_mut(filled..)?).await.ok()?;
            if read == 0 {
                return None;
            }
            filled += read;
            head = head.or_else(|| Head::read(self.buffer.get(..filled)?));
            let Some(known) = &head else { continue };
            if known.body(self.buffer.get(..filled)?, &mut self.store).is_some() {
                break;
            }
        }
        self.stream = Some(stream).filter(|_| head.is_some_and(|head| !head.last));
        let (head, bytes) = (head?, self.buffer.get(..filled)?);
        let body = head.body(bytes, &mut self.store)?;
        Some(Reply { status: head.status, head: bytes.get(..head.len)?, body })
    }
}

async fn connect(address: &str) -> Outcome<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
