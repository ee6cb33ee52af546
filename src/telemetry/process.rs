//! What this process costs, as Linux says it in `/proc`: CPU, memory, file descriptors, and since when it runs.
//!
//! Enters: the texts of `/proc`. Leaves: numbers in base units; `None` where there is no such text.
//!
//! **Invariant:** nothing is guessed: a text of another form gives no number.

use std::fs;

/// Parts of a second in which the kernel counts time for user space (`USER_HZ`), on every machine that Rust runs on.
const TICKS: f64 = 100.0;

/// What the process uses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Usage {
    /// User and system time since the start, of all threads.
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: i64,
    pub(super) open_fds: i64,
    /// The soft limit.
    pub(super) max_fds: i64,
}

/// What this process uses now.
pub(super) fn usage() -> Option<Usage> {
    let stat = read("self/stat")?;
    Some(Usage {
        cpu_seconds: seconds(&stat, 14)? + seconds(&stat, 15)?,
        resident_bytes: resident_bytes(&read("self/status")?)?,
        // The folder that is read here is open too, and not counted.
        open_fds: i64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()?.saturating_sub(1),
        max_fds: max_fds(&read("self/limits")?)?,
    })
}

/// When this process was started, in seconds since 1970.
pub(super) fn started() -> Option<f64> {
    Some(booted(&read("stat")?)? + seconds(&read("self/stat")?, 22)?)
}

fn read(file: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/{file}")).ok()
}

/// A time of `/proc/PID/stat`, by the number of its field in `proc(5)`. The second field is the program's name in brackets, which
/// may hold spaces and brackets itself.
fn seconds(stat: &str, field: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let ticks: u64 = rest.split_ascii_whitespace().nth(field.checked_sub(3)?)?.parse().ok()?;
    Some(ticks as f64 / TICKS)
}

fn resident_bytes(status: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<i64>().ok()?.checked_mul(1024)
}

fn max_fds(limits: &str) -> Option<i64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn booted(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_of_proc_are_read() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 99 0 0 0 250 150 0 0 20 0 9 0 12345 1 2 3";
        assert_eq!((seconds(stat, 14), seconds(stat, 15), seconds(stat, 22)), (Some(2.5), Some(1.5), Some(123.45)));
        assert_eq!(resident_bytes("VmHWM:\t    9 kB\nVmRSS:\t    2048 kB\n"), Some(2_097_152));
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            1024                 524288               files\n";
        assert_eq!(max_fds(limits), Some(1024));
        assert_eq!(booted("cpu 1 2\nbtime 1700000000\nprocesses 9\n"), Some(1_700_000_000.0));
    }

    #[test]
    fn texts_of_another_form_give_no_number() {
        assert_eq!(seconds("7 (a) S 1", 14), None);
        assert_eq!(seconds("", 14), None);
        assert_eq!(resident_bytes("VmRSS:\t2048 MB\n"), None);
        assert_eq!(max_fds("Max open files            unlimited            unlimited            files\n"), None);
        assert_eq!(booted("btime soon\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_uses_something() {
        let (usage, started) = (usage().unwrap(), started().unwrap());
        assert!(usage.resident_bytes > 0 && usage.open_fds >= 3 && usage.max_fds >= usage.open_fds, "{usage:?}");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!(started > 0.0 && started <= now + 1.0, "{started}");
    }
}
