//! Which RabbitMQ: the one that is installed, or another line in a root of its own.
//!
//! Enters: `LEADLINE_DEV_MQ_ROOT`, the folder of another Debian with RabbitMQ in it (made by `deploy/dev`, which sets it when
//! `LEADLINE_DEV_MQ_LINE` asks for the other line). Leaves: commands that run there.
//!
//! **Invariant:** nothing of the caller's environment reaches a node, so no configuration of the machine does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::daemon;
use super::place::{self, Place, User};

/// Where RabbitMQ and its Erlang are.
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
        let user = place::user(&root, "rabbitmq").or_else(|| place::user(&root, "postgres"));
        Self { root, user }
    }

    /// A folder that a node of this line can use.
    pub(crate) fn place(&self, name: &str) -> Place {
        Place::make(&self.root, name, self.user)
    }

    /// A path of ours as a node sees it.
    pub(crate) fn inside(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).map_or_else(|_| path.to_owned(), |rest| Path::new("/").join(rest))
    }

    /// A command of this line, in `place`, as its user.
    pub(crate) fn command(&self, place: &Place, program: &Path, variables: &[(&str, String)]) -> Command {
        if self.root == Path::new("/") {
            return daemon::command(self.user, &place.path, program, variables);
        }
        let mut command = daemon::command(None, &place.path, Path::new("chroot"), variables);
        if let Some(User { uid, gid }) = self.user {
            command.arg(format!("--userspec={uid}:{gid}")).arg("--groups=");
        }
        command.env("HOME", self.inside(&place.path)).arg(&self.root).arg(program);
        command
    }

    /// The start script itself: Debian's wrapper of that name insists on its own user and folders.
    pub(crate) fn server(&self) -> PathBuf {
        let direct = Path::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
        if self.root.join("usr/lib/rabbitmq/bin/rabbitmq-server").exists() {
            return direct.to_owned();
        }
        let versions = fs::read_dir(self.root.join("usr/lib/rabbitmq/lib")).into_iter().flatten().flatten();
        let newest = versions.map(|entry| entry.path().join("sbin/rabbitmq-server")).filter(|path| path.exists()).max();
        self.inside(&newest.expect("RabbitMQ is not installed: `deploy/dev test` installs it"))
    }
}
