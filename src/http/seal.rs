//! The headers that make an answer harmless in a browser.
//!
//! Answers are data: no page may run, frame or sniff them, none leaks an address to the next, and none is
//! kept unless its handler says so. `Strict-Transport-Security` belongs to the proxy that ends TLS.
//!
//! **Invariant:** every answer of both listeners is sealed, errors too; what a handler said of caching stands.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;

/// Puts the headers on.
pub(super) fn put(headers: &mut HeaderMap) {
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// The same as a layer.
pub(super) async fn sealed(mut response: Response) -> Response {
    put(response.headers_mut());
    response
}
