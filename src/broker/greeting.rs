//! What a broker says of itself before anybody logs in: its name and its version.
//!
//! Enters: an address. Leaves: the first frame's properties. lapin reads them too and tells nobody, so the handshake is begun
//! here and left after the broker's first word.
//!
//! **Invariant:** neither user nor password is sent.

use lapin::protocol::{AMQPClass, connection, parse_class};
use lapin::types::{AMQPValue, FieldTable};
use lapin::uri::{AMQPScheme, AMQPUri};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{BrokerError, tls};
use crate::config;

const HELLO: &[u8] = b"AMQP\x00\x00\x09\x01";
const METHOD: u8 = 1;
/// More than any broker says here.
const LONGEST: u32 = 1 << 16;

/// A broker's name and version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// `RabbitMQ`, unless it is something else.
    pub product: String,
    /// Such as `3.13.7`.
    pub version: String,
}

/// Asks a broker who it is, within `broker.connect_timeout`. Cancel-safe.
pub(super) async fn greet(uri: &AMQPUri, config: &config::Broker) -> Result<Greeting, BrokerError> {
    let greeted = async {
        match uri.scheme {
            AMQPScheme::AMQP => {
                let address = (uri.authority.host.as_str(), uri.authority.port);
                hear(TcpStream::connect(address).await.map_err(lapin::Error::from)?).await
            }
            AMQPScheme::AMQPS => hear(tls::stream(uri, config).await?).await,
        }
    };
    timeout(config.connect_timeout, greeted).await.map_err(|_| BrokerError::Silent("connection.start"))?
}

async fn hear(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<Greeting, BrokerError> {
    let mut head = [0; 7];
    let asked = async {
        stream.write_all(HELLO).await?;
        stream.flush().await?;
        stream.read_exact(&mut head).await
    };
    asked.await.map_err(lapin::Error::from)?;
    let [kind, _, _, a, b, c, d] = head;
    let length = u32::from_be_bytes([a, b, c, d]);
    if kind != METHOD || length > LONGEST {
        return Err(BrokerError::Stranger("its first word is of another protocol"));
    }
    let mut body = Vec::new();
    stream.take(length.into()).read_to_end(&mut body).await.map_err(lapin::Error::from)?;
    match parse_class(body.as_slice()) {
        Ok((_, AMQPClass::Connection(connection::AMQPMethod::Start(start)))) => Ok(Greeting {
            product: property(&start.server_properties, "product"),
            version: property(&start.server_properties, "version"),
        }),
        _ => Err(BrokerError::Stranger("its first word is no connection.start")),
    }
}

fn property(properties: &FieldTable, name: &str) -> String {
    let found = properties.inner().iter().find(|(key, _)| key.as_str() == name);
    match found {
        Some((_, AMQPValue::LongString(text))) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        _ => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn heard(answer: &[u8]) -> Result<Greeting, BrokerError> {
        let (ours, mut theirs) = tokio::io::duplex(1 << 12);
        theirs.write_all(answer).await.unwrap();
        theirs.shutdown().await.unwrap();
        hear(ours).await
    }

    #[tokio::test]
    async fn what_is_no_broker_is_called_so() {
        for stranger in
            [b"HTTP/1.1 400 Bad Request\r\n\r\n".as_slice(), b"AMQP\x00\x01\x00\x00", &[1, 0, 0, 0, 0, 0, 1, 9]]
        {
            let error = heard(stranger).await.unwrap_err();
            assert!(matches!(error, BrokerError::Stranger(_)), "{error}");
            assert!(error.is_permanent());
        }
        assert!(matches!(heard(b"").await, Err(BrokerError::Away(_))));
    }
}
