//! What a database is seeded with: one workspace, its key, links, and clicks on them.
//!
//! Enters: how many, and whether one link is hot. Leaves: [`Seeds`], of which requests and messages are
//! made, and a file of click ids for the generator.
//!
//! **Invariant:** a label is used once per run: slug, domain and file bear it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use leadline::lead::{id, message::whole_millis};
use uuid::Uuid;

use crate::Outcome;
use crate::load::{Click, Ids, Job, Traffic};

const LINKS: usize = 100;
const CLICKS: usize = 10_000;

/// A tenant and what load on it is made of.
#[derive(Debug, Clone)]
pub(crate) struct Seeds {
    pub(crate) workspace_id: Uuid,
    pub(crate) key: String,
    pub(crate) clicks: Arc<[Click]>,
    pub(crate) links: Arc<[Uuid]>,
    pub(super) label: &'static str,
    files: PathBuf,
}

/// Where the run's files go: diary, log, figures.
pub(crate) fn folder() -> Outcome<PathBuf> {
    folder_of("bench")
}

/// A folder under `target`.
pub(crate) fn folder_of(name: &str) -> Outcome<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(name);
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

impl Seeds {
    /// The usual tenant: 100 links, 10 000 clicks spread evenly.
    pub(crate) fn new(label: &'static str) -> Outcome<Self> {
        Self::shaped(label, LINKS, CLICKS, false)
    }

    /// A tenant with so many links and clicks; with `hot`, every second click is on the first link.
    pub(crate) fn shaped(label: &'static str, links: usize, clicks: usize, hot: bool) -> Outcome<Self> {
        let links: Arc<[Uuid]> = (0..links).map(|_| Uuid::now_v7()).collect();
        let first = *links.first().ok_or("no links")?;
        let now = whole_millis(Utc::now());
        let millis = u64::try_from(now.timestamp_millis())?;
        let clicks: Arc<[Click]> = (0_u64..)
            .zip(links.iter().cycle())
            .take(clicks)
            .map(|(n, link_id)| Click {
                id: id::click_id(millis - n),
                link_id: if hot && n % 2 == 0 { first } else { *link_id },
                at: now - Duration::from_millis(n),
            })
            .collect();
        let files = folder()?;
        let ids: Vec<&str> = clicks.iter().map(|click| click.id.as_str()).collect();
        std::fs::write(files.join(format!("{label}-clicks.txt")), ids.join("\n"))?;
        let key = format!("ll_{}", id::alphanumerics(24));
        Ok(Self { workspace_id: Uuid::now_v7(), key, clicks, links, label, files })
    }

    /// Asynchronous load on these addresses, with the diary on.
    pub(crate) fn job(&self, addresses: Vec<String>, connections: usize) -> Job {
        let file = |name: &str| self.files.join(name).to_string_lossy().into_owned();
        Job {
            addresses,
            prefix: String::new(),
            connections,
            seconds: 1.0,
            count: 0,
            rate: 0.0,
            traffic: Traffic::Async,
            ids: Ids::Random,
            key: self.key.clone(),
            workspace: id::show(id::WORKSPACE, self.workspace_id),
            clicks: file(&format!("{}-clicks.txt", self.label)),
            diary: file("diary.ndjson"),
            deferred: file("deferred.txt"),
        }
    }
}
