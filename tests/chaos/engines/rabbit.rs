//! RabbitMQ: one node or a cluster of three, and what can happen to it.
//!
//! Enters: a folder for the logs. Leaves: URLs, kills and freezes of single nodes, real memory and disk alarms, and what
//! the cluster says about a queue. Nodes after the first start side by side and find each other by a fixed list; a part that is in the minority pauses.
//!
//! **Invariant:** a method that changes something returns when the cluster says that it is so.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::TcpStream;
use uuid::Uuid;

use super::daemon::{self, Daemon};
use super::line::Line;
use super::node::{self, Node};
use super::place::Place;
use crate::clock;
use crate::port::free_address;

/// How long a cluster may take to be whole again on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long an answer may take in coming: nodes that boot take the machine, and a queue elects its leader.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);
/// Looks a queue of the default virtual host up; `Q` is bound after it.
const LOOKUP: &str = "{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, <<\"NAME\">>)), ";

/// Whether a node serves, and how many of its cluster do, by its own account.
const SERVING: &str = "{rabbit:is_booted(), length(case erlang:function_exported(rabbit_nodes, list_running, 0) of \
                       true -> rabbit_nodes:list_running(); false -> rabbit_mnesia:cluster_nodes(running) end)}.";

/// A broker of our own.
#[derive(Debug)]
pub(crate) struct Rabbit {
    // Dropped in this order: nodes before their name server.
    nodes: Vec<Node>,
    _epmd: Daemon,
    _place: Place,
}

impl Rabbit {
    /// `nodes` (1 or 3) fresh nodes, joined.
    pub(crate) async fn start(logs: &Path, nodes: usize) -> Self {
        let line = Line::chosen();
        let (place, port, cookie) =
            (line.place("epmd"), free_address().unwrap().port(), Uuid::now_v7().simple().to_string());
        let epmd = node::epmd(&line, &place, &daemon::log(logs, "epmd"), port);
        let nodes = (0..nodes).map(|number| Node::new(&line, logs, number, nodes, port, &cookie)).collect();
        let mut rabbit = Self { nodes, _epmd: epmd, _place: place };
        // The first alone: an empty node that waits for it holds the lock that it needs to found the cluster.
        for range in [0..1, 1..rabbit.nodes.len()] {
            rabbit.nodes.iter_mut().take(range.end).skip(range.start).for_each(Node::spawn);
            rabbit.whole().await;
        }
        rabbit
    }

    /// Where a node listens.
    pub(crate) fn address(&self, node: usize) -> SocketAddr {
        self.node(node).address()
    }

    /// A node's URL.
    pub(crate) fn url(&self, node: usize) -> String {
        format!("amqp://guest:guest@{}/%2f", self.address(node))
    }

    /// Has a command run beside a node, as its user; `rabbitmqctl` in it means that node.
    pub(crate) fn lend(&self, node: usize, command: Command) -> Command {
        self.node(node).lend(command)
    }

    /// A folder beside a node's data that it may write to.
    pub(crate) fn folder(&self, node: usize, name: &str) -> PathBuf {
        self.node(node).folder(name)
    }

    /// Hands a file to a node's user.
    pub(crate) fn own(&self, node: usize, file: &Path) {
        self.node(node).own(file);
    }

    /// How many nodes there are.
    pub(crate) fn count(&self) -> usize {
        self.nodes.len()
    }

    /// SIGKILL to a node.
    pub(crate) fn kill9(&mut self, node: usize) {
        self.nodes.get_mut(node).expect("a node of that number").kill9();
    }

    /// Starts a killed node; returns when it serves and is joined. Several that need each other: [`Rabbit::start_all`].
    pub(crate) async fn start_again(&mut self, node: usize) {
        self.nodes.get_mut(node).expect("a node of that number").spawn();
        self.serves(self.node(node)).await;
    }

    /// Starts every node that is not running, side by side.
    pub(crate) async fn start_all(&mut self) {
        for node in &mut self.nodes {
            if !node.runs() {
                node.spawn();
            }
        }
        self.whole().await;
    }

    /// SIGSTOP to a node: its connections stay open and silent.
    pub(crate) fn pause(&self, node: usize) {
        self.node(node).pause();
    }

    /// SIGCONT. A frozen node of three was given up by the others; it pauses, comes back and joins by itself.
    pub(crate) fn resume(&self, node: usize) {
        self.node(node).resume();
    }

    /// Which node leads a quorum queue.
    pub(crate) async fn leader_of(&self, queue: &str) -> usize {
        let value = self.ask(&format!("{}{{_, N}} = amqqueue:get_pid(Q), N.", lookup(queue))).await;
        let name = value.trim_matches('\'');
        self.nodes.iter().position(|node| node.name() == name).unwrap_or_else(|| panic!("{queue}: leader {value}"))
    }

    /// Messages in a quorum queue, handed out ones included; asked of its leader, since what nodes publish about it lags by seconds.
    pub(crate) async fn messages(&self, queue: &str) -> u64 {
        let count =
            "{ok, {_, M}, _} = ra:leader_query(amqqueue:get_pid(Q), fun rabbit_fifo:query_messages_total/1), M.";
        let value = self.ask(&format!("{}{count}", lookup(queue))).await;
        value.parse().unwrap_or_else(|_| panic!("{queue}: messages {value}"))
    }

    /// How many nodes keep a copy of a quorum queue.
    pub(crate) async fn members(&self, queue: &str) -> usize {
        let value = self.ask(&format!("{}length(maps:get(nodes, amqqueue:get_type_state(Q))).", lookup(queue))).await;
        value.parse().unwrap_or_else(|_| panic!("{queue}: members {value}"))
    }

    /// A real memory alarm, on or off: every publishing connection of the cluster is blocked.
    pub(crate) async fn memory_alarm(&self, on: bool) {
        let limit = if on { "0.00000001" } else { "0.6" };
        self.alarm(on, "memory", &format!("vm_memory_monitor:set_vm_memory_high_watermark({limit}).")).await;
    }

    /// A real disk alarm, on or off.
    pub(crate) async fn disk_alarm(&self, on: bool) {
        let limit = if on { "1000000000000000" } else { "50000000" };
        self.alarm(on, "disk", &format!("rabbit_disk_monitor:set_disk_free_limit({limit}).")).await;
    }

    /// Ends every client connection; how many there were.
    pub(crate) async fn close_connections(&self) -> u64 {
        let value = self
            .ask(
                "L = rabbit_networking:connections(), \
                 [rabbit_networking:close_connection(P, \"closed by the operator\") || P <- L], length(L).",
            )
            .await;
        value.parse().expect("a number")
    }

    /// How many clients are connected to each node.
    pub(crate) async fn connections(&self) -> Vec<usize> {
        let mut counts = Vec::new();
        for node in &self.nodes {
            let count = node.eval("length(rabbit_networking:local_connections()).").await;
            counts.push(count.ok().and_then(|count| count.parse().ok()).unwrap_or_default());
        }
        counts
    }

    /// RabbitMQ's version.
    pub(crate) async fn version(&self) -> String {
        self.ask("list_to_atom(rabbit_misc:version()).").await.trim_matches('\'').to_owned()
    }

    /// What the first node that answers says, soon.
    pub(crate) async fn ask(&self, expression: &str) -> String {
        let answer = clock::within(ANSWERS_WITHIN, || async {
            let mut last = String::new();
            for node in &self.nodes {
                match node.eval(expression).await {
                    Ok(value) => return Ok(value),
                    Err(error) => last = error,
                }
            }
            Err(last)
        });
        answer.await.unwrap_or_else(|last| panic!("RabbitMQ does not answer: {last}"))
    }

    async fn alarm(&self, on: bool, what: &str, expression: &str) {
        self.ask(expression).await;
        let shown = clock::within(PATIENCE, || async {
            let alarms = self.ask("rabbit_alarm:get_alarms().").await;
            if alarms.contains(what) == on { Ok(()) } else { Err(alarms) }
        });
        if let Err(alarms) = shown.await {
            panic!("the {what} alarm is not {}: {alarms}", if on { "on" } else { "off" });
        }
    }

    /// Waits until every node that runs serves and sees all others that run.
    async fn whole(&self) {
        join_all(self.nodes.iter().filter(|node| node.runs()).map(|node| self.serves(node))).await;
    }

    async fn serves(&self, node: &Node) {
        let all = self.nodes.iter().filter(|node| node.runs()).count();
        let joined = clock::within(PATIENCE, || async {
            // Cheaper than a question, while it still starts.
            TcpStream::connect(node.address()).await.map_err(|error| error.to_string())?;
            let value = node.eval(SERVING).await?;
            if value == format!("{{true, {all}}}") { Ok(()) } else { Err(value) }
        });
        if let Err(why) = joined.await {
            panic!("{} does not serve as one of {all}: {why}; {}", node.name(), node.said());
        }
    }

    fn node(&self, number: usize) -> &Node {
        self.nodes.get(number).expect("a node of that number")
    }
}

fn lookup(queue: &str) -> String {
    LOOKUP.replace("NAME", queue)
}
