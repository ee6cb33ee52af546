//! What the processes say of themselves, kept beyond their deaths.
//!
//! Enters: the metrics page of every process, five times a second. Leaves: sums over all processes that
//! ever ran, and the largest size of each.
//!
//! **Invariant:** a counter never goes back: each incarnation of a process counts for itself, and a page that the next one on its
//! port may have sent is thrown away.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;

use crate::clock::{EVENTUALLY, pause, within};
use crate::fleet::{Fleet, Seen};
use crate::process::Size;

const EVERY: Duration = Duration::from_millis(200);
/// One that is frozen never does; the others are not read meanwhile.
const ANSWERS_WITHIN: Duration = Duration::from_millis(500);

/// Every series of a metrics page.
type Page = HashMap<String, f64>;

/// The readings; clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Readings {
    /// By process and incarnation: its last page.
    pages: Arc<Mutex<HashMap<(String, u32), Page>>>,
    sizes: Arc<Mutex<HashMap<String, Size>>>,
    /// How often all pages were read.
    rounds: Arc<AtomicU64>,
}

impl Readings {
    /// Reads on until the runtime ends.
    #[expect(clippy::disallowed_methods, reason = "the reader ends with the suite's runtime")]
    pub(crate) fn follow(fleet: &Fleet) -> Self {
        let (readings, fleet) = (Self::default(), fleet.clone());
        let reader = readings.clone();
        tokio::spawn(async move {
            let client = reqwest::Client::builder().timeout(ANSWERS_WITHIN).build().unwrap();
            loop {
                join_all(fleet.seen().into_iter().map(|seen| reader.read(&client, &fleet, seen))).await;
                reader.rounds.fetch_add(1, Ordering::Relaxed);
                pause(EVERY).await;
            }
        });
        readings
    }

    /// Waits until every page was read anew, from now on.
    pub(crate) async fn anew(&self) -> Result<(), String> {
        let whole = self.rounds.load(Ordering::Relaxed) + 2;
        within(EVENTUALLY, || async {
            if self.rounds.load(Ordering::Relaxed) >= whole { Ok(()) } else { Err("no metrics are read".to_owned()) }
        })
        .await
    }

    /// The sum of a metric over all processes that ever ran, of the series whose labels hold `label`.
    pub(crate) fn sum(&self, metric: &str, label: &str) -> f64 {
        let pages = self.pages.lock().unwrap();
        let of = |series: &str| {
            series
                .strip_prefix(metric)
                .is_some_and(|rest| (rest.is_empty() || rest.starts_with('{')) && rest.contains(label))
        };
        pages.values().flatten().filter(|(series, _)| of(series)).map(|(_, value)| value).sum()
    }

    /// The sum of a metric over all lives of one process.
    pub(crate) fn of(&self, name: &str, metric: &str) -> f64 {
        let pages = self.pages.lock().unwrap();
        let own = pages.iter().filter(|((of, _), _)| of == name).flat_map(|(_, page)| page);
        own.filter(|(series, _)| series.starts_with(metric)).map(|(_, value)| value).sum()
    }

    /// The largest memory each process ever had, in KiB.
    pub(crate) fn sizes(&self) -> Vec<(String, Size)> {
        let mut sizes: Vec<_> = self.sizes.lock().unwrap().iter().map(|(name, size)| (name.clone(), *size)).collect();
        sizes.sort_by(|a, b| a.0.cmp(&b.0));
        sizes
    }

    async fn read(&self, client: &reqwest::Client, fleet: &Fleet, seen: Seen) {
        {
            let mut sizes = self.sizes.lock().unwrap();
            let most = sizes.entry(seen.name.clone()).or_default();
            *most = Size {
                rss_kib: most.rss_kib.max(seen.size.rss_kib),
                threads: most.threads.max(seen.size.threads),
                files: most.files.max(seen.size.files),
            };
        }
        let Ok(answer) = client.get(format!("http://{}/metrics", seen.metrics)).send().await else {
            return;
        };
        let Ok(text) = answer.text().await else {
            return;
        };
        let series = text.lines().filter(|line| line.starts_with("leadline_") && !line.contains("_bucket{"));
        let page = series.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        });
        if fleet.runs(&seen) {
            self.pages.lock().unwrap().insert((seen.name, seen.incarnation), page.collect());
        }
    }
}
