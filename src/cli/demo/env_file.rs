//! The env file: `KEY=value` lines in shell syntax, as `deploy/dev` and people source them.
//!
//! **Invariant:** lines that are not ours stay as they are, and only the owner can read the file.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::super::error::CliError;

/// The lines of an env file.
#[derive(Debug, Default)]
pub(super) struct EnvFile {
    lines: Vec<String>,
}

impl EnvFile {
    /// Reads the file; one that does not exist is empty.
    pub(super) fn read(path: &Path) -> Result<Self, CliError> {
        match fs::read_to_string(path) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(CliError::File(path.display().to_string(), error)),
        }
    }

    fn parse(text: &str) -> Self {
        Self { lines: text.lines().map(str::to_owned).collect() }
    }

    /// The value of a key; the last assignment counts, as in a shell.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let value = self.lines.iter().rev().find_map(|line| assigned(line, key))?;
        Some(unquoted(value.trim()))
    }

    /// Sets a key whose value needs no quoting; replaces its line or adds one.
    pub(super) fn set(&mut self, key: &str, value: &str) {
        self.lines.retain(|line| assigned(line, key).is_none());
        self.lines.push(format!("{key}={value}"));
    }

    /// Writes the file anew, readable by its owner only.
    pub(super) fn write(&self, path: &Path) -> Result<(), CliError> {
        let failed = |error| CliError::File(path.display().to_string(), error);
        let beside = path.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&beside).map_err(failed)?;
        file.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
        file.write_all(self.text().as_bytes()).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        fs::rename(&beside, path).map_err(failed)
    }

    fn text(&self) -> String {
        let mut text = self.lines.join("\n");
        text.push('\n');
        text
    }
}

fn assigned<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").map_or(line, str::trim_start);
    line.strip_prefix(key)?.strip_prefix('=')
}

fn unquoted(value: &str) -> &str {
    ['\'', '"'].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_and_replaced_and_other_lines_kept() {
        let mut file = EnvFile::parse("# ours\nexport A='1'\nAB=2\nA=\"3\"\n");
        assert_eq!((file.get("A"), file.get("AB"), file.get("B")), (Some("3"), Some("2"), None));
        file.set("A", "4");
        assert_eq!(file.text(), "# ours\nAB=2\nA=4\n");
    }
}
