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
    /// `None`: chunked.
    body: Option<usize>,
}

impl Head {
    /// Reads it; `None` while it is incomplete.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let len = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let text = std::str::from_utf8(bytes.get(..len)?).ok()?;
        let status = text.get(9..12)?.parse().ok()?;
        let chunked = header(text, "transfer-encoding").is_some_and(|how| how.eq_ignore_ascii_case("chunked"));
        let length = header(text, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        Some(Self { len, status, body: (!chunked).then_some(length) })
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

/// The value of a header.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").skip(1).filter_map(|line| line.split_once(':')).find_map(|(key, value)| {
        let same = key.eq_ignore_ascii_case(name);
        same.then_some(value.trim())
    })
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
        let said = |name| header(head, name).unwrap_or_default().to_owned();
        let body = std::str::from_utf8(body).ok()?;
        let link = body.split_once(r#""link":{"id":""#);
        Some(Self {
            status: head.get(9..12)?.parse().ok()?,
            lead: said("x-lead-id"),
            ending: said("x-lead-ending"),
            link: link.and_then(|(_, rest)| rest.get(..31)).map(str::to_owned),
        })
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
