//! The benchmark's lead, as bytes of HTTP and as values: one request, one wish, one message.
//!
//! Enters: a [`Wish`]. Leaves: its request, patched into bytes that were made once, or the message that
//! the API makes of it.
//!
//! **Invariant:** the generator's request and the bare loop's message are the same lead.

use chrono::{DateTime, Utc};
use leadline::lead::message::ResolvedClick;
use leadline::lead::{LeadMessage, Mode, TrackLead};
use uuid::Uuid;

use super::Job;

/// The event of every lead, unless its customer has several.
const EVENT: &str = "Sign Up";
const NAME: &str = "Ada Lovelace";
const DIGITS: &[u8; 16] = b"0123456789abcdef";
/// What stands where a click, and the number of an event, will be put.
const CLICK: &str = "CCCCCCCCCCCCCCCC";
const NUMBER: &str = "EEEEEEEEEEEEEEEE";

/// One request to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) form: Form,
    pub(super) customer: u128,
    /// Which of the clicks; a follow-up names none.
    pub(super) click: usize,
    /// The number of the event, where a customer has several.
    pub(super) event: u64,
}

impl Wish {
    /// `eventName` as sent.
    pub(super) fn event_name(&self) -> String {
        match self.form {
            Form::Numbered => format!("{EVENT} {:016x}", self.event),
            _ => EVENT.to_owned(),
        }
    }
}

/// The shapes of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Async,
    Wait,
    Deferred,
    FollowUp,
    /// Async, with a number in the event's name.
    Numbered,
}

impl Form {
    const ALL: [Self; 5] = [Self::Async, Self::Wait, Self::Deferred, Self::FollowUp, Self::Numbered];

    /// The mode it is sent in.
    pub(super) fn mode(self) -> Mode {
        match self {
            Self::Async | Self::FollowUp | Self::Numbered => Mode::Async,
            Self::Wait => Mode::Wait,
            Self::Deferred => Mode::Deferred,
        }
    }

    fn lead(self) -> String {
        let customer = String::from_utf8_lossy(&external_id(0)).into_owned();
        let number = if self == Self::Numbered { format!(" {NUMBER}") } else { String::new() };
        format!(
            r#"{{"clickId":"{}","eventName":"{EVENT}{number}","customerExternalId":"{customer}","customerName":"{NAME}","customerEmail":"{}@example.com","mode":"{}"}}"#,
            if self == Self::FollowUp { "" } else { CLICK },
            mailbox(&customer),
            self.mode().as_str(),
        )
    }
}

/// The requests of one connection.
#[derive(Debug)]
pub(super) struct Templates(Vec<Template>);

impl Templates {
    /// One per form.
    pub(super) fn new(job: &Job, address: &str) -> Self {
        Self(Form::ALL.iter().map(|form| Template::new(job, address, "/track/lead", &[*form])).collect())
    }

    /// The request of this wish.
    pub(super) fn fill(&mut self, wish: &Wish, click_id: &str) -> &[u8] {
        let place = Form::ALL.iter().position(|form| *form == wish.form);
        match place.and_then(|place| self.0.get_mut(place)) {
            Some(template) => {
                template.fill(0, wish, click_id);
                &template.bytes
            }
            None => &[],
        }
    }
}

/// One request with places to fill, for one lead or for a list of them.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) bytes: Vec<u8>,
    places: Vec<Places>,
}

#[derive(Debug)]
struct Places {
    click: Option<usize>,
    customer: Option<usize>,
    mailbox: Option<usize>,
    number: Option<usize>,
}

impl Template {
    /// A list of async leads, in one body.
    pub(super) fn list(job: &Job, address: &str, leads: usize) -> Self {
        Self::new(job, address, "/track/lead/batch", &vec![Form::Async; leads])
    }

    fn new(job: &Job, address: &str, route: &str, forms: &[Form]) -> Self {
        let list = route.ends_with("batch");
        let leads: Vec<String> = forms.iter().map(|form| form.lead()).collect();
        let body = if list { format!("[{}]", leads.join(",")) } else { leads.concat() };
        let head = format!(
            "POST {}{route} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
             accept: application/json\r\nuser-agent: speakeasy-sdk/typescript\r\ncontent-length: {}\r\n\r\n",
            job.prefix,
            job.key,
            body.len(),
        );
        let mut at = head.len() + usize::from(list);
        let mut places = Vec::with_capacity(leads.len());
        for lead in &leads {
            let place = |mark: &str| lead.find(mark).map(|within| at + within);
            places.push(Places {
                click: place(CLICK),
                customer: place("user_"),
                mailbox: place("@example.com").map(|end| end - MAILBOX),
                number: place(NUMBER),
            });
            at += lead.len() + 1;
        }
        Self { bytes: (head + &body).into_bytes(), places }
    }

    /// Makes the `n`th lead this one.
    pub(super) fn fill(&mut self, n: usize, wish: &Wish, click_id: &str) {
        let Some(places) = self.places.get(n) else { return };
        let customer = external_id(wish.customer);
        let mailbox = customer.get(5..5 + MAILBOX).unwrap_or_default();
        put(&mut self.bytes, places.click, click_id.as_bytes());
        put(&mut self.bytes, places.customer, &customer);
        put(&mut self.bytes, places.mailbox, mailbox);
        if places.number.is_some() {
            put(&mut self.bytes, places.number, format!("{:016x}", wish.event).as_bytes());
        }
    }
}

fn put(bytes: &mut [u8], at: Option<usize>, text: &[u8]) {
    if let Some(place) = at.and_then(|at| bytes.get_mut(at..at + text.len())) {
        place.copy_from_slice(text);
    }
}

/// `user_` and the lowest 80 bits in hexadecimal, so that larger numbers sort after smaller ones.
pub(super) fn external_id(number: u128) -> [u8; 25] {
    let mut id = *b"user_00000000000000000000";
    for (n, byte) in (0..20).zip(id.iter_mut().rev()) {
        let digit = usize::try_from(number >> (4 * n) & 15).ok().and_then(|digit| DIGITS.get(digit));
        *byte = digit.copied().unwrap_or(b'0');
    }
    id
}

/// Characters of a mail address before the `@`: the first of the customer's.
const MAILBOX: usize = 12;

fn mailbox(external_id: &str) -> &str {
    external_id.get(5..5 + MAILBOX).unwrap_or_default()
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
    let customer_external_id = String::from_utf8_lossy(&external_id(customer)).into_owned();
    let wish = TrackLead {
        click_id: Some(click.id.clone()),
        event_name: EVENT.to_owned(),
        customer_name: Some(NAME.to_owned()),
        customer_email: Some(format!("{}@example.com", mailbox(&customer_external_id))),
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
