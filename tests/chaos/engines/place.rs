//! Where an engine keeps its data, and whom it runs as.
//!
//! Enters: a name. Leaves: an empty folder that the engine's user can enter, whatever the checkout's own folders allow; user
//! ids. A folder carries its process in its name, so that the next run knows what is left over.
//!
//! **Invariant:** what belongs to a process that still lives is never touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use super::daemon::{self, Pid};

const BASE: &str = "/var/tmp";
const MARK: &str = "leadline-chaos-";

/// An engine's folder; removed with this value.
#[derive(Debug)]
pub(crate) struct Place {
    /// Where it is, as this process sees it.
    pub(crate) path: PathBuf,
    /// Whom it belongs to, if not to us.
    pub(crate) user: Option<User>,
}

/// User and group, by number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Place {
    /// An empty folder, given to `user` if we are root.
    pub(crate) fn make(name: &str, user: Option<User>) -> Self {
        let base = Path::new(BASE);
        clear_leftovers(base);
        let me = Pid::me();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("{MARK}{}-{}-{number}-{name}", me.pid, me.started));
        fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let place = Self { path, user };
        place.give(&place.path);
        place
    }

    /// Hands a file or folder to the engine's user.
    pub(crate) fn give(&self, path: &Path) {
        let Some(user) = self.user else {
            return;
        };
        std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Writes a file that the engine's user may read.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path.join(name);
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.give(&path);
        path
    }

    /// A folder in this one that the engine's user may write to.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.give(&path);
        path
    }

    /// Remembers a process, for the run after one that was killed.
    pub(crate) fn remember(&self, pid: Pid) {
        let file = self.path.join("pids");
        let mut known = fs::read_to_string(&file).unwrap_or_default();
        known.push_str(&format!("{} {}\n", pid.pid, pid.started));
        fs::write(&file, known).expect("a list of processes");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// The ids of a user to lend to an engine, if we are root.
pub(crate) fn user(name: &str) -> Option<User> {
    if !is_root() {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let fields: Vec<&str> = passwd.lines().find(|line| line.starts_with(&format!("{name}:")))?.split(':').collect();
    Some(User { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
}

/// Whether we are root.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

static NUMBER: AtomicU16 = AtomicU16::new(0);

/// Ends the engines of runs that are no more, and removes their folders.
fn clear_leftovers(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((pid, rest)) = name.strip_prefix(MARK).and_then(|rest| rest.split_once('-')) else {
            continue;
        };
        let owner = Pid::parse(&format!("{pid} {}", rest.split('-').next().unwrap_or_default()));
        if owner.is_some_and(|owner| !owner.lives()) {
            let known = fs::read_to_string(entry.path().join("pids")).unwrap_or_default();
            known.lines().filter_map(Pid::parse).filter(Pid::lives).for_each(daemon::end);
            remove(&entry.path());
        }
    }
}

fn remove(path: &Path) {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let shown = path.to_string_lossy();
    let below = |point: &&str| Path::new(point).starts_with(&*shown);
    for point in mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(below) {
        Command::new("umount").args(["--lazy", point]).status().ok();
    }
    if let Err(error) = fs::remove_dir_all(path) {
        eprintln!("{}: not removed: {error}", path.display());
    }
}
