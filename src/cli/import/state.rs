//! How far an import has come, in a file beside the imported one.
//!
//! Enters: the place up to which every line is answered. Leaves: a file, replaced as a whole. It names the file
//! that it belongs to by length, head and tail, so that another is not gone on with by mistake; sending a lead
//! twice is harmless, leaving one out is not.
//!
//! **Invariant:** whatever dies while it is written, the file holds the old state or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::error::CliError;
use super::line::Place;

/// How much of a file's head, and of its tail, is looked at.
const LOOKED_AT: u64 = 64 * 1024;
const VERSION: u8 = 1;

/// What tells one file from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) bytes: u64,
    head: String,
    tail: String,
}

/// What was answered so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totals {
    pub(super) accepted: u64,
    /// Of these, how many were recorded before.
    pub(super) duplicates: u64,
    pub(super) refused: u64,
}

/// How far an import has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    v: u8,
    pub(super) file: Identity,
    pub(super) place: Place,
    /// The last line that is answered.
    pub(super) line: u64,
    pub(super) totals: Totals,
    /// Bytes of the file of refused lines that belong to it.
    pub(super) refused_bytes: u64,
}

impl Identity {
    /// Of a file that can be read anywhere.
    pub(super) fn of(file: &mut File) -> io::Result<Self> {
        let bytes = file.metadata()?.len();
        let mut digest = |from: u64| {
            file.seek(SeekFrom::Start(from))?;
            let mut part = Vec::new();
            file.take(LOOKED_AT).read_to_end(&mut part)?;
            Ok::<String, io::Error>(hex::encode(Sha256::digest(&part)))
        };
        let (head, tail) = (digest(0)?, digest(bytes.saturating_sub(LOOKED_AT))?);
        file.seek(SeekFrom::Start(0))?;
        Ok(Self { bytes, head, tail })
    }
}

impl State {
    pub(super) fn new(file: Identity) -> Self {
        let (place, totals) = (Place::default(), Totals::default());
        Self { v: VERSION, file, place, line: 0, totals, refused_bytes: 0 }
    }

    /// The state of an import that was begun; `None` when none was.
    ///
    /// # Errors
    /// [`CliError`] when it cannot be read, or belongs to another file.
    pub(super) fn read(path: &Path, file: &Identity) -> Result<Option<Self>, CliError> {
        let shown = path.display();
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(CliError::File(shown.to_string(), error)),
        };
        let anew = "remove it to begin anew (what was sent before is not recorded twice)";
        match serde_json::from_slice::<Self>(&text) {
            Ok(state) if state.v == VERSION && state.file == *file => Ok(Some(state)),
            Ok(state) if state.v == VERSION => {
                let line = state.line;
                Err(CliError::said(format!("{shown} is of another file, of which line {line} was reached: {anew}")))
            }
            _ => Err(CliError::said(format!("{shown} is not the state of an import: {anew}"))),
        }
    }

    /// Writes it in place of the one before.
    ///
    /// # Errors
    /// [`CliError`] when it cannot be written.
    pub(super) fn write(&self, path: &Path) -> Result<(), CliError> {
        let write = || {
            let beside = beside(path, ".new");
            let mut file = private(&beside)?;
            file.write_all(&serde_json::to_vec(self)?)?;
            file.sync_all()?;
            fs::rename(beside, path)
        };
        write().map_err(|error| CliError::File(path.display().to_string(), error))
    }
}

/// A path with more at its end.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// A new file, or an emptied one, that its owner alone may read: it holds what customers are called.
fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_that_of_its_file_alone() {
        let folder = std::env::temp_dir().join(format!("leadline-state-{}", crate::lead::id::alphanumerics(12)));
        fs::create_dir(&folder).unwrap();
        let (file, path) = (folder.join("leads.ndjson"), folder.join("leads.ndjson.import-state"));
        let long = "x".repeat(200_000);
        let identity = |text: &str| {
            fs::write(&file, text).unwrap();
            Identity::of(&mut File::open(&file).unwrap()).unwrap()
        };
        let own = identity(&long);
        assert_eq!(State::read(&path, &own).unwrap(), None);
        let mut state = State::new(own.clone());
        state.line = 7;
        state.write(&path).unwrap();
        state.write(&path).unwrap();
        assert_eq!(State::read(&path, &own).unwrap(), Some(state));
        for other in [format!("{long}y"), format!("y{}", &long[1..]), format!("{}y", &long[1..])] {
            let said = State::read(&path, &identity(&other)).unwrap_err().to_string();
            assert!(said.contains("is of another file, of which line 7 was reached"), "{said}");
        }
        fs::write(&path, "{}").unwrap();
        assert!(State::read(&path, &own).is_err());
        fs::remove_dir_all(folder).unwrap();
    }
}
