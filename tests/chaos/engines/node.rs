//! One RabbitMQ node: its folder, its ports, its process, and a way to have it evaluate Erlang.
//!
//! Enters: the line, a number, the names of all nodes. Leaves: a process. `erl_call` speaks to it in milliseconds;
//! `rabbitmqctl` would take a second of CPU each time. The long name with an address in it needs no name service.
//!
//! **Invariant:** ports, name and data of a node survive its death.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::daemon::{self, Daemon};
use super::line::Line;
use super::place::Place;
use crate::port::free_address;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// No busy waiting: three nodes and everything else share two cores. A silent node is given up after 8 s, not 60.
const ERLANG: &str = "-kernel inet_dist_use_interface {127,0,0,1} -kernel net_ticktime 8 \
                      +sbwt none +sbwtdcpu none +sbwtdio none +S 2:2";

/// A node, running or not.
#[derive(Debug)]
pub(super) struct Node {
    line: Line,
    place: Place,
    log: PathBuf,
    name: String,
    amqp: u16,
    dist: u16,
    epmd: u16,
    daemon: Option<Daemon>,
}

impl Node {
    /// A node that is not started yet.
    pub(super) fn new(line: &Line, logs: &Path, number: usize, of: usize, epmd: u16, cookie: &str) -> Self {
        let place = line.place(&format!("rabbit-{number}"));
        let cookie = place.write(".erlang.cookie", cookie);
        fs::set_permissions(cookie, fs::Permissions::from_mode(0o400)).expect("a private cookie");
        place.write("enabled_plugins", "[].");
        place.write("rabbitmq-env.conf", "");
        let log = daemon::log(logs, &format!("rabbit-{number}"));
        let name = node_name(number);
        let (amqp, dist) = (free_address().unwrap().port(), free_address().unwrap().port());
        let node = Self { line: line.clone(), place, log, name, amqp, dist, epmd, daemon: None };
        node.place.write("rabbitmq.conf", &node.conf(number, of));
        node
    }

    fn conf(&self, number: usize, of: usize) -> String {
        let mut conf = format!(
            "listeners.tcp.1 = 127.0.0.1:{}\nloopback_users.guest = true\ndisk_free_limit.absolute = 50MB\n\
             vm_memory_high_watermark.relative = 0.4\nlog.console = true\nlog.console.level = info\n\
             log.connection.level = warning\n",
            self.amqp
        );
        if of > 1 {
            conf.push_str("cluster_partition_handling = pause_minority\n");
            conf.push_str("cluster_formation.peer_discovery_backend = classic_config\n");
            // On a busy machine the first may take a while; who gives up on it would found a cluster of its own.
            conf.push_str("cluster_formation.discovery_retry_limit = 200\n");
            conf.push_str(&format!("cluster_formation.classic_config.nodes.1 = {}\n", node_name(0)));
            if number > 0 {
                conf.push_str(&format!("cluster_formation.classic_config.nodes.2 = {}\n", node_name(number)));
            }
        }
        conf
    }

    /// Starts the process; it answers later.
    pub(super) fn spawn(&mut self) {
        let file = |name: &str| self.place.path.join(name).to_string_lossy().into_owned();
        let variables = [
            ("ERL_EPMD_PORT", self.epmd.to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_NODENAME", self.name.clone()),
            ("RABBITMQ_USE_LONGNAME", "true".to_owned()),
            ("RABBITMQ_DIST_PORT", self.dist.to_string()),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", ERLANG.to_owned()),
            ("RABBITMQ_CONF_ENV_FILE", file("rabbitmq-env.conf")),
            ("RABBITMQ_CONFIG_FILE", file("rabbitmq.conf")),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", file("advanced.config")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", file("enabled_plugins")),
            ("RABBITMQ_MNESIA_BASE", file("data")),
            ("RABBITMQ_LOG_BASE", file("log")),
            ("RABBITMQ_LOGS", "-".to_owned()),
            ("RABBITMQ_PID_FILE", file("pid")),
            // The start script replaces itself by Erlang, so that the process is the server.
            ("RUNNING_UNDER_SYSTEMD", "true".to_owned()),
        ];
        let mut command = self.line.command(&self.place, Path::new("bash"), &variables);
        // Erlang sizes tables by this limit: not the million that some containers allow.
        command.args(["-c", "ulimit -Sn 8192 2>/dev/null; exec \"$0\""]).arg(self.line.server());
        self.daemon = Some(Daemon::spawn(&mut command, &self.log, &self.place));
    }

    /// Has the node evaluate an Erlang expression; its value as Erlang prints it.
    pub(super) async fn eval(&self, expression: &str) -> Result<String, String> {
        let epmd = [("ERL_EPMD_PORT", self.epmd.to_string())];
        let mut command = self.line.command(&self.place, Path::new("erl_call"), &epmd);
        command.args(["-address", &format!("127.0.0.1:{}", self.dist), "-timeout", "8", "-e"]);
        let answer = daemon::run(&mut command, &format!("{expression}\n"), ANSWER).await?;
        let value = answer.trim().strip_prefix("{ok, ").and_then(|rest| rest.strip_suffix('}'));
        value.map(str::to_owned).ok_or_else(|| format!("{expression}: {answer}"))
    }

    /// Has a command run beside the node, as its user; `rabbitmqctl` in it means this node.
    pub(super) fn lend(&self, mut command: Command) -> Command {
        let server = self.line.server();
        let scripts = server.parent().unwrap_or(Path::new("/"));
        command
            .env("PATH", format!("{}:{}", scripts.display(), self.line.path()))
            .env("ERL_EPMD_PORT", self.epmd.to_string())
            .env("RABBITMQ_NODENAME", &self.name)
            .env("RABBITMQ_USE_LONGNAME", "true")
            .env("RABBITMQ_CONF_ENV_FILE", self.place.path.join("rabbitmq-env.conf"));
        daemon::lend(command, &self.place)
    }

    /// A folder beside its data that it may write to.
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.place.folder(name)
    }

    /// Hands a file to its user.
    pub(super) fn own(&self, file: &Path) {
        self.place.give(file);
    }

    pub(super) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.amqp).into()
    }

    /// Its Erlang name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// SIGKILL.
    pub(super) fn kill9(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill();
        }
    }

    /// Whether its process is there.
    pub(super) fn runs(&self) -> bool {
        self.daemon.as_ref().is_some_and(Daemon::runs)
    }

    /// SIGSTOP.
    pub(super) fn pause(&self) {
        self.daemon.iter().for_each(Daemon::pause);
    }

    /// SIGCONT.
    pub(super) fn resume(&self) {
        self.daemon.iter().for_each(Daemon::resume);
    }

    /// The end of its log.
    pub(super) fn said(&self) -> String {
        self.daemon.as_ref().map(Daemon::said).unwrap_or_default()
    }
}

fn node_name(number: usize) -> String {
    format!("leadline{number}@127.0.0.1")
}

/// Erlang's name server, on a port and an address of its own; nodes would start one on every address, for good.
pub(super) fn epmd(line: &Line, place: &Place, log: &Path, port: u16) -> Daemon {
    let mut command = line.command(place, Path::new("epmd"), &[]);
    command.args(["-address", "127.0.0.1", "-port", &port.to_string()]);
    Daemon::spawn(&mut command, log, place)
}
