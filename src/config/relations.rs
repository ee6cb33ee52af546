//! Relations between values: each alone may be fine and the pair still wrong.
//!
//! Enters: a [`Config`] whose values have the right types. Leaves: one sentence per violated relation.
//!
//! **Invariant:** a configuration without violations cannot deadlock or starve itself.

use std::time::Duration;

use secrecy::ExposeSecret;
use url::Url;

use super::Config;

type Rule = (bool, &'static str);

/// Of topology v1, which never moves.
const SHARDS: usize = 4;

/// The violated relations, each naming both keys and why they belong together.
#[must_use]
pub fn violations(config: &Config) -> Vec<String> {
    let rules = deadlines(config)
        .into_iter()
        .chain(lanes(config))
        .chain(bounds(config))
        .chain(doors(config))
        .chain(traces(config));
    rules.filter(|(holds, _)| !holds).map(|(_, why)| why.to_owned()).collect()
}

/// What must be over before something else is.
fn deadlines(config: &Config) -> Vec<Rule> {
    let Config { intake, broker, worker, store, lifecycle, .. } = config;
    vec![
        (
            intake.resolve_timeout < intake.wait_timeout,
            "intake.resolve_timeout must be shorter than intake.wait_timeout: a wait request resolves first",
        ),
        (
            intake.gather < intake.resolve_timeout,
            "intake.gather must be shorter than intake.resolve_timeout: requests would go on unresolved before they have asked",
        ),
        (
            worker.follow_up_wait < intake.wait_timeout,
            "worker.follow_up_wait must be shorter than intake.wait_timeout: the caller waits for the verdict on a parked follow-up",
        ),
        (
            broker.confirm_deadline < intake.wait_timeout,
            "broker.confirm_deadline must be shorter than intake.wait_timeout: a wait request is published first",
        ),
        (
            lifecycle.drain + intake.wait_timeout < lifecycle.stop_budget,
            "lifecycle.stop_budget must be longer than lifecycle.drain and intake.wait_timeout together: what came while draining is answered before the exit",
        ),
        (
            store.commit_deadline < lifecycle.stop_budget,
            "store.commit_deadline must be shorter than lifecycle.stop_budget: the open batch is committed before the exit",
        ),
    ]
}

/// What lets a lane make progress.
fn lanes(config: &Config) -> Vec<Rule> {
    let Config { http, broker, worker, .. } = config;
    vec![
        (
            usize::from(worker.prefetch) * SHARDS >= worker.batch,
            "worker.prefetch, times the four shards, must be at least worker.batch: a batch could never fill",
        ),
        (
            worker.lanes >= 1 && worker.wait_lanes >= 1 && worker.batch >= 1,
            "worker.lanes, worker.wait_lanes and worker.batch must be at least 1",
        ),
        (worker.prefetch <= 2000, "worker.prefetch must be at most 2000: quorum queues hand out no more"),
        (
            worker.batch_bytes >= http.body_limit_bytes * 2,
            "worker.batch_bytes must be at least twice http.body_limit_bytes: one lead must fit",
        ),
        (worker.backoff_min <= worker.backoff_max, "worker.backoff_min must not exceed worker.backoff_max"),
        (
            worker.lost_after > broker.heartbeat * 3 + worker.follow_up_wait,
            "worker.lost_after must be longer than three times broker.heartbeat and worker.follow_up_wait together: until then RabbitMQ may not know that a worker is gone",
        ),
        (
            worker.gather.saturating_mul(5) < worker.follow_up_wait,
            "worker.gather must be less than a fifth of worker.follow_up_wait: leads are left for up to five times as long, and follow-ups wait for them",
        ),
        (worker.follow_up_wait <= worker.park_max, "worker.follow_up_wait must not exceed worker.park_max"),
        (
            worker.sweep_every < worker.follow_up_wait,
            "worker.sweep_every must be shorter than worker.follow_up_wait: expiry is noticed by the sweep",
        ),
        (
            worker.suspect_after >= 2 && worker.bury_after >= 3,
            "worker.suspect_after must be at least 2 and worker.bury_after at least 3: one redelivery is no suspicion, and nothing is buried that was not begun alone",
        ),
    ]
}

/// What must fit into something else.
fn bounds(config: &Config) -> Vec<Rule> {
    let Config { intake, broker, worker, store, reply, .. } = config;
    vec![
        (broker.reconnect_min <= broker.reconnect_max, "broker.reconnect_min must not exceed broker.reconnect_max"),
        (broker.publishers >= 1 && broker.window >= 1, "broker.publishers and broker.window must be at least 1"),
        (
            worker.renew_after >= Duration::from_secs(1),
            "worker.renew_after must be at least 1s: a new channel costs the broker a handful of commands",
        ),
        (
            broker.heartbeat >= Duration::from_secs(1),
            "broker.heartbeat must be at least 1s: the protocol counts whole seconds",
        ),
        (
            broker.prefix.len() <= 200
                && broker.prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)),
            "broker.prefix may hold at most 200 letters, digits, '.', '_' and '-'",
        ),
        (
            broker.cert_file.is_empty() == broker.key_file.is_empty(),
            "broker.cert_file and broker.key_file must be given together: a certificate is shown with its key",
        ),
        (
            [&broker.ca_file, &broker.cert_file].iter().all(|file| file.is_empty())
                || broker.url.expose_secret().contains("amqps://"),
            "broker.ca_file and broker.cert_file need an amqps:// address in broker.url: without TLS they do nothing",
        ),
        (
            intake.resolve_lanes >= 1 && intake.resolve_batch >= 1,
            "intake.resolve_lanes and intake.resolve_batch must be at least 1",
        ),
        (
            intake.direct_lanes >= 1 && intake.direct_batch >= 1,
            "intake.direct_lanes and intake.direct_batch must be at least 1",
        ),
        (
            u32::try_from(intake.resolve_lanes + intake.direct_lanes)
                .is_ok_and(|lanes| lanes + 2 <= store.api_connections),
            "store.api_connections must be at least intake.resolve_lanes + intake.direct_lanes + 2: leads must not starve keys and administration",
        ),
        (
            intake.workspace_share >= 1
                && intake.workspace_share <= intake.max_in_flight
                && intake.workspace_share <= reply.max_waiters,
            "intake.workspace_share must be between 1 and the bounds it divides",
        ),
        (store.statement_timeout >= store.lock_timeout, "store.lock_timeout must not exceed store.statement_timeout"),
        (store.key_ttl <= store.key_ttl_away, "store.key_ttl must not exceed store.key_ttl_away"),
    ]
}

/// What lets an honest client in.
fn doors(config: &Config) -> Vec<Rule> {
    let http = &config.http;
    vec![
        (
            http.burst_per_key >= 1 && http.burst_per_address >= 1,
            "http.burst_per_key and http.burst_per_address must be at least 1; a rate of 0 lifts the limit",
        ),
        (http.max_connections >= 1, "http.max_connections must be at least 1"),
        (
            (8192..=1 << 20).contains(&http.head_limit_bytes),
            "http.head_limit_bytes must be between 8192 and 1048576: it is the read buffer of every connection",
        ),
        (
            http.body_limit_bytes <= http.max_body_bytes_in_flight && u32::try_from(http.body_limit_bytes).is_ok(),
            "http.body_limit_bytes must not exceed http.max_body_bytes_in_flight: one body must fit",
        ),
        (
            (http.body_limit_bytes..=http.max_body_bytes_in_flight).contains(&http.batch_limit_bytes)
                && u32::try_from(http.batch_limit_bytes).is_ok(),
            "http.batch_limit_bytes must be between http.body_limit_bytes and http.max_body_bytes_in_flight: a batch of one lead must fit, and one batch",
        ),
        (
            http.header_timeout <= http.idle_timeout,
            "http.header_timeout must not exceed http.idle_timeout: a head would be cut before its time",
        ),
    ]
}

/// What lets spans get out.
fn traces(config: &Config) -> Vec<Rule> {
    let telemetry = &config.telemetry;
    let scheme = Url::parse(&telemetry.otlp_endpoint).map(|url| url.scheme().to_owned()).unwrap_or_default();
    let is_off = telemetry.otlp_endpoint.is_empty();
    vec![
        (
            is_off || cfg!(feature = "otlp"),
            "telemetry.otlp_endpoint (or OTEL_EXPORTER_OTLP_ENDPOINT) is set, and this build exports no traces: it was built without the feature `otlp`",
        ),
        (
            is_off || ["http", "https"].contains(&scheme.as_str()),
            "telemetry.otlp_endpoint must be an http:// or https:// address: spans go by OTLP over HTTP",
        ),
        (
            scheme != "https" || cfg!(feature = "tls"),
            "telemetry.otlp_endpoint has an https:// address, and this build has no TLS: it was built without the feature `tls`",
        ),
        ((0.0..=1.0).contains(&telemetry.sample_ratio), "telemetry.sample_ratio must be between 0 and 1"),
        (!telemetry.service_name.is_empty(), "telemetry.service_name must not be empty"),
        (
            is_list(telemetry.otlp_headers.expose_secret()) && is_list(&telemetry.resource),
            "telemetry.otlp_headers and telemetry.resource must be name=value pairs, separated by commas",
        ),
    ]
}

fn is_list(text: &str) -> bool {
    text.split(',')
        .all(|pair| pair.trim().is_empty() || pair.split_once('=').is_some_and(|(name, _)| !name.trim().is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_needs_a_build_that_exports() {
        let mut config = crate::config::load(None).unwrap();
        "http://127.0.0.1:4318".clone_into(&mut config.telemetry.otlp_endpoint);
        let violated = violations(&config);
        if cfg!(feature = "otlp") {
            assert!(violated.is_empty(), "{violated:?}");
        } else {
            assert_eq!(violated.len(), 1);
            assert!(violated.concat().contains("without the feature `otlp`"), "{violated:?}");
        }
        "grpc://collector".clone_into(&mut config.telemetry.otlp_endpoint);
        assert!(violations(&config).concat().contains("OTLP over HTTP"));
    }

    #[test]
    fn ratios_and_lists_are_what_they_say() {
        let mut config = crate::config::load(None).unwrap();
        config.telemetry.sample_ratio = 1.5;
        "deployment.environment.name=prod, =x".clone_into(&mut config.telemetry.resource);
        let violated = violations(&config);
        assert_eq!(violated.len(), 2, "{violated:?}");
        assert!(is_list("") && is_list("a=1,b=x=y, c = ") && !is_list("a"));
    }

    #[test]
    fn a_violated_relation_is_named() {
        let mut config = crate::config::load(None).unwrap();
        config.worker.prefetch = 1;
        let violated = violations(&config);
        assert_eq!(violated.len(), 1);
        assert!(violated.concat().contains("worker.prefetch"));
        config.intake.gather = config.intake.resolve_timeout;
        assert!(violations(&config).concat().contains("intake.gather"));
        config.worker.gather = config.worker.follow_up_wait;
        assert!(violations(&config).concat().contains("worker.gather"));
    }
}
