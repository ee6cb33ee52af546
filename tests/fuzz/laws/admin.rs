//! Laws of the administrative bodies: links, customers, workspaces.
//!
//! **Invariant:** what was read can be stored, and saying it twice changes nothing more.

use leadline::http::readers::{changed_link, created_link, customer_change, workspace_change};
use leadline::store::Link;
use url::Url;

use super::{refused, storable};

/// `POST /links`, then the same body as `PATCH /links/{id}`.
pub(super) fn link(body: &[u8]) {
    let link = match created_link(body) {
        Ok(link) => link,
        Err(problem) => return refused(&problem),
    };
    stored(&link);
    match changed_link(link.clone(), body) {
        Ok(changed) => assert_eq!(changed, link, "what creates a link changes nothing in it"),
        Err(problem) => panic!("what creates a link cannot change it: {problem:?}"),
    }
}

fn stored(link: &Link) {
    storable("domain", &link.domain, 190);
    storable("key", &link.key, 190);
    storable("url", &link.url, usize::MAX);
    assert!(Url::parse(&link.url).is_ok(), "{:?} is no URL", link.url);
    assert!(!link.key.starts_with('/') && !link.key.ends_with('/'), "{:?}", link.key);
    assert!(!link.key.contains(char::is_whitespace), "{:?}", link.key);
    let short = [&link.external_id, &link.tenant_id, &link.program_id, &link.partner_id];
    let utm = [&link.utm_source, &link.utm_medium, &link.utm_campaign, &link.utm_term, &link.utm_content];
    for text in short.into_iter().flatten() {
        storable("an id", text, 255);
    }
    for text in utm.into_iter().flatten() {
        storable("a utm parameter", text, 2 * 255);
        assert!(!text.is_empty());
    }
    for text in [&link.title, &link.description, &link.comments].into_iter().flatten() {
        storable("a text", text, usize::MAX);
    }
}

/// `PATCH /links/{id}` on a bare link, `PATCH /customers/{id}` and `PATCH /workspaces/{id}`.
pub(super) fn admin(body: &[u8]) {
    if let Ok(bare) = created_link(br#"{"url":"https://a.b/c?utm_term=t&x=y#z"}"#) {
        match changed_link(bare, body) {
            Ok(once) => {
                stored(&once);
                let twice = changed_link(once.clone(), body).ok();
                assert_eq!(twice, Some(once), "saying it twice changes more");
            }
            Err(problem) => refused(&problem),
        }
    }
    match customer_change(body) {
        Ok(change) => {
            storable("name", change.name.flatten().as_deref().unwrap_or_default(), 100);
            storable("email", change.email.flatten().as_deref().unwrap_or_default(), 100);
            storable("avatar", change.avatar.flatten().as_deref().unwrap_or_default(), usize::MAX);
            storable("externalId", change.external_id.as_deref().unwrap_or_default(), 255);
            assert_ne!(change.external_id.as_deref(), Some(""));
        }
        Err(problem) => refused(&problem),
    }
    match workspace_change(body) {
        Ok(change) => {
            storable("name", change.name.as_deref().unwrap_or_default(), 32);
            storable("slug", change.slug.as_deref().unwrap_or_default(), 48);
            let hosts = change.allowed_hostnames.unwrap_or_default();
            assert!(hosts.len() <= 10 && hosts.iter().all(|host| !host.is_empty() && host.is_ascii()));
        }
        Err(problem) => refused(&problem),
    }
}
