//! Where a browser's request comes from: the allowed-hostnames rule, and the headers that let pages read us.
//!
//! The host is that of `Referer`, else of `Origin`, without a leading `www.`, without port. A `Referer`
//! that does not parse names no host, and `Origin` is not asked then.
//!
//! **Invariant:** every answer of a page's route carries the CORS headers, errors too: the script parses both.

use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ORIGIN, REFERER,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use url::Url;

use super::Problem;

/// Answers `OPTIONS`; the headers are added on the way out.
pub(super) async fn preflight() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// Lets any page read the answer; no credentials travel, so `*` is enough.
pub(super) fn share(headers: &mut HeaderMap) {
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (ACCESS_CONTROL_ALLOW_METHODS, "POST, OPTIONS"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "Content-Type, Authorization"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Lets a request pass whose host is on the list; an empty list lets all pass.
pub(super) fn check(allowed: &[String], headers: &HeaderMap) -> Result<(), Problem> {
    if allowed.is_empty() {
        return Ok(());
    }
    let host = host(headers);
    let passes = host.as_deref().is_some_and(|host| allowed.iter().any(|rule| matches(rule, host)));
    if passes {
        return Ok(());
    }
    let host = host.as_deref().unwrap_or("null");
    Err(Problem::forbidden(format!(
        "Request origin '{host}' is not included in the allowed hostnames for this workspace. Update your allowed hostnames here: https://app.dub.co/settings/tracking"
    )))
}

fn host(headers: &HeaderMap) -> Option<String> {
    let source = headers.get(REFERER).or_else(|| headers.get(ORIGIN))?;
    let url = Url::parse(source.to_str().ok()?).ok()?;
    let host = url.host_str()?;
    Some(host.strip_prefix("www.").unwrap_or(host).to_owned())
}

/// `*.example.com` matches any strict subdomain, but not `example.com` itself.
fn matches(rule: &str, host: &str) -> bool {
    match rule.strip_prefix("*.") {
        Some(parent) => host.strip_suffix(parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        None => rule == host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(allowed: &[&str], headers: &[(&'static str, &'static str)]) -> bool {
        let allowed: Vec<String> = allowed.iter().map(|rule| (*rule).to_owned()).collect();
        let headers =
            headers.iter().map(|(name, value)| ((*name).parse().unwrap(), HeaderValue::from_static(value))).collect();
        check(&allowed, &headers).is_ok()
    }

    #[test]
    fn hosts_are_matched_as_in_the_contract() {
        let rule = ["example.com", "*.dub.sh", "localhost"];
        assert!(passes(&[], &[]));
        assert!(!passes(&rule, &[]));
        let rows = [
            ("https://www.example.com/x", true),
            ("https://example.com:8443", true),
            ("https://a.example.com", false),
            ("https://a.b.dub.sh", true),
            ("https://dub.sh", false),
            ("https://evildub.sh", false),
            ("http://localhost:3000", true),
            ("null", false),
        ];
        for (origin, expected) in rows {
            assert_eq!(passes(&rule, &[("origin", origin)]), expected, "{origin}");
        }
        let both = |referer| [("referer", referer), ("origin", "https://example.com")];
        assert!(!passes(&rule, &both("https://other.com")));
        assert!(!passes(&rule, &both("nonsense")));
    }
}
