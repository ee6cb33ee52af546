//! One process of an engine: started, stopped, frozen and killed with its children.
//!
//! Enters: a command and a log. Leaves: a [`Daemon`], which is killed when dropped.
//!
//! **Invariant:** a signal goes only to a process whose start time is the one we noted.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::place::{Place, User};
use crate::clock;

/// A process, told from a later one of the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pid {
    pub(crate) pid: u32,
    pub(crate) started: u64,
}

impl Pid {
    pub(crate) fn me() -> Self {
        Self::of(std::process::id()).expect("/proc")
    }

    /// The process with that number; none if it is gone or a zombie.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let fields = stat(pid)?;
        let dead = matches!(fields.first()?.as_str(), "Z" | "X");
        (!dead).then_some(())?;
        Some(Self { pid, started: fields.get(19)?.parse().ok()? })
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (pid, started) = text.split_once(' ')?;
        Some(Self { pid: pid.parse().ok()?, started: started.parse().ok()? })
    }

    pub(crate) fn lives(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    fn children(self) -> Vec<Self> {
        let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let ours = |pid: &u32| stat(*pid).and_then(|fields| fields.get(1)?.parse().ok()) == Some(self.pid);
        pids.filter(ours).filter_map(Self::of).collect()
    }
}

/// The fields of `/proc/PID/stat` after the name; the state is the first, the parent the second.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect())
}

/// SIGKILL to a process and its children.
pub(crate) fn end(pid: Pid) {
    let children = pid.children();
    signal("KILL", &[pid]);
    signal("KILL", &children);
}

fn signal(name: &str, whom: &[Pid]) {
    let whom: Vec<String> = whom.iter().filter(|pid| pid.lives()).map(|pid| pid.pid.to_string()).collect();
    if !whom.is_empty() {
        // One of them may have ended meanwhile.
        Command::new("kill").args(["-s", name]).args(whom).stderr(Stdio::null()).status().ok();
    }
}

/// A running process.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    pid: Pid,
    log: PathBuf,
}

impl Daemon {
    /// Starts a command; what it says is appended to `log`.
    pub(crate) fn spawn(command: &mut Command, log: &Path, place: &Place) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(log);
        let file = file.unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        let copy = file.try_clone().expect("a file handle");
        let child = command.stdin(Stdio::null()).stdout(copy).stderr(file).spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let pid = Pid::of(child.id()).unwrap_or_else(|| panic!("{command:?} ended at once, see {}", log.display()));
        place.remember(pid);
        Self { child, pid, log: log.to_owned() }
    }

    /// Whether it still runs.
    pub(crate) fn runs(&self) -> bool {
        self.pid.lives()
    }

    /// SIGKILL to it and its children: what a power cut leaves behind.
    pub(crate) fn kill(&mut self) {
        end(self.pid);
        self.child.wait().ok();
    }

    /// Sends a signal to the process alone, and waits until it has ended.
    pub(crate) async fn stop(&mut self, name: &str, patience: Duration) {
        signal(name, &[self.pid]);
        let child = std::sync::Mutex::new(&mut self.child);
        let ended = clock::within(patience, || async {
            let status = child.lock().expect("no other thread").try_wait();
            status.ok().flatten().ok_or("it still runs")
        });
        if let Err(why) = ended.await {
            panic!("SIG{name} to {}: {why} after {patience:?}; see {}", self.pid.pid, self.log.display());
        }
    }

    /// SIGHUP: read the configuration again.
    pub(crate) fn reload(&self) {
        signal("HUP", &[self.pid]);
    }

    /// SIGSTOP to it and its children; connections stay open and silent.
    pub(crate) fn pause(&self) {
        signal("STOP", &[self.pid]);
        signal("STOP", &self.pid.children());
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) {
        signal("CONT", &self.pid.children());
        signal("CONT", &[self.pid]);
    }

    /// The end of its log.
    pub(crate) fn said(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(12).collect();
        let lines: Vec<&str> = lines.into_iter().rev().collect();
        format!("{}:\n{}", self.log.display(), lines.join("\n"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where programs are looked for.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command as `user`, with nothing of our environment but the path.
pub(crate) fn command(user: Option<User>, home: &Path, program: &Path, variables: &[(&str, String)]) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(program);
    command.env_clear().envs(variables.iter().map(|(name, value)| (*name, value)));
    command.env("PATH", PATH).env("LANG", "C.UTF-8").process_group(0);
    belong(&mut command, user, home);
    command
}

/// A command with what it has, as the user of a place, in that place.
pub(crate) fn lend(mut command: Command, place: &Place) -> Command {
    belong(&mut command, place.user, &place.path);
    command
}

fn belong(command: &mut Command, user: Option<User>, home: &Path) {
    use std::os::unix::process::CommandExt;
    command.env("HOME", home).current_dir(home);
    if let Some(User { uid, gid }) = user {
        command.uid(uid).gid(gid);
    }
}

/// Runs a command to its end; its output, or what it complained about. Not for talkative programs: their words wait in a pipe.
pub(crate) async fn run(command: &mut Command, input: &str, patience: Duration) -> Result<String, String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
    if let Some(mut pipe) = child.stdin.take() {
        pipe.write_all(input.as_bytes()).ok();
    }
    let ended = {
        let waiting = std::sync::Mutex::new(&mut child);
        clock::within(patience, || async {
            let status = waiting.lock().expect("no other thread").try_wait();
            status.ok().flatten().ok_or("no end")
        })
        .await
    };
    if ended.is_err() {
        child.kill().ok();
    }
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match (ended, output.status.success()) {
        (Ok(_), true) => Ok(said(&output.stdout)),
        (Ok(_), false) => Err(format!("{command:?}: {}{}", said(&output.stderr), said(&output.stdout))),
        (Err(_), _) => Err(format!("{command:?}: no end within {patience:?}")),
    }
}

/// An empty log to start with.
pub(crate) fn log(folder: &Path, name: &str) -> PathBuf {
    fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let path = folder.join(format!("{name}.log"));
    File::create(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    path
}
