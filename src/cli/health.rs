//! `health`: asks the process that serves on this machine whether it is well, where there is neither a shell nor curl.
//!
//! Enters: the configuration, which says where the probes listen. Leaves: one line, and 0 for status 200 or 1 for all
//! else, since Docker keeps 2 for itself.
//!
//! **Invariant:** one question, no engine, no proxy, no second attempt; and whatever answers, it is over within its timeout.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use http_body_util::{BodyExt, Limited};
use humantime_serde::re::humantime::format_duration;
use reqwest::redirect::Policy;
use reqwest::{Body, Client};
use serde_json::Value;
use tokio::time::timeout;

use crate::config;

use super::args::HealthArgs;
use super::error::{CliError, cause};
use super::out::Out;

/// A probe's answer is some fifty bytes.
const ANSWER_MAX: usize = 4096;

/// Asks, prints what was answered, and returns the exit code.
///
/// # Errors
/// [`CliError`] when nobody answers in time, or what answers is no probe.
pub(super) async fn health(file: Option<&Path>, args: &HealthArgs, out: Out) -> Result<u8, CliError> {
    let address = reachable(config::load(file)?.http.metrics_listen)?;
    let url = format!("http://{address}{}", if args.live { "/livez" } else { "/readyz" });
    let late = |_| CliError::said(format!("no answer from {url} within {}", format_duration(args.timeout)));
    let (status, body) = timeout(args.timeout, ask(&url)).await.map_err(late)??;
    let said = serde_json::from_slice::<Value>(&body).ok();
    let Some((said, line)) = said.and_then(|said| line(args.live, status, &said).map(|line| (said, line))) else {
        return Err(CliError::said(format!("what answers at {url} is no probe of Leadline (status {status})")));
    };
    let printed = out.value(&said).and_then(|()| out.line(&line));
    // Whoever asks for the exit code alone may have closed the pipe.
    if status != 200 {
        return Ok(1);
    }
    printed?;
    Ok(0)
}

/// Where to knock for what listens there.
fn reachable(listen: SocketAddr) -> Result<SocketAddr, CliError> {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    match listen.port() {
        0 => {
            Err(CliError::said("http.metrics_listen has port 0: which port the system chose, only that process knows"))
        }
        port => Ok(SocketAddr::new(ip, port)),
    }
}

/// The status and the body; an empty one when it broke off or is longer than any probe's.
async fn ask(url: &str) -> Result<(u16, Vec<u8>), CliError> {
    let builder = Client::builder().no_proxy().redirect(Policy::none());
    // Reading the system's certificates would cost more than the question.
    #[cfg(feature = "tls")]
    let builder = builder.tls_built_in_root_certs(false);
    let asked = async { builder.build()?.get(url).send().await };
    let answer = asked.await.map_err(|error| CliError::said(format!("no answer from {url}: {}", cause(&error))))?;
    let status = answer.status().as_u16();
    let body = Limited::new(Body::from(answer), ANSWER_MAX).collect().await;
    Ok((status, body.map(|body| body.to_bytes().to_vec()).unwrap_or_default()))
}

/// The line for people; `None` for what no probe would say with this status.
fn line(live: bool, status: u16, said: &Value) -> Option<String> {
    let word = |key: &str| said.get(key).and_then(Value::as_str);
    let known: &[&str] = match (live, status) {
        (true, 200) => &["alive"],
        (false, 200) => &["ready"],
        (false, 503) => &["unavailable", "stopping"],
        _ => &[],
    };
    let state = word("status").filter(|state| known.contains(state))?;
    if live {
        return Some(state.to_owned());
    }
    Some(format!("{state}: postgres {}, rabbitmq {}", word("postgres")?, word("rabbitmq")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unspecified_address_is_asked_on_loopback_of_its_family() {
        let knock = |listen: &str| reachable(listen.parse().unwrap()).map(|address| address.to_string()).ok();
        for (listen, asked) in [
            ("0.0.0.0:9090", Some("127.0.0.1:9090")),
            ("[::]:9090", Some("[::1]:9090")),
            ("192.0.2.1:9090", Some("192.0.2.1:9090")),
            ("127.0.0.1:0", None),
        ] {
            assert_eq!(knock(listen).as_deref(), asked, "{listen}");
        }
    }

    #[test]
    fn a_probe_is_known_by_its_words() {
        let ready = serde_json::json!({"status": "ready", "postgres": "up", "rabbitmq": "away"});
        assert_eq!(line(false, 200, &ready).as_deref(), Some("ready: postgres up, rabbitmq away"));
        for (live, status) in [(true, 200), (false, 503), (false, 500)] {
            assert_eq!(line(live, status, &ready), None, "{live} {status}");
        }
        assert_eq!(line(false, 200, &serde_json::json!({"status": "ready"})), None);
        assert_eq!(line(false, 200, &serde_json::json!(["ready"])), None);
    }
}
