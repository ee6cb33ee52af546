//! How the processes under test are set up: short deadlines, so that a run of minutes shows what
//! would take hours; every value is one that a production site could use.
//!
//! **Invariant:** nothing is set here that changes what an answer means.

/// Settings of every process, as `LEADLINE__…` variables.
pub(crate) const SETTINGS: &[(&str, &str)] = &[
    ("BROKER__HEARTBEAT", "2s"),
    ("BROKER__CONNECT_TIMEOUT", "2s"),
    ("BROKER__RPC_TIMEOUT", "2s"),
    ("BROKER__RECONNECT_MIN", "50ms"),
    ("BROKER__RECONNECT_MAX", "500ms"),
    ("WORKER__BACKOFF_MAX", "500ms"),
    ("WORKER__HOLD_MAX", "4s"),
    ("WORKER__LOST_AFTER", "9s"),
    ("WORKER__PARK_MAX", "25s"),
    ("STORE__ACQUIRE_TIMEOUT", "1s"),
    ("STORE__STATEMENT_TIMEOUT", "3s"),
    ("STORE__LOCK_TIMEOUT", "2s"),
    ("STORE__COMMIT_DEADLINE", "2s"),
    ("LIFECYCLE__STOP_BUDGET", "8s"),
    ("TELEMETRY__FORMAT", "json"),
];

/// `worker.park_max` as above, in seconds: the longest that an accepted follow-up may be under way.
pub(crate) const PARK_MAX_S: u64 = 25;

/// What one shard queue holds before it refuses more: soon full in a short run; in a long one, what comes while no worker
/// works for a minute, at up to 1600 requests a second.
pub(crate) const fn queue_max_length(long: bool) -> usize {
    if long { 24_000 } else { 1200 }
}

/// The disk that can be full: soon filled in a short run; in a long one it holds what an hour of load writes.
pub(crate) const fn small_disk_mib(long: bool) -> u32 {
    if long { 2048 } else { 160 }
}
