//! Laws of the bodies of `/track/lead`, `/track/lead/batch`, `/track/lead/client` and `/track/click`.
//!
//! **Invariant:** what was read can be stored, travels unharmed, and reads the same a second time.

use chrono::DateTime;
use leadline::lead::batch::{LEADS_MAX, split};
use leadline::lead::{LeadMessage, Schema, TrackClick, TrackLead, event_key};
use serde::de::IgnoredAny;
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use super::storable;

/// `TrackLead::parse`, by both schemas.
pub(super) fn lead(body: &[u8]) {
    let server = TrackLead::parse(body, Schema::Server);
    let client = TrackLead::parse(body, Schema::Client);
    if let Ok(client) = &client {
        storable("the client's customer", &client.customer_external_id, 100);
        assert_eq!(server.as_ref(), Ok(client), "the server's route is no stricter than the client's");
    }
    let Ok(lead) = server else { return };
    fields(&lead);
    let accepted = DateTime::from_timestamp_millis(1_763_000_000_000).unwrap();
    let message = LeadMessage::new(Uuid::from_u128(7), Uuid::from_u128(9), accepted, lead.clone());
    let bytes = message.encode().unwrap();
    assert!(bytes.len() <= 2 * body.len() + 64 * 1024, "{} bytes of {}", bytes.len(), body.len());
    assert_eq!(LeadMessage::decode(&bytes).unwrap(), message);
    again(&lead);
}

fn fields(lead: &TrackLead) {
    for (what, text) in [("eventName", &lead.event_name), ("customerExternalId", &lead.customer_external_id)] {
        storable(what, text, 255);
        assert!(!text.trim().is_empty() || text.contains('\u{85}'), "{what} is blank");
    }
    for (what, text) in [("customerName", &lead.customer_name), ("customerEmail", &lead.customer_email)] {
        storable(what, text.as_deref().unwrap_or_default(), 100);
    }
    storable("clickId", lead.click_id.as_deref().unwrap_or_default(), usize::MAX);
    storable("customerAvatar", lead.customer_avatar.as_deref().unwrap_or_default(), usize::MAX);
    assert!((1..=100).contains(&lead.quantity));
    assert_ne!(lead.click_id.as_deref(), Some(""), "an empty clickId is a follow-up");
    let metadata = lead.metadata.as_deref().unwrap_or("{}");
    storable("metadata", metadata, 10_000);
    assert!(serde_json::from_str::<Value>(metadata).unwrap().is_object());
    let key = event_key(&lead.event_name);
    assert_eq!(event_key(&lead.event_name.to_ascii_uppercase()), key, "the key knows no case");
    assert!(!key.contains(' '));
}

/// Written as a body and read again, a lead is the same.
fn again(lead: &TrackLead) {
    let metadata: Option<Value> = lead.metadata.as_deref().map(|text| serde_json::from_str(text).unwrap());
    let body = serde_json::json!({
        "clickId": lead.click_id, "eventName": lead.event_name, "customerExternalId": lead.customer_external_id,
        "customerName": lead.customer_name, "customerEmail": lead.customer_email,
        "customerAvatar": lead.customer_avatar, "mode": lead.mode, "eventQuantity": lead.quantity,
        "metadata": metadata,
    });
    let read = TrackLead::parse(body.to_string().as_bytes(), Schema::Server).unwrap();
    assert_eq!(&read, lead);
}

/// `batch::split`, and each lead that it cuts off.
pub(super) fn batch(body: &[u8]) {
    let whole: Option<Vec<IgnoredAny>> = serde_json::from_slice(body).ok();
    let Ok(pieces) = split(body) else {
        // Another reader may be content with bytes inside a text that are no UTF-8.
        let fits = whole.is_some_and(|values| (1..=LEADS_MAX).contains(&values.len()));
        assert!(!fits || std::str::from_utf8(body).is_err(), "an array of its size is refused");
        return;
    };
    assert!((1..=LEADS_MAX).contains(&pieces.len()));
    assert_eq!(whole.map(|values| values.len()), Some(pieces.len()), "a value was lost or made");
    assert!(TrackLead::parse(body, Schema::Server).is_err(), "one body is a lead and a batch");
    let joined = [b"[", pieces.join(&b","[..]).as_slice(), b"]"].concat();
    assert_eq!(split(&joined).unwrap(), pieces);
    for piece in pieces {
        assert_eq!(split(&[b"[", piece, b"]"].concat()).unwrap(), [piece], "a piece is one value");
        lead(piece);
    }
}

/// `TrackClick::parse`.
pub(super) fn click(body: &[u8]) {
    let Ok(click) = TrackClick::parse(body) else { return };
    for text in [Some(&click.domain), Some(&click.key), click.url.as_ref(), click.referrer.as_ref()] {
        storable("a click", text.map_or("", String::as_str), usize::MAX);
    }
    assert_eq!(click.domain, click.domain.to_lowercase());
    assert!(click.url.is_none_or(|url| Url::parse(&url).is_ok()));
}
