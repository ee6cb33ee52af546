//! One struct per room; `config/default.toml` says what each key means, in which unit and why.
//!
//! **Invariant:** no `Default` implementations: the defaults stand in the file only, once.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::SecretString;
use serde::Deserialize;

/// `[http]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key; a second text would drift")]
pub struct Http {
    pub listen: SocketAddr,
    pub metrics_listen: SocketAddr,
    pub max_connections: usize,
    pub head_limit_bytes: usize,
    pub body_limit_bytes: usize,
    pub batch_limit_bytes: usize,
    pub max_body_bytes_in_flight: usize,
    #[serde(with = "humantime_serde")]
    pub header_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub body_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub write_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    pub rate_per_key: u32,
    pub burst_per_key: u32,
    pub rate_per_address: u32,
    pub burst_per_address: u32,
    pub trusted_proxies: Vec<IpNet>,
    pub client_ip_header: String,
    pub country_header: String,
    pub register_domains: bool,
}

/// `[intake]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key; a second text would drift")]
pub struct Intake {
    #[serde(with = "humantime_serde")]
    pub resolve_timeout: Duration,
    pub resolve_lanes: usize,
    pub resolve_batch: usize,
    #[serde(with = "humantime_serde")]
    pub gather: Duration,
    pub direct_lanes: usize,
    pub direct_batch: usize,
    pub click_cache: u64,
    #[serde(with = "humantime_serde")]
    pub link_ttl: Duration,
    #[serde(with = "humantime_serde")]
    pub wait_timeout: Duration,
    pub max_in_flight: usize,
    pub workspace_share: usize,
    #[serde(with = "humantime_serde")]
    pub retry_after: Duration,
}

/// `[broker]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key; a second text would drift")]
pub struct Broker {
    pub url: SecretString,
    pub ca_file: String,
    pub cert_file: String,
    pub key_file: String,
    pub prefix: String,
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub confirm_deadline: Duration,
    #[serde(with = "humantime_serde")]
    pub rpc_timeout: Duration,
    pub publishers: usize,
    pub window: usize,
    pub queue_max_length: u32,
    #[serde(with = "humantime_serde")]
    pub reconnect_min: Duration,
    #[serde(with = "humantime_serde")]
    pub reconnect_max: Duration,
}

/// `[worker]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key; a second text would drift")]
pub struct Worker {
    pub lanes: usize,
    pub wait_lanes: usize,
    pub batch: usize,
    pub batch_bytes: usize,
    #[serde(with = "humantime_serde")]
    pub gather: Duration,
    pub prefetch: u16,
    #[serde(with = "humantime_serde")]
    pub backoff_min: Duration,
    #[serde(with = "humantime_serde")]
    pub backoff_max: Duration,
    #[serde(with = "humantime_serde")]
    pub hold_max: Duration,
    #[serde(with = "humantime_serde")]
    pub lost_after: Duration,
    #[serde(with = "humantime_serde")]
    pub follow_up_wait: Duration,
    #[serde(with = "humantime_serde")]
    pub park_max: Duration,
    #[serde(with = "humantime_serde")]
    pub sweep_every: Duration,
    #[serde(with = "humantime_serde")]
    pub renew_after: Duration,
    pub suspect_after: u32,
    pub bury_after: i32,
}

/// `[store]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key; a second text would drift")]
pub struct Store {
    pub url: SecretString,
    pub api_connections: u32,
    #[serde(with = "humantime_serde")]
    pub acquire_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub statement_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub lock_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub idle_in_transaction_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub commit_deadline: Duration,
    #[serde(with = "humantime_serde")]
    pub key_ttl: Duration,
    #[serde(with = "humantime_serde")]
    pub key_ttl_away: Duration,
    #[serde(with = "humantime_serde")]
    pub unknown_key_ttl: Duration,
    pub unknown_key_lookups: u32,
}

/// `[reply]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key; a second text would drift")]
pub struct Reply {
    pub max_waiters: usize,
}

/// `[telemetry]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key; a second text would drift")]
pub struct Telemetry {
    pub log: String,
    pub format: LogFormat,
    pub otlp_endpoint: String,
    pub otlp_headers: SecretString,
    pub sample_ratio: f64,
    pub service_name: String,
    pub service_instance: String,
    pub resource: String,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// `[lifecycle]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key; a second text would drift")]
pub struct Lifecycle {
    #[serde(with = "humantime_serde")]
    pub drain: Duration,
    #[serde(with = "humantime_serde")]
    pub stop_budget: Duration,
}
