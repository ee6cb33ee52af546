//! The commands of a page in `deploy/`, run as they stand there.
//!
//! Enters: a page whose blocks have names (what follows the language in the line that opens them), and what its variables
//! mean in a test. Leaves: what the commands said.
//!
//! **Invariant:** a test types nothing that the page does not say.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A page.
#[derive(Debug)]
pub(crate) struct Page {
    name: String,
    text: String,
}

impl Page {
    /// Reads a page, by its path in this repository.
    pub(crate) fn open(name: &str) -> Self {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
        Self { name: name.to_owned(), text }
    }

    /// What stands in the block that the page opens so: a language and a name.
    pub(crate) fn block(&self, opened: &str) -> &str {
        let rest = self.text.split_once(&format!("\n```{opened}\n")).map(|(_, rest)| rest);
        let block = rest.and_then(|rest| rest.split_once("\n```\n")).map(|(block, _)| block);
        block.unwrap_or_else(|| panic!("{} has no block ```{opened}", self.name))
    }

    /// A command that types what stands in a block of shell lines; it ends with the first that fails.
    pub(crate) fn typed(&self, name: &str, variables: &[(&str, String)]) -> Command {
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", self.block(&format!("sh {name}"))]);
        command.env("PATH", path()).envs(variables.iter().map(|(name, value)| (*name, value)));
        command
    }
}

/// Where a page's commands are: those of the newest `PostgreSQL`, this `leadline`, and everybody's.
fn path() -> OsString {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.map(|entry| entry.path()).max_by_key(number).map(|path| path.join("bin"));
    let own = Path::new(env!("CARGO_BIN_EXE_leadline")).parent().map(Path::to_owned);
    let all = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(newest.into_iter().chain(own).chain(std::env::split_paths(&all))).unwrap()
}

/// What a command printed, or everything it said when it failed.
pub(crate) fn said(mut command: Command) -> Result<String, String> {
    let output = command.output().unwrap();
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    if output.status.success() { Ok(out) } else { Err(format!("{out}{err}")) }
}
