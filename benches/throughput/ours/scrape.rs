//! What the processes say of themselves: `/metrics`, as sums over all of them.
//!
//! Enters: the addresses of their metrics. Leaves: the difference of two readings, series by series.
//!
//! **Invariant:** a metric that is absent reads as not measured, never as zero per something.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Outcome;

/// Values by series, labels included.
#[derive(Debug, Default)]
pub(super) struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    /// Reads every process.
    pub(super) async fn read(processes: impl Iterator<Item = SocketAddr>) -> Outcome<Self> {
        let mut sums = BTreeMap::new();
        for process in processes {
            let text = get(process, "/metrics").await?;
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            for (series, value) in lines.filter_map(|line| line.rsplit_once(' ')) {
                if let Ok(value) = value.parse::<f64>() {
                    *sums.entry(series.to_owned()).or_default() += value;
                }
            }
        }
        Ok(Self(sums))
    }

    /// What was added since.
    pub(super) fn since(&self, before: &Self) -> Self {
        let added = |(series, value): (&String, &f64)| (series.clone(), value - before.0.get(series).unwrap_or(&0.0));
        Self(self.0.iter().map(added).collect())
    }

    /// The mean observation of a histogram, over the series with this label (all, for an empty one).
    pub(super) fn mean(&self, histogram: &str, label: &str) -> f64 {
        let sum = |suffix: &str| -> f64 {
            let name = format!("{histogram}_{suffix}");
            let of_it = |series: &str| {
                let rest = series.strip_prefix(&name);
                rest.is_some_and(|rest| (rest.is_empty() || rest.starts_with('{')) && rest.contains(label))
            };
            self.0.iter().filter(|(series, _)| of_it(series)).map(|(_, value)| value).sum()
        };
        sum("sum") / sum("count")
    }
}

/// The body of a path that answers 200.
pub(super) async fn get(address: SocketAddr, path: &str) -> Outcome<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("half an answer")?;
    match head.get(9..12) {
        Some("200") => Ok(body.to_owned()),
        _ => Err(format!("{path}: {}", head.lines().next().unwrap_or_default()).into()),
    }
}
