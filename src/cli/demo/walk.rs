//! The demo's requests, sent through the front door, each with its line in the diary.
//!
//! **Invariant:** nothing is invented: what is printed and noted is what travelled.

use std::time::Duration;

use chrono::Utc;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::lead::{DiaryLine, Ending, Mode, id};

use super::super::error::CliError;
use super::super::out::Out;
use super::tenant::{KEY, Tenant, URL};

/// A browser: what curl or a script calls itself is taken for a bot and gets no click.
pub(super) const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// Longer than `intake.wait_timeout`.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends requests and remembers them.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    client: Client,
    base: &'a str,
    tenant: &'a Tenant,
    out: Out,
    /// One line per lead request.
    pub diary: Vec<DiaryLine>,
    /// All requests and answers, for machines.
    pub told: Vec<Value>,
}

impl<'a> Walk<'a> {
    /// A walk through the front door at `base`.
    pub(super) fn new(base: &'a str, tenant: &'a Tenant, out: Out) -> Result<Self, CliError> {
        let client = Client::builder()
            .timeout(PATIENCE)
            .no_proxy()
            .build()
            .map_err(|error| CliError::Http(base.to_owned(), error))?;
        Ok(Self { client, base, tenant, out, diary: Vec::new(), told: Vec::new() })
    }

    /// A visitor's click on the demo link; returns its id.
    pub(super) async fn click(&mut self) -> Result<String, CliError> {
        let body = json!({"domain": self.tenant.domain, "key": KEY, "url": format!("{URL}?via={KEY}")});
        let request = self.client.post(format!("{}/track/click", self.base)).header("user-agent", BROWSER);
        let response = self.send(request, &body).await?;
        let status = response.status().as_u16();
        let answer = self.body(response).await?;
        self.tell("/track/click", &body, status, None, None, &answer)?;
        answer
            .get("clickId")
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| CliError::said(format!("the click was answered {status} {answer}")))
    }

    /// One lead; an empty `click` makes it a follow-up. Its line joins the diary.
    pub(super) async fn lead(&mut self, mode: Mode, click: &str, customer: &str, event: &str) -> Result<(), CliError> {
        let body = json!({
            "clickId": click, "eventName": event, "customerExternalId": customer, "mode": mode.as_str(),
            "customerEmail": format!("{customer}@example.com"),
        });
        let at = Utc::now().timestamp_millis();
        let request = self.client.post(format!("{}/track/lead", self.base)).bearer_auth(&self.tenant.secret);
        let response = self.send(request, &body).await?;
        let header = |name: &str| {
            let value = response.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let status = response.status().as_u16();
        let (shown, ending) = (header("x-lead-id"), header("x-lead-ending"));
        let answer = self.body(response).await?;
        self.tell("/track/lead", &body, status, shown.as_deref(), ending.as_deref(), &answer)?;
        let link = answer.pointer("/link/id").and_then(Value::as_str);
        self.diary.push(DiaryLine {
            lead_id: shown.and_then(|text| id::read(id::LEAD, &text)),
            workspace_id: Some(self.tenant.workspace_id),
            customer: customer.to_owned(),
            event: event.to_owned(),
            mode,
            click_id: click.to_owned(),
            quantity: 1,
            status,
            ending: ending.and_then(|word| Ending::parse(&word)),
            duplicate: status == 200 && answer.get("link").is_none_or(Value::is_null),
            link: link.and_then(|text| id::read(id::LINK, text)),
            at,
        });
        Ok(())
    }

    async fn send(&self, request: RequestBuilder, body: &Value) -> Result<Response, CliError> {
        let sent = request.json(body).send().await;
        sent.map_err(|error| CliError::Http(self.base.to_owned(), error))
    }

    async fn body(&self, response: Response) -> Result<Value, CliError> {
        let text = response.text().await.map_err(|error| CliError::Http(self.base.to_owned(), error))?;
        Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    fn tell(
        &mut self,
        route: &str,
        body: &Value,
        status: u16,
        lead: Option<&str>,
        ending: Option<&str>,
        answer: &Value,
    ) -> Result<(), CliError> {
        self.out.line(&format!("POST {route} {body}"))?;
        let named = lead.map(|lead| format!(" {lead}")).unwrap_or_default();
        let ended = ending.map(|ending| format!(" {ending}")).unwrap_or_default();
        self.out.line(&format!("  {status}{named}{ended} {answer}"))?;
        self.told.push(json!({
            "route": route, "body": body, "status": status, "leadId": lead, "ending": ending, "answer": answer,
        }));
        Ok(())
    }
}
