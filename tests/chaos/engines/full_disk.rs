//! A PostgreSQL server on a disk that can be full: a small tmpfs, which only root may mount.
//!
//! Enters: a folder for its log. Leaves: the server, and a ballast file that takes all that is free.
//!
//! **Invariant:** the disk is the server's alone: filling it hurts nobody else.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::place;
use super::postgres::Postgres;

/// Little enough that recycled log segments do not carry the server through a full disk.
const CONF: &str = "max_wal_size = '16MB'\nmin_wal_size = '8MB'\nshared_buffers = '16MB'\ncheckpoint_timeout = '30s'";

/// A server on a small disk.
#[derive(Debug)]
pub(crate) struct FullDisk {
    /// The server.
    pub(crate) server: Postgres,
    ballast: PathBuf,
}

impl FullDisk {
    /// Mounts a disk of so many MiB, which are memory where they are used, and starts a server on it.
    ///
    /// # Errors
    /// Why there can be none here: the suite skips the fault with this line.
    pub(crate) async fn postgres(logs: &Path, mib: u32) -> Result<Self, String> {
        if !place::is_root() {
            return Err("only root can mount the small disk that this needs".to_owned());
        }
        let place = Postgres::place("small-disk");
        let size = format!("size={mib}m");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "leadline-chaos"]).arg(&place.path).output();
        match mounted {
            Ok(output) if output.status.success() => {}
            Ok(output) => return Err(format!("no small disk: {}", String::from_utf8_lossy(&output.stderr).trim())),
            Err(error) => return Err(format!("no small disk: mount: {error}")),
        }
        place.give(&place.path);
        let ballast = place.path.join("ballast");
        let server = Postgres::start_in(place, logs, "postgres-small-disk", 0, CONF).await;
        Ok(Self { server, ballast })
    }

    /// Takes every free byte.
    pub(crate) fn fill(&self) {
        let mut file = File::create(&self.ballast).expect("a ballast file");
        let mut block = vec![0_u8; 1 << 20];
        while !block.is_empty() {
            match file.write(&block) {
                Ok(1..) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Smaller and smaller blocks, until not even a page fits.
                _ => block.truncate(block.len() / 2),
            }
        }
    }

    /// Gives the bytes back. A server that gave up (it must when it cannot write its log) is started again, as an operator or
    /// a service manager would.
    pub(crate) async fn free(&mut self) {
        std::fs::remove_file(&self.ballast).ok();
        self.server.recover().await;
    }
}
