//! Reads the body that creates or changes a link.
//!
//! Enters: a JSON object. Leaves: a [`LinkForm`] that can be laid over a link, or the first fault. The URL
//! is the truth about UTM parameters: given ones are merged into it, and the link's columns mirror it.
//! `disabledAt` is ours: the contract's API can show it but not set it.
//!
//! **Invariant:** a form that was read can be stored as it is; only uniqueness and ownership are left to check.

use chrono::{DateTime, Utc};
use url::Url;

use super::Problem;
use super::fields::{Fields, Said};
use crate::lead::FieldFault;
use crate::lead::click::hostname;
use crate::lead::id;
use crate::lead::text::{js_trim, utf16_len};
use crate::store::Link;

const NAME_MAX: usize = 190;
const TEXT_MAX: usize = 255;
const URL_MAX: usize = 32_000;
const ANY: usize = usize::MAX;
const UTM: [&str; 5] = ["utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"];

/// What a body says about a link; absent fields leave it as it is.
#[derive(Debug, Default)]
pub(super) struct LinkForm {
    pub(super) domain: Option<String>,
    pub(super) key: Option<String>,
    /// How to make a key where none is given.
    pub(super) random: RandomKey,
    url: Option<String>,
    parameters: Vec<(&'static str, Option<String>)>,
    external_id: Said<String>,
    tenant_id: Said<String>,
    program_id: Said<String>,
    partner_id: Said<String>,
    track_conversion: Option<bool>,
    archived: Option<bool>,
    expires_at: Said<DateTime<Utc>>,
    disabled_at: Said<DateTime<Utc>>,
    title: Said<String>,
    description: Said<String>,
    comments: Said<String>,
}

/// How random keys are made.
#[derive(Debug, Clone)]
pub(super) struct RandomKey {
    length: usize,
    prefix: String,
}

impl Default for RandomKey {
    fn default() -> Self {
        Self { length: 7, prefix: String::new() }
    }
}

impl RandomKey {
    pub(super) fn make(&self) -> String {
        format!("{}{}", self.prefix, id::alphanumerics(self.length))
    }
}

impl LinkForm {
    /// Reads a body that must name a destination.
    pub(super) fn create(body: &[u8]) -> Result<Self, Problem> {
        let fields = Fields::parse(body)?;
        if !fields.has("url") {
            return Err(FieldFault::wrong_type("url", "string", "undefined").into());
        }
        Self::read(&fields)
    }

    /// Reads a body that changes a link.
    pub(super) fn change(body: &[u8]) -> Result<Self, Problem> {
        Self::read(&Fields::parse(body)?)
    }

    /// Fields are checked in the contract's order; what needs more than a schema comes last.
    fn read(fields: &Fields) -> Result<Self, Problem> {
        let url = fields.solid_text("url", URL_MAX)?;
        let domain = fields.text("domain", NAME_MAX)?.flatten();
        let key = fields.text("key", NAME_MAX)?.flatten();
        let length = fields.whole("keyLength", 3, 190)?;
        let prefix = fields.text("prefix", NAME_MAX)?.flatten();
        let mut form = Self {
            external_id: external_id(fields)?,
            tenant_id: fields.text("tenantId", TEXT_MAX)?,
            program_id: fields.text("programId", TEXT_MAX)?,
            partner_id: fields.text("partnerId", TEXT_MAX)?,
            track_conversion: fields.flag("trackConversion")?,
            archived: fields.flag("archived")?,
            title: fields.text("title", ANY)?,
            description: fields.text("description", ANY)?,
            comments: fields.text("comments", ANY)?,
            ..Self::default()
        };
        for name in UTM.into_iter().chain(["ref"]) {
            if let Some(said) = fields.text(name, TEXT_MAX)? {
                form.parameters.push((name, said.filter(|text| !text.is_empty())));
            }
        }
        form.expires_at = fields.moment("expiresAt", "Invalid expiration date.")?;
        form.disabled_at = fields.moment("disabledAt", "Invalid disabledAt date.")?;
        form.url = url.map(|url| destination(&url)).transpose()?;
        form.domain = domain.map(|domain| checked_domain(&domain)).transpose()?;
        form.key = key.map(|key| checked_key(&key)).transpose()?.flatten();
        form.random.length = length.map_or(form.random.length, usize::from);
        if let Some(prefix) = prefix.map(|prefix| checked_key(&prefix)).transpose()?.flatten() {
            form.random.prefix = format!("{prefix}/");
            if utf16_len(&form.random.prefix) + form.random.length > NAME_MAX {
                return Err(FieldFault::too_long("prefix", NAME_MAX).into());
            }
        }
        Ok(form)
    }

    /// Lays the form over a link.
    pub(super) fn apply(self, link: &mut Link) {
        let moved = self.url.is_some() || !self.parameters.is_empty();
        set(&mut link.domain, self.domain);
        set(&mut link.key, self.key);
        set(&mut link.url, self.url);
        set(&mut link.external_id, self.external_id);
        set(&mut link.tenant_id, self.tenant_id);
        set(&mut link.program_id, self.program_id);
        set(&mut link.partner_id, self.partner_id);
        set(&mut link.track_conversion, self.track_conversion);
        set(&mut link.archived, self.archived);
        set(&mut link.expires_at, self.expires_at);
        set(&mut link.disabled_at, self.disabled_at);
        set(&mut link.title, self.title);
        set(&mut link.description, self.description);
        set(&mut link.comments, self.comments);
        if !self.parameters.is_empty() {
            link.url = merged(&link.url, &self.parameters);
        }
        if moved {
            mirror(link);
        }
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn external_id(fields: &Fields) -> Result<Said<String>, FieldFault> {
    let path = "externalId";
    let Some(Some(given)) = fields.text(path, TEXT_MAX)? else {
        return fields.text(path, TEXT_MAX);
    };
    let bare = given.strip_prefix("ext_").unwrap_or(&given);
    if bare.is_empty() {
        let message = "Too small: expected string to have >=1 characters";
        return Err(FieldFault::new("too_small", path, message));
    }
    Ok(Some(Some(bare.to_owned())))
}

/// The URL as sent if it is one; otherwise with `https://` before it, if it has a dot and no space.
fn destination(given: &str) -> Result<String, Problem> {
    let given = js_trim(given);
    if given.is_empty() {
        return Err(Problem::bad_request("Missing destination URL"));
    }
    if Url::parse(given).is_ok() {
        return Ok(given.to_owned());
    }
    let dotted = given.contains('.') && !given.contains(' ');
    dotted
        .then(|| Url::parse(&format!("https://{given}")).ok())
        .flatten()
        .map(String::from)
        .ok_or_else(|| Problem::unprocessable("Invalid destination URL"))
}

/// A bare host name, as clicks name it.
pub(super) fn checked_domain(given: &str) -> Result<String, Problem> {
    hostname(js_trim(given))
        .filter(|domain| !domain.is_empty() && domain.len() <= NAME_MAX)
        .ok_or_else(|| Problem::unprocessable("Invalid domain."))
}

/// A key without surrounding slashes; `None` when nothing is left and a random one is wished.
fn checked_key(given: &str) -> Result<Option<String>, Problem> {
    let key = given.trim_matches('/');
    if key.is_empty() {
        return Ok(None);
    }
    let allowed = |c: char| {
        c.is_ascii_alphanumeric() || "_-/.".contains(c) || (!c.is_ascii() && !c.is_whitespace() && !c.is_control())
    };
    let lower = key.to_ascii_lowercase();
    let reserved = (lower.starts_with('_') && lower != "_root")
        || lower.ends_with(".php")
        || lower.ends_with(".php7")
        || lower.starts_with(".well-known");
    if reserved || !key.chars().all(allowed) {
        return Err(Problem::unprocessable("Invalid key."));
    }
    Ok(Some(key.to_owned()))
}

/// The URL with each parameter set, or removed where it is null; as it was where that changes nothing.
fn merged(url: &str, parameters: &[(&'static str, Option<String>)]) -> String {
    let Ok(mut parsed) = Url::parse(url) else {
        return url.to_owned();
    };
    let stands = |name: &str| parsed.query_pairs().any(|(given, _)| given == name);
    if !parameters.iter().any(|(name, value)| value.is_some() || stands(name)) {
        return url.to_owned();
    }
    let kept: Vec<(String, String)> = parsed
        .query_pairs()
        .filter(|(name, _)| !parameters.iter().any(|(given, _)| given == name))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    let given = parameters.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?)));
    parsed.query_pairs_mut().clear().extend_pairs(kept).extend_pairs(given);
    if parsed.query() == Some("") {
        parsed.set_query(None);
    }
    parsed.into()
}

fn mirror(link: &mut Link) {
    let url = Url::parse(&link.url).ok();
    let parameter = |name: &str| {
        let (_, value) = url.as_ref()?.query_pairs().find(|(given, _)| given == name)?;
        let value: String = value.chars().filter(|c| *c != '\0').take(TEXT_MAX).collect();
        (!value.is_empty()).then_some(value)
    };
    link.utm_source = parameter("utm_source");
    link.utm_medium = parameter("utm_medium");
    link.utm_campaign = parameter("utm_campaign");
    link.utm_term = parameter("utm_term");
    link.utm_content = parameter("utm_content");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use uuid::Uuid;

    fn link(form: LinkForm) -> Link {
        let mut link = Link::new(Uuid::nil(), String::new(), String::new(), String::new());
        form.apply(&mut link);
        link
    }

    fn refused(body: &serde_json::Value) -> String {
        format!("{:?}", LinkForm::create(body.to_string().as_bytes()).unwrap_err())
    }

    #[test]
    fn parameters_are_merged_into_the_url_and_mirrored() {
        let body = json!({"url": "x.com/a?b=1&utm_term=t", "utm_source": "news", "utm_medium": "", "ref": "r"});
        let mut made = link(LinkForm::create(body.to_string().as_bytes()).unwrap());
        assert_eq!(made.url, "https://x.com/a?b=1&utm_term=t&utm_source=news&ref=r");
        assert_eq!((made.utm_source.as_deref(), made.utm_term.as_deref()), (Some("news"), Some("t")));
        let change = br#"{"utm_source":null,"utm_term":null,"ref":null}"#;
        LinkForm::change(change).unwrap().apply(&mut made);
        assert_eq!((made.url.as_str(), made.utm_source), ("https://x.com/a?b=1", None));
    }

    #[test]
    fn a_url_without_parameters_stays_as_sent() {
        for body in [
            r#"{"url":"HTTPS://x.com/a%20b?q=c%20d"}"#,
            r#"{"url":"HTTPS://x.com/a%20b?q=c%20d","utm_term":null,"ref":""}"#,
        ] {
            let made = link(LinkForm::create(body.as_bytes()).unwrap());
            assert_eq!(made.url, "HTTPS://x.com/a%20b?q=c%20d");
        }
    }

    #[test]
    fn names_are_cleaned() {
        let body =
            br#"{"url":"https://x.y","domain":"https://www.Go.Example.com/","key":"/Promo/24/","externalId":"ext_7"}"#;
        let made = link(LinkForm::create(body).unwrap());
        assert_eq!((made.domain.as_str(), made.key.as_str()), ("go.example.com", "Promo/24"));
        assert_eq!(made.external_id.as_deref(), Some("7"));
        let form = LinkForm::create(br#"{"url":"https://x.y","key":"/","prefix":"/c/","keyLength":9}"#).unwrap();
        assert_eq!((form.key.as_deref(), form.random.make().len()), (None, 11));
    }

    #[test]
    fn each_fault_is_worded_as_in_the_contract() {
        let rows = [
            (json!({}), "invalid_type: url: Invalid input: expected string, received undefined"),
            (json!({"url": null}), "invalid_type: url: Invalid input: expected string, received null"),
            (json!({"url": " "}), "Missing destination URL"),
            (json!({"url": "not a url"}), "Invalid destination URL"),
            (json!({"url": "https://x.y", "domain": "localhost"}), "Invalid domain."),
            (json!({"url": "https://x.y", "key": "a b"}), "Invalid key."),
            (json!({"url": "https://x.y", "key": "_x"}), "Invalid key."),
            (json!({"url": "https://x.y", "key": "x.PHP"}), "Invalid key."),
            (
                json!({"url": "https://x.y", "key": "x".repeat(191)}),
                "too_big: key: Too big: expected string to have <=190 characters",
            ),
            (json!({"url": "https://x.y", "externalId": "ext_"}), "too_small: externalId"),
            (
                json!({"url": "https://x.y", "archived": "no"}),
                "invalid_type: archived: Invalid input: expected boolean, received string",
            ),
            (json!({"url": "https://x.y", "expiresAt": "soon"}), "Invalid expiration date."),
            (json!({"url": "https://x.y", "title": "\0"}), "custom: title: Text must not contain NUL characters"),
        ];
        for (body, expected) in rows {
            let said = refused(&body);
            assert!(said.contains(expected), "{body}: {said}");
        }
    }
}
