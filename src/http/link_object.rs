//! The contract's link object.
//!
//! Enters: a stored link. Leaves: every key of the contract; what Leadline does not keep is null, or the
//! value that means "not used", because SDKs refuse an absent key.
//!
//! **Invariant:** no key is ever left out, whatever its value.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use crate::lead::id;
use crate::store::Link;

/// `https://{domain}/{key}`; a root link has no path.
pub(super) fn short_link(domain: &str, key: &str) -> String {
    if key == "_root" { format!("https://{domain}") } else { format!("https://{domain}/{key}") }
}

/// A moment as JavaScript prints it.
pub(super) fn iso(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Millis, true)
}

type Never = ();
type Nothing = [(); 0];

/// The object, in the contract's order. `Never` is null, `Nothing` an empty list.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LinkObject<'a> {
    id: String,
    domain: &'a str,
    key: &'a str,
    url: &'a str,
    short_link: String,
    qr_code: String,
    track_conversion: bool,
    external_id: Option<&'a str>,
    tenant_id: Option<&'a str>,
    program_id: Option<&'a str>,
    partner_id: Option<&'a str>,
    archived: bool,
    expires_at: Option<String>,
    expired_url: Never,
    disabled_at: Option<String>,
    password: Never,
    proxy: bool,
    title: Option<&'a str>,
    description: Option<&'a str>,
    image: Never,
    video: Never,
    rewrite: bool,
    do_index: bool,
    ios: Never,
    android: Never,
    geo: Never,
    public_stats: bool,
    tags: Nothing,
    folder_id: Never,
    comments: Option<&'a str>,
    #[serde(rename = "utm_source")]
    utm_source: Option<&'a str>,
    #[serde(rename = "utm_medium")]
    utm_medium: Option<&'a str>,
    #[serde(rename = "utm_campaign")]
    utm_campaign: Option<&'a str>,
    #[serde(rename = "utm_term")]
    utm_term: Option<&'a str>,
    #[serde(rename = "utm_content")]
    utm_content: Option<&'a str>,
    test_variants: Never,
    test_started_at: Never,
    test_completed_at: Never,
    user_id: Never,
    workspace_id: String,
    clicks: i64,
    leads: i64,
    conversions: i64,
    sales: i64,
    sale_amount: i64,
    last_clicked: Option<String>,
    created_at: String,
    updated_at: String,
    tag_id: Never,
    project_id: String,
    webhook_ids: Nothing,
    identifier: Never,
    link_retention_cleanup_disabled_at: Never,
}

impl<'a> From<&'a Link> for LinkObject<'a> {
    fn from(link: &'a Link) -> Self {
        let short_link = short_link(&link.domain, &link.key);
        let workspace = id::show(id::WORKSPACE, link.workspace_id);
        Self {
            id: id::show(id::LINK, link.id),
            domain: &link.domain,
            key: &link.key,
            url: &link.url,
            qr_code: format!("https://api.dub.co/qr?url={short_link}?qr=1"),
            short_link,
            track_conversion: link.track_conversion,
            external_id: link.external_id.as_deref(),
            tenant_id: link.tenant_id.as_deref(),
            program_id: link.program_id.as_deref(),
            partner_id: link.partner_id.as_deref(),
            archived: link.archived,
            expires_at: link.expires_at.map(iso),
            disabled_at: link.disabled_at.map(iso),
            title: link.title.as_deref(),
            description: link.description.as_deref(),
            comments: link.comments.as_deref(),
            utm_source: link.utm_source.as_deref(),
            utm_medium: link.utm_medium.as_deref(),
            utm_campaign: link.utm_campaign.as_deref(),
            utm_term: link.utm_term.as_deref(),
            utm_content: link.utm_content.as_deref(),
            workspace_id: workspace.clone(),
            clicks: link.clicks,
            leads: link.leads,
            last_clicked: link.last_clicked.map(iso),
            created_at: iso(link.created_at),
            updated_at: iso(link.updated_at),
            project_id: workspace,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_bare_link_has_every_key() {
        let link = Link::new(Uuid::nil(), "d.co".to_owned(), "_root".to_owned(), "https://x.y".to_owned());
        let object = serde_json::to_value(LinkObject::from(&link)).unwrap();
        assert_eq!(object.as_object().unwrap().len(), 53);
        assert_eq!(object["shortLink"], "https://d.co");
        assert_eq!(object["createdAt"], "1970-01-01T00:00:00.000Z");
        assert_eq!(object["workspaceId"], "ws_00000000000000000000000000");
    }
}
