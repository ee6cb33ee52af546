//! Reads answers: where one ends, and what it says.
//!
//! Enters: bytes as they arrive. Leaves: an [`Answer`]. A peer's answers may be chunked and may lack
//! our headers; ours never are and never do.
//!
//! **Invariant:** what an answer does not say stays empty; nothing is guessed.

use serde::Deserialize;

/// What is remembered of an answer.
#[derive(Debug, Default, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) lead: String,
    pub(super) ending: String,
    pub(super) link: Option<String>,
}

/// The head of an answer, and how long its body is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) len: usize,
    pub(super) status: u16,
    /// The connection ends with this answer.
    pub(super) last: bool,
    /// `None`: chunked.
    body: Option<usize>,
}

impl Head {
    /// Reads it; `None` while it is incomplete.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let len = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let text = std::str::from_utf8(bytes.get(..len)?).ok()?;
        let mut head = Self { len, status: text.get(9..12)?.parse().ok()?, last: false, body: Some(0) };
        for (name, value) in headers(text) {
            if name.eq_ignore_ascii_case("content-length") {
                head.body = value.parse().ok();
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                head.body = None;
            } else if name.eq_ignore_ascii_case("connection") {
                head.last = value.eq_ignore_ascii_case("close");
            }
        }
        Some(head)
    }

    /// The body, once it is all there; `None` until then.
    pub(super) fn body<'a>(&self, bytes: &'a [u8], store: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        let rest = bytes.get(self.len..)?;
        match self.body {
            Some(length) => rest.get(..length),
            None => {
                *store = unchunk(rest)?;
                Some(store)
            }
        }
    }
}

fn headers(head: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    lines.map(|(name, value)| (name, value.trim()))
}

/// The chunks put together; `None` while the last is missing.
fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(rest.get(..line)?).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        rest = rest.get(line + 2..)?;
        let (chunk, after) = rest.split_at_checked(size)?;
        if size == 0 {
            return after.windows(2).any(|two| two == b"\r\n").then_some(whole);
        }
        whole.extend_from_slice(chunk);
        rest = after.strip_prefix(b"\r\n")?;
    }
}

impl Answer {
    /// What head and body say about one lead.
    pub(super) fn read(head: &[u8], body: &[u8]) -> Option<Self> {
        let head = std::str::from_utf8(head).ok()?;
        let mut answer = Self { status: head.get(9..12)?.parse().ok()?, ..Self::default() };
        for (name, value) in headers(head) {
            if name.eq_ignore_ascii_case("x-lead-id") {
                value.clone_into(&mut answer.lead);
            } else if name.eq_ignore_ascii_case("x-lead-ending") {
                value.clone_into(&mut answer.ending);
            }
        }
        let link = std::str::from_utf8(body).ok()?.split_once(r#""link":{"id":""#);
        answer.link = link.and_then(|(_, rest)| rest.get(..31)).map(str::to_owned);
        Some(answer)
    }

    /// What the answer to a list says about each of its leads, in their order.
    pub(super) fn list(body: &[u8]) -> Option<Vec<Self>> {
        let items: Vec<Item> = serde_json::from_slice(body).ok()?;
        Some(items.into_iter().map(Item::answer).collect())
    }
}

/// One answer in the answer to a list.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    status: u16,
    lead_id: Option<String>,
    ending: Option<String>,
    lead: Option<Lead>,
}

#[derive(Deserialize)]
struct Lead {
    link: Option<Link>,
}

#[derive(Deserialize)]
struct Link {
    id: String,
}

impl Item {
    fn answer(self) -> Answer {
        Answer {
            status: self.status,
            lead: self.lead_id.unwrap_or_default(),
            ending: self.ending.unwrap_or_default(),
            link: self.lead.and_then(|lead| lead.link).map(|link| link.id),
        }
    }
}
