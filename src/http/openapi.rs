//! `GET /openapi.json`: the API described for programs.
//!
//! One static document, written by hand and compiled in. Deriving it would put a macro on every handler
//! and field, and still could not say what the parsers check (trimming, patterns, one of three names).
//! What keeps it true are tests: they hold it against the router's table, and every answer that the
//! integration tests get against its schemas.
//!
//! **Invariant:** the entity tag names exactly these bytes.

use axum::body::Body;
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use sha2::{Digest, Sha256};

/// The document as it is served: `OpenAPI` 3.1, JSON.
pub const DOCUMENT: &str = include_str!("openapi.json");

/// What every answer says of the document.
#[derive(Debug, Clone)]
pub(super) struct Tag(HeaderValue);

impl Tag {
    /// Of the compiled-in bytes.
    pub(super) fn new() -> Self {
        let mut digest = hex::encode(Sha256::digest(DOCUMENT));
        digest.truncate(32);
        let tag = HeaderValue::try_from(format!("\"{digest}\""));
        Self(tag.unwrap_or_else(|_| HeaderValue::from_static("\"\"")))
    }

    /// The route: the document, or 304 for whoever has it. Any page may read it.
    pub(super) fn answer(&self, asked: &HeaderMap) -> Response {
        let mut response = if self.is_known_to(asked) {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            let mut response = Response::new(Body::from(DOCUMENT));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        };
        let headers = response.headers_mut();
        headers.insert(ETAG, self.0.clone());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        response
    }

    /// A list of tags, weak ones included, or `*` (RFC 9110 §13.1.2).
    fn is_known_to(&self, asked: &HeaderMap) -> bool {
        let given = asked.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        given.flat_map(|list| list.split(',')).map(str::trim).any(|one| {
            let strong = one.strip_prefix("W/").unwrap_or(one);
            one == "*" || strong.as_bytes() == self.0.as_bytes()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_the_document_is_told_so() {
        let tag = Tag::new();
        let status = |given: &str| {
            let mut asked = HeaderMap::new();
            asked.insert(IF_NONE_MATCH, given.parse().unwrap());
            tag.answer(&asked).status().as_u16()
        };
        let own = tag.0.to_str().unwrap();
        assert_eq!(own.len(), 34);
        for given in [own, &format!("\"x\", W/{own}"), "*"] {
            assert_eq!(status(given), 304, "{given}");
        }
        for given in ["", "\"x\"", own.trim_matches('"')] {
            assert_eq!(status(given), 200, "{given}");
        }
    }
}
