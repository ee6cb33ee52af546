//! RabbitMQ's management plugin, for what AMQP does not tell.
//!
//! Enters: its address; the user and password of `broker.url`, unless the address has its own. Leaves: the cluster's members,
//! and what is handed out and unacknowledged.
//!
//! **Invariant:** it is only read from, and no password is part of an error.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::error::CliError;
use crate::broker::Node;
use crate::config;

const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// The plugin of some node.
#[derive(Debug)]
pub(super) struct Management {
    client: Client,
    base: Url,
    user: String,
    password: SecretString,
    vhost: String,
}

/// One node of the cluster.
#[derive(Debug, Deserialize)]
pub(super) struct Member {
    pub(super) name: String,
    #[serde(default)]
    pub(super) running: bool,
    pub(super) mem_used: Option<u64>,
    pub(super) mem_limit: Option<u64>,
    #[serde(default)]
    pub(super) mem_alarm: bool,
    /// A number, unless it cannot be watched.
    #[serde(default)]
    pub(super) disk_free: Value,
    #[serde(default)]
    pub(super) disk_free_limit: Value,
    #[serde(default)]
    pub(super) disk_free_alarm: bool,
}

#[derive(Debug, Deserialize)]
struct QueueState {
    messages_unacknowledged: Option<u64>,
}

impl Management {
    /// The plugin at an address.
    ///
    /// # Errors
    /// [`CliError`] when the address cannot be used.
    pub(super) fn at(address: &str, config: &config::Broker) -> Result<Self, CliError> {
        let bad = || CliError::said("--management: no address such as http://mq.example.com:15672");
        let mut base = Url::parse(address).map_err(|_| bad())?;
        if base.cannot_be_a_base() || !matches!(base.scheme(), "http" | "https") {
            return Err(bad());
        }
        let nodes = Node::all(config).map_err(|error| CliError::said(error.to_string()))?;
        let node = nodes.first().ok_or_else(bad)?;
        let (mut user, mut password) = (node.login().0.to_owned(), node.login().1);
        if let Some(own) = base.password() {
            let read = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
            (user, password) = (read(base.username()), SecretString::from(read(own)));
        }
        for cleared in [base.set_username(""), base.set_password(None)] {
            cleared.map_err(|()| bad())?;
        }
        let builder = Client::builder().timeout(ANSWERED_WITHIN).redirect(Policy::none());
        let client = builder.build().map_err(|error| CliError::Http(base.to_string(), error))?;
        Ok(Self { client, base, user, password, vhost: node.vhost().to_owned() })
    }

    /// The cluster's nodes.
    ///
    /// # Errors
    /// [`CliError`] when there is no such answer.
    pub(super) async fn members(&self) -> Result<Vec<Member>, CliError> {
        self.ask(&["api", "nodes"]).await
    }

    /// Messages of a queue that are handed out and not acknowledged.
    ///
    /// # Errors
    /// [`CliError`] when there is no such answer.
    pub(super) async fn unacknowledged(&self, queue: &str) -> Result<u64, CliError> {
        let state: QueueState = self.ask(&["api", "queues", &self.vhost, queue]).await?;
        Ok(state.messages_unacknowledged.unwrap_or(0))
    }

    async fn ask<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, CliError> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let failed = |error: reqwest::Error| CliError::Http(url.to_string(), error.without_url());
        let request = self.client.get(url.clone()).basic_auth(&self.user, Some(self.password.expose_secret()));
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        if !status.is_success() {
            return Err(CliError::said(format!("{url} answered {status} to the user {}", self.user)));
        }
        read(answer)
            .await
            .ok_or_else(|| CliError::said(format!("{url} does not answer as RabbitMQ's management plugin does")))
    }
}

async fn read<T: DeserializeOwned>(answer: Response) -> Option<T> {
    serde_json::from_slice(&answer.bytes().await.ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_is_the_brokers_unless_the_address_has_its_own() {
        let config = config::read("[broker]\nurl = \"amqp://leads:a%40b@mq/%2f\"").unwrap().broker;
        let plain = Management::at("http://mq:15672/", &config).unwrap();
        assert_eq!((plain.user.as_str(), plain.password.expose_secret(), plain.vhost.as_str()), ("leads", "a@b", "/"));
        let own = Management::at("https://me:x%2Fy@mq/rabbit", &config).unwrap();
        assert_eq!((own.user.as_str(), own.password.expose_secret()), ("me", "x/y"));
        assert_eq!(own.base.as_str(), "https://mq/rabbit");
        assert!(!format!("{own:?}").contains("x/y"));
        for bad in ["mq:15672", "ftp://mq", "15672"] {
            assert!(Management::at(bad, &config).is_err(), "{bad}");
        }
    }
}
