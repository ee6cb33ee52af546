//! Which RabbitMQ: the one that is installed, or another line in a folder of its own.
//!
//! Enters: `LEADLINE_DEV_MQ_ROOT`, a folder with RabbitMQ and its Erlang (made by `deploy/dev`, which sets it where
//! `LEADLINE_DEV_MQ_LINE` asks for the other line). Leaves: commands that find that Erlang first; its programs know
//! their libraries by their full path, so they run like the machine's own.
//!
//! **Invariant:** nothing of the caller's environment reaches a node, so no configuration of the machine does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::daemon;
use super::place::{self, Place, User};

/// Where RabbitMQ and its Erlang are, and whom they run as.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    root: PathBuf,
    user: Option<User>,
}

impl Line {
    /// The one that the environment asks for.
    #[expect(clippy::disallowed_methods, reason = "tests are told by their caller where the engines are")]
    pub(crate) fn chosen() -> Self {
        let root = std::env::var("LEADLINE_DEV_MQ_ROOT").ok().filter(|root| !root.is_empty());
        let root = PathBuf::from(root.as_deref().unwrap_or("/"));
        let user = place::user("rabbitmq").or_else(|| place::user("postgres"));
        Self { root, user }
    }

    /// A folder that a node of this line can use.
    pub(crate) fn place(&self, name: &str) -> Place {
        Place::make(name, self.user)
    }

    /// A command of this line, in `place`, as its user.
    pub(crate) fn command(&self, place: &Place, program: &Path, variables: &[(&str, String)]) -> Command {
        let mut command = daemon::command(self.user, &place.path, program, variables);
        command.env("PATH", self.path());
        command
    }

    /// Where its programs are looked for.
    pub(crate) fn path(&self) -> String {
        match self.root == Path::new("/") {
            true => daemon::PATH.to_owned(),
            false => format!("{}:{}", self.root.join("bin").display(), daemon::PATH),
        }
    }

    /// The start script itself: Debian's wrapper of that name insists on its own user and folders.
    pub(crate) fn server(&self) -> PathBuf {
        let direct = self.root.join("usr/lib/rabbitmq/bin/rabbitmq-server");
        if direct.exists() {
            return direct;
        }
        let versions = fs::read_dir(self.root.join("usr/lib/rabbitmq/lib")).into_iter().flatten().flatten();
        let newest = versions.map(|entry| entry.path().join("sbin/rabbitmq-server")).filter(|path| path.exists()).max();
        newest.expect("RabbitMQ is not installed: `deploy/dev test` installs it")
    }
}
