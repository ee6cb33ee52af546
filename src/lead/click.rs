//! One wish to track a click, checked as the contract's schema checks it.
//!
//! Enters: a body. Leaves: a [`TrackClick`], or the first [`Fault`]. The domain is reduced to a bare
//! lower-case host name, as browsers and links spell it in many ways.
//!
//! **Invariant:** a [`TrackClick`] holds no NUL and no URL that does not parse.

use serde_json::Value;
use url::Url;

use super::fault::{Fault, FieldFault};
use super::json::{self, Object};
use super::text::has_nul;

/// A checked wish to track one click.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackClick {
    /// Lower-case host name without `www.`; may be empty, which no link has.
    pub domain: String,
    /// The link's key, in the visitor's spelling.
    pub key: String,
    /// Where the visitor landed; `None` means the link's own destination.
    pub url: Option<String>,
    /// Overrides the `Referer` header.
    pub referrer: Option<String>,
}

impl TrackClick {
    /// Reads and checks a body.
    ///
    /// # Errors
    /// The first fault in the contract's order.
    pub fn parse(body: &[u8]) -> Result<Self, Fault> {
        let fields = json::object(body)?;
        let domain = match fields.get("domain") {
            Some(Value::String(text)) => hostname(text),
            _ => None,
        }
        .ok_or_else(|| FieldFault::new("invalid_type", "domain", "domain is required."))?;
        let key = match fields.get("key") {
            Some(Value::String(text)) => text.clone(),
            _ => return Err(FieldFault::new("invalid_type", "key", "key is required.").into()),
        };
        let url = optional(&fields, "url")?.filter(|text| Url::parse(text).is_ok());
        let referrer = optional(&fields, "referrer")?;
        for (path, value) in [("key", Some(&key)), ("url", url.as_ref()), ("referrer", referrer.as_ref())] {
            if value.is_some_and(|text| has_nul(text)) {
                return Err(FieldFault::nul(path).into());
            }
        }
        Ok(Self { domain, key, url, referrer })
    }
}

fn optional(fields: &Object, path: &str) -> Result<Option<String>, FieldFault> {
    match fields.get(path) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(FieldFault::wrong_type(path, "string", json::kind(other))),
    }
}

/// The bare host name in a domain as people write it; `None` when there is none to find.
///
/// Parsed as a URL, or as `https://…` when it has a dot and no space; lower case; leading `www.`
/// dropped. A bare `host:port` parses as a URL without a host and gives an empty name.
#[must_use]
pub fn hostname(text: &str) -> Option<String> {
    let parsed = Url::parse(text).ok().or_else(|| {
        let dotted = text.contains('.') && !text.contains(' ');
        dotted.then(|| Url::parse(&format!("https://{text}")).ok()).flatten()
    })?;
    let host = parsed.host_str().unwrap_or_default().to_lowercase();
    Some(host.strip_prefix("www.").map_or(host.clone(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_reduced_to_host_names() {
        let rows = [
            ("https://www.Dub.sh/x", Some("dub.sh")),
            ("Dub.sh", Some("dub.sh")),
            ("localhost:3000", Some("")),
            ("dub.sh:80", Some("")),
            ("nothing", None),
            ("a b.c", None),
        ];
        for (given, expected) in rows {
            assert_eq!(hostname(given).as_deref(), expected, "{given}");
        }
    }

    #[test]
    fn faults_are_worded_as_in_the_contract() {
        let rows: [(&[u8], &str); 5] = [
            (b"{}", "invalid_type: domain: domain is required."),
            (br#"{"domain":"x","key":"k"}"#, "invalid_type: domain: domain is required."),
            (br#"{"domain":"a.b","key":1}"#, "invalid_type: key: key is required."),
            (
                br#"{"domain":"a.b","key":"k","url":1}"#,
                "invalid_type: url: Invalid input: expected string, received number",
            ),
            (br#"{"domain":"a.b","key":"k\u0000"}"#, "custom: key: Text must not contain NUL characters"),
        ];
        for (body, expected) in rows {
            assert_eq!(TrackClick::parse(body).unwrap_err().to_string(), expected);
        }
        let click = TrackClick::parse(br#"{"domain":"a.b","key":"k","url":"nonsense","referrer":null}"#).unwrap();
        assert_eq!(click.url, None);
    }
}
