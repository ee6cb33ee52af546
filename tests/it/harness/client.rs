//! A client as plain as a client can be: one method per endpoint that tests use.
//!
//! Enters: bodies. Leaves: an [`Answer`] with status, headers and body as they came.
//!
//! **Invariant:** every answer is as the `OpenAPI` document says; nothing is retried, and redirects are not followed.

use std::net::SocketAddr;
use std::time::Duration;

use leadline::lead::id;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method};
use serde_json::Value;
use uuid::Uuid;

use super::document;

/// A browser's user agent: anything shorter is taken for a bot.
pub(crate) const BROWSER: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36";

/// What a server answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The lead that `x-lead-id` names.
    pub(crate) fn lead_id(&self) -> Option<Uuid> {
        self.header("x-lead-id").map(|text| id::read(id::LEAD, text).unwrap_or_else(|| panic!("no lead id: {text}")))
    }

    /// `x-lead-ending`.
    pub(crate) fn ending(&self) -> Option<&str> {
        self.header("x-lead-ending")
    }

    /// Fails unless the status is 200.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{}", self.body);
        self
    }

    /// Fails unless it is a 200 whose lead has ended so.
    #[track_caller]
    pub(crate) fn ended(self, ending: &str) -> Self {
        let answer = self.ok();
        assert_eq!(answer.ending(), Some(ending), "{}", answer.body);
        answer
    }

    /// Fails unless it is this error of the contract, exactly.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str, message: &str) -> Self {
        let error = &self.body["error"];
        let found =
            (self.status, error["code"].as_str().unwrap_or_default(), error["message"].as_str().unwrap_or_default());
        assert_eq!(found, (status, code, message), "{}", self.body);
        let doc = format!("https://dub.co/docs/api-reference/errors#{}", code.replacen('_', "-", 1));
        assert_eq!(error["doc_url"], doc.as_str());
        assert!(self.header("content-type").unwrap_or_default().starts_with("application/json"));
        self
    }
}

/// A request in the making.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Call {
    /// A request without body and key.
    pub(crate) fn new(method: &str, path: &str) -> Self {
        let headers = HeaderMap::from_iter([(reqwest::header::USER_AGENT, HeaderValue::from_static(BROWSER))]);
        Self { method: method.parse().unwrap(), path: path.to_owned(), headers, body: Vec::new() }
    }

    /// A POST with a JSON body.
    pub(crate) fn post(path: &str, body: &Value) -> Self {
        Self::new("POST", path).raw(body.to_string().as_bytes())
    }

    /// Any bytes as a JSON body.
    pub(crate) fn raw(mut self, body: &[u8]) -> Self {
        body.clone_into(&mut self.body);
        self.header("content-type", "application/json")
    }

    /// One more header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        self
    }

    /// With a key.
    pub(crate) fn key(self, key: &str) -> Self {
        self.header("authorization", &format!("Bearer {key}"))
    }

    /// Sends it; `None` when the connection broke.
    pub(crate) async fn try_send(&self, client: &Client, address: SocketAddr) -> Option<Answer> {
        let request = client.request(self.method.clone(), format!("http://{address}{}", self.path));
        let response = request.headers(self.headers.clone()).body(self.body.clone()).send().await.ok()?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.ok()?;
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        document::hold(self.method.as_str(), &self.path, status, &headers, &body);
        Some(Answer { status, headers, body })
    }

    /// Sends it.
    pub(crate) async fn send(&self, client: &Client, address: SocketAddr) -> Answer {
        self.try_send(client, address).await.unwrap_or_else(|| panic!("{} {}: no answer", self.method, self.path))
    }
}

/// A client without redirects, and with a patience beyond every deadline of the service.
pub(crate) fn client() -> Client {
    let none = reqwest::redirect::Policy::none();
    Client::builder().redirect(none).timeout(Duration::from_secs(40)).build().unwrap()
}
