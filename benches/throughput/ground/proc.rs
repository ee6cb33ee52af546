//! CPU time, memory and writes of processes, from /proc; what cannot be read (another machine,
//! another user) is simply absent.
//!
//! Enters: a process id, or a port somebody listens on. Leaves: seconds of CPU, bytes.
//!
//! **Invariant:** a parent's figure with its children includes children that have already ended.

use std::collections::BTreeMap;
use std::fs;

use crate::stats;

/// The kernel shows times to programs in hundredths of a second, whatever it uses itself.
const TICKS: f64 = 100.0;

/// Whose CPU time belongs under one name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Watched {
    /// One process.
    One(u32),
    /// A process, its living children, and those it has waited for.
    Family(u32),
}

/// CPU seconds by name.
pub(crate) type Cpu = BTreeMap<String, f64>;

/// MiB of memory by name.
pub(crate) type Memory = BTreeMap<String, f64>;

/// CPU seconds used so far by everyone watched; several under one name are added up.
pub(crate) fn cpu(watched: &[(String, Watched)]) -> Cpu {
    let used = |watched: &Watched| match watched {
        Watched::One(pid) => Stat::read(*pid).map(|stat| stat.own),
        Watched::Family(pid) => family(*pid),
    };
    let mut cpu = Cpu::new();
    for (name, who) in watched {
        if let Some(used) = used(who) {
            *cpu.entry(name.clone()).or_default() += used;
        }
    }
    cpu
}

/// What was used between two readings.
pub(crate) fn between(before: &Cpu, after: &Cpu) -> Cpu {
    after.iter().map(|(name, used)| (name.clone(), used - before.get(name).unwrap_or(&0.0))).collect()
}

/// Microseconds of CPU per item by name: medians over rounds of (CPU, items).
pub(crate) fn per_item(rounds: &[(&Cpu, f64)]) -> Cpu {
    let names = rounds.first().map(|(cpu, _)| cpu.keys()).into_iter().flatten();
    let of = |name: &String| -> Vec<f64> {
        rounds.iter().filter_map(|(cpu, items)| Some(cpu.get(name)? * 1e6 / items)).collect()
    };
    names.map(|name| (name.clone(), stats::median(&of(name)))).collect()
}

/// CPU seconds of this process, all threads.
pub(crate) fn own_cpu() -> f64 {
    Stat::read(std::process::id()).map_or(f64::NAN, |stat| stat.own)
}

/// The largest resident memory a process ever had, in bytes.
pub(crate) fn peak_memory(pid: u32) -> Option<u64> {
    kib(&format!("/proc/{pid}/status"), "VmHWM:").map(|kib| kib * 1024)
}

/// The resident memory of a process, in bytes.
pub(crate) fn resident(pid: u32) -> Option<u64> {
    kib(&format!("/proc/{pid}/status"), "VmRSS:").map(|kib| kib * 1024)
}

/// The memory of a process and its children, in bytes; what they share counts once.
pub(crate) fn family_memory(pid: u32) -> Option<u64> {
    let children = processes().filter(|child| parent(*child) == Some(pid));
    let share = |pid: u32| kib(&format!("/proc/{pid}/smaps_rollup"), "Pss:");
    let own = share(pid)?;
    Some((own + children.filter_map(share).sum::<u64>()) * 1024)
}

/// Bytes that a process has sent to the disk so far.
pub(crate) fn written(pid: u32) -> Option<f64> {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    io.lines().find_map(|line| line.strip_prefix("write_bytes:"))?.trim().parse().ok()
}

/// Bytes as MiB.
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0 / 1024.0
}

fn kib(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The parent of a process.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    Stat::read(pid).map(|stat| stat.parent)
}

/// The process that listens on a local TCP port.
pub(crate) fn listener(port: u16) -> Option<u32> {
    let wanted = format!(":{port:04X}");
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).ok());
    let socket = tables.iter().flatten().flat_map(|t| t.lines()).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listens = fields.get(1)?.ends_with(&wanted) && *fields.get(3)? == "0A";
        listens.then(|| format!("socket:[{}]", fields.get(9).unwrap_or(&"")))
    })?;
    processes().find(|pid| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        open.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|target| target.to_str() == Some(&socket))
    })
}

struct Stat {
    parent: u32,
    own: f64,
    waited: f64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |n: usize| fields.get(n).and_then(|f| f.parse::<f64>().ok());
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own: (ticks(11)? + ticks(12)?) / TICKS,
            waited: (ticks(13)? + ticks(14)?) / TICKS,
        })
    }
}

fn family(pid: u32) -> Option<f64> {
    let root = Stat::read(pid)?;
    let children: f64 = processes().filter_map(Stat::read).filter(|stat| stat.parent == pid).map(|stat| stat.own).sum();
    Some(root.own + root.waited + children)
}

fn processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}
