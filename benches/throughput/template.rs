//! The benchmark's lead, as bytes of HTTP and as values: one request, one wish, one message.
//!
//! **Invariant:** the generator's request and the bare loop's message are the same lead.

use chrono::{DateTime, Utc};
use leadline::lead::message::ResolvedClick;
use leadline::lead::{LeadMessage, Mode, TrackLead};
use uuid::Uuid;

use crate::load::Job;

const NAME: &str = "Ada Lovelace";
const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// One request with three places to fill.
#[derive(Debug)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    click: usize,
    customer: usize,
    email: usize,
}

impl Template {
    /// The event of every lead.
    pub(crate) const EVENT: &str = "Sign Up";

    /// The request all others are made from.
    pub(crate) fn new(job: &Job) -> Self {
        let customer = external_id(0);
        let body = format!(
            r#"{{"clickId":"{}","eventName":"{}","customerExternalId":"{customer}","customerName":"{NAME}","customerEmail":"{}","mode":"{}"}}"#,
            "C".repeat(16),
            Self::EVENT,
            email(&customer),
            job.mode,
        );
        let head = format!(
            "POST /track/lead HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
             accept: application/json\r\nuser-agent: speakeasy-sdk/typescript\r\ncontent-length: {}\r\n\r\n",
            job.address,
            job.key,
            body.len(),
        );
        let place = |mark: &str| head.len() + body.find(mark).unwrap_or(0);
        Self {
            click: place(&"C".repeat(16)),
            customer: place(&customer),
            email: place(&email(&customer)),
            bytes: (head + &body).into_bytes(),
        }
    }

    /// The request of this customer and click.
    pub(crate) fn fill(&mut self, customer: u128, click_id: &str) -> &[u8] {
        let customer = external_id(customer);
        self.put(self.click, click_id);
        self.put(self.customer, &customer);
        self.put(self.email, &email(&customer));
        &self.bytes
    }

    fn put(&mut self, at: usize, text: &str) {
        if let Some(place) = self.bytes.get_mut(at..at + text.len()) {
            place.copy_from_slice(text.as_bytes());
        }
    }
}

/// `user_` and twenty random characters.
pub(crate) fn external_id(random: u128) -> String {
    let digit = |n: u32| DIGITS.get(usize::try_from(random >> (5 * n) & 31).unwrap_or(0));
    let digits = (0..20).filter_map(digit).map(|byte| char::from(*byte));
    "user_".chars().chain(digits).collect()
}

fn email(external_id: &str) -> String {
    format!("{}@example.com", external_id.get(5..17).unwrap_or_default())
}

/// A click that exists, with what the API finds about it.
#[derive(Debug, Clone)]
pub(crate) struct Click {
    pub(crate) id: String,
    pub(crate) link_id: Uuid,
    pub(crate) at: DateTime<Utc>,
}

/// The message that the API makes of this customer's request.
pub(crate) fn message(workspace_id: Uuid, customer: u128, click: &Click) -> LeadMessage {
    let customer_external_id = external_id(customer);
    let wish = TrackLead {
        click_id: Some(click.id.clone()),
        event_name: Template::EVENT.to_owned(),
        customer_name: Some(NAME.to_owned()),
        customer_email: Some(email(&customer_external_id)),
        customer_external_id,
        customer_avatar: None,
        mode: Mode::Async,
        quantity: 1,
        metadata: None,
    };
    let mut message = LeadMessage::new(Uuid::now_v7(), workspace_id, Utc::now(), wish);
    message.resolved =
        Some(ResolvedClick { link_id: click.link_id, clicked_at: click.at, country: Some("DE".to_owned()) });
    message
}
