//! One wish to track a lead, checked field by field in the contract's order.
//!
//! Enters: a body and the schema of its route. Leaves: a [`TrackLead`], or the first [`Fault`].
//! Two limits are ours: `customerExternalId` is 1..255 on the server route too, where the contract
//! has none and would fail later, and no text may hold a NUL.
//!
//! **Invariant:** a [`TrackLead`] can be stored as it is; nobody checks its fields again.

use serde_json::Value;

use super::fault::{Fault, FieldFault};
use super::json::{self, Object};
use super::mode::Mode;
use super::text::{has_nul, is_email, js_trim, utf16_len};

/// Which route's rules a body is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// `POST /track/lead`: `clickId` may be absent, aliases of the customer's id are taken.
    Server,
    /// `POST /track/lead/client`: `clickId` must be present, no aliases, id of 1..100.
    Client,
}

/// A checked wish to track one lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackLead {
    /// The click that brought the customer; `None` makes it a follow-up.
    pub click_id: Option<String>,
    /// 1..255 units, trimmed, in the caller's spelling.
    pub event_name: String,
    /// 1..255 units, trimmed.
    pub customer_external_id: String,
    /// At most 100 units.
    pub customer_name: Option<String>,
    /// At most 100 units, of an e-mail's shape.
    pub customer_email: Option<String>,
    /// Any text.
    pub customer_avatar: Option<String>,
    /// `async` unless said otherwise.
    pub mode: Mode,
    /// 1..=100; 1 unless said otherwise.
    pub quantity: i32,
    /// A JSON object as compact text, at most 10 000 units.
    pub metadata: Option<String>,
}

const METADATA_MAX: usize = 10_000;
const METADATA_TOO_BIG: &str = "Metadata must be less than 10,000 characters when stringified";

impl TrackLead {
    /// Reads and checks a body.
    ///
    /// # Errors
    /// The first fault in the contract's order: JSON, then fields in schema order, then a missing customer.
    pub fn parse(body: &[u8], schema: Schema) -> Result<Self, Fault> {
        let mut fields = json::object(body)?;
        let click_id = click_id(&fields, schema)?;
        let event_name = event_name(&fields)?;
        let named = customer(&fields, "customerExternalId", schema)?;
        let customer_name = text(&mut fields, "customerName", 100)?;
        let customer_email = email(&mut fields)?;
        let customer_avatar = text(&mut fields, "customerAvatar", usize::MAX)?;
        let mode = mode(&fields)?;
        let quantity = quantity(&fields)?;
        let metadata = metadata(&fields)?;
        let customer_external_id = match (named, schema) {
            (Some(id), _) => id,
            (None, Schema::Client) => return Err(Fault::CustomerMissing),
            (None, Schema::Server) => aliased_customer(&fields)?,
        };
        Ok(Self {
            click_id,
            event_name,
            customer_external_id,
            customer_name,
            customer_email,
            customer_avatar,
            mode,
            quantity,
            metadata,
        })
    }
}

fn string<'a>(fields: &'a Object, path: &str) -> Result<Option<&'a str>, FieldFault> {
    match fields.get(path) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(FieldFault::wrong_type(path, "string", json::kind(other))),
    }
}

fn required<'a>(fields: &'a Object, path: &str) -> Result<&'a str, FieldFault> {
    match fields.get(path) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(FieldFault::wrong_type(path, "string", json::kind(other))),
        None => Err(FieldFault::wrong_type(path, "string", "undefined")),
    }
}

fn without_nul(path: &str, text: &str) -> Result<(), FieldFault> {
    if has_nul(text) { Err(FieldFault::nul(path)) } else { Ok(()) }
}

fn click_id(fields: &Object, schema: Schema) -> Result<Option<String>, FieldFault> {
    let given = match schema {
        Schema::Server => string(fields, "clickId")?.unwrap_or_default(),
        Schema::Client => required(fields, "clickId")?,
    };
    without_nul("clickId", given)?;
    let trimmed = js_trim(given);
    Ok((!trimmed.is_empty()).then(|| trimmed.to_owned()))
}

fn event_name(fields: &Object) -> Result<String, FieldFault> {
    let trimmed = js_trim(required(fields, "eventName")?);
    if trimmed.is_empty() {
        return Err(FieldFault::new("too_small", "eventName", "eventName is required"));
    }
    if utf16_len(trimmed) > 255 {
        return Err(FieldFault::too_long("eventName", 255));
    }
    without_nul("eventName", trimmed)?;
    Ok(trimmed.to_owned())
}

fn customer(fields: &Object, path: &str, schema: Schema) -> Result<Option<String>, FieldFault> {
    let (given, max) = match schema {
        Schema::Server => (string(fields, path)?.unwrap_or_default(), 255),
        Schema::Client => (required(fields, path)?, 100),
    };
    let trimmed = js_trim(given);
    if trimmed.is_empty() {
        return match schema {
            Schema::Server => Ok(None),
            Schema::Client => Err(FieldFault::new("too_small", path, "customerExternalId is required")),
        };
    }
    if utf16_len(trimmed) > max {
        return Err(FieldFault::too_long(path, max));
    }
    without_nul(path, trimmed)?;
    Ok(Some(trimmed.to_owned()))
}

fn aliased_customer(fields: &Object) -> Result<String, Fault> {
    let first = customer(fields, "externalId", Schema::Server)?;
    let second = customer(fields, "customerId", Schema::Server)?;
    first.or(second).ok_or(Fault::CustomerMissing)
}

fn text(fields: &mut Object, path: &str, max: usize) -> Result<Option<String>, FieldFault> {
    if let Some(given) = string(fields, path)? {
        if utf16_len(given) > max {
            return Err(FieldFault::too_long(path, max));
        }
        without_nul(path, given)?;
    }
    match fields.get_mut(path) {
        Some(Value::String(given)) => Ok(Some(std::mem::take(given))),
        _ => Ok(None),
    }
}

fn email(fields: &mut Object) -> Result<Option<String>, FieldFault> {
    if let Some(given) = string(fields, "customerEmail")?
        && !is_email(given)
    {
        return Err(FieldFault::new("invalid_format", "customerEmail", "Invalid email address"));
    }
    text(fields, "customerEmail", 100)
}

fn mode(fields: &Object) -> Result<Mode, FieldFault> {
    let word = match fields.get("mode") {
        None => return Ok(Mode::Async),
        Some(Value::String(word)) => Mode::parse(word),
        Some(_) => None,
    };
    word.ok_or_else(|| FieldFault::not_an_option("mode", &Mode::ALL.map(Mode::as_str)))
}

fn quantity(fields: &Object) -> Result<i32, FieldFault> {
    let path = "eventQuantity";
    let number = match fields.get(path) {
        None | Some(Value::Null) => return Ok(1),
        Some(Value::Number(number)) => number.as_f64().unwrap_or(f64::NAN),
        Some(other) => return Err(FieldFault::wrong_type(path, "number", json::kind(other))),
    };
    if number.fract() != 0.0 || !number.is_finite() {
        return Err(FieldFault::wrong_type(path, "int", "number"));
    }
    if number <= 0.0 {
        return Err(FieldFault::new("too_small", path, "Too small: expected number to be >0"));
    }
    (1..=100)
        .find(|whole| f64::from(*whole) == number)
        .ok_or_else(|| FieldFault::new("too_big", path, "Too big: expected number to be <=100"))
}

fn metadata(fields: &Object) -> Result<Option<String>, FieldFault> {
    let path = "metadata";
    let value = match fields.get(path) {
        None | Some(Value::Null) => return Ok(None),
        Some(value @ Value::Object(_)) => value,
        Some(other) => return Err(FieldFault::wrong_type(path, "record", json::kind(other))),
    };
    if json::has_nul(value) {
        return Err(FieldFault::nul(path));
    }
    let compact = value.to_string();
    if utf16_len(&compact) > METADATA_MAX {
        return Err(FieldFault::new("custom", path, METADATA_TOO_BIG));
    }
    Ok(Some(compact))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(body: &Value) -> Result<TrackLead, String> {
        TrackLead::parse(body.to_string().as_bytes(), Schema::Server).map_err(|fault| fault.to_string())
    }

    fn refused(patch: Value) -> String {
        let mut body = json!({"clickId": "c", "eventName": "e", "customerExternalId": "x"});
        if let (Value::Object(body), Value::Object(patch)) = (&mut body, patch) {
            body.extend(patch);
        }
        parse(&body).unwrap_err()
    }

    #[test]
    fn a_full_body_is_read() {
        let lead = parse(&json!({
            "clickId": " abc ", "eventName": " Sign Up ", "customerExternalId": " u1 ", "customerName": " N ",
            "customerEmail": "a@b.co", "customerAvatar": "x", "mode": "wait", "eventQuantity": 3.0, "metadata": {"b": 1, "a": [null]},
            "unknown": true
        }))
        .unwrap();
        assert_eq!(lead.click_id.as_deref(), Some("abc"));
        assert_eq!(lead.event_name, "Sign Up");
        assert_eq!(lead.customer_external_id, "u1");
        assert_eq!(lead.customer_name.as_deref(), Some(" N "));
        assert_eq!((lead.mode, lead.quantity), (Mode::Wait, 3));
        assert_eq!(lead.metadata.as_deref(), Some(r#"{"b":1,"a":[null]}"#));
    }

    #[test]
    fn nulls_are_absent_and_aliases_follow_truthiness() {
        let lead = parse(&json!({"clickId": null, "eventName": "e", "customerExternalId": "", "externalId": null,
            "customerId": "z", "customerName": null, "metadata": null, "eventQuantity": null}))
        .unwrap();
        assert_eq!((lead.click_id, lead.customer_external_id.as_str(), lead.mode), (None, "z", Mode::Async));
        assert_eq!(parse(&json!({"eventName": "e"})).unwrap_err(), "customerExternalId is required");
    }

    #[test]
    fn each_fault_is_worded_as_in_the_contract() {
        let rows = [
            (json!({"clickId": 1}), "invalid_type: clickId: Invalid input: expected string, received number"),
            (json!({"eventName": null}), "invalid_type: eventName: Invalid input: expected string, received null"),
            (json!({"eventName": "  "}), "too_small: eventName: eventName is required"),
            (
                json!({"eventName": "😀".repeat(128)}),
                "too_big: eventName: Too big: expected string to have <=255 characters",
            ),
            (
                json!({"customerExternalId": "x".repeat(256)}),
                "too_big: customerExternalId: Too big: expected string to have <=255 characters",
            ),
            (
                json!({"customerName": "x".repeat(101)}),
                "too_big: customerName: Too big: expected string to have <=100 characters",
            ),
            (json!({"customerEmail": ""}), "invalid_format: customerEmail: Invalid email address"),
            (
                json!({"customerAvatar": []}),
                "invalid_type: customerAvatar: Invalid input: expected string, received array",
            ),
            (
                json!({"mode": null}),
                "invalid_value: mode: Invalid option: expected one of \"async\"|\"wait\"|\"deferred\"",
            ),
            (
                json!({"eventQuantity": "1"}),
                "invalid_type: eventQuantity: Invalid input: expected number, received string",
            ),
            (
                json!({"eventQuantity": 1.5}),
                "invalid_type: eventQuantity: Invalid input: expected int, received number",
            ),
            (json!({"eventQuantity": 0}), "too_small: eventQuantity: Too small: expected number to be >0"),
            (json!({"eventQuantity": 101}), "too_big: eventQuantity: Too big: expected number to be <=100"),
            (json!({"metadata": []}), "invalid_type: metadata: Invalid input: expected record, received array"),
            (
                json!({"metadata": {"a": "x".repeat(10_000)}}),
                "custom: metadata: Metadata must be less than 10,000 characters when stringified",
            ),
            (json!({"metadata": {"a\0": 1}}), "custom: metadata: Text must not contain NUL characters"),
            (json!({"customerName": "a\0"}), "custom: customerName: Text must not contain NUL characters"),
        ];
        for (patch, expected) in rows {
            assert_eq!(refused(patch), expected);
        }
    }

    #[test]
    fn the_client_route_is_stricter() {
        let refused = |body: Value| {
            TrackLead::parse(body.to_string().as_bytes(), Schema::Client)
                .map_err(|fault| fault.to_string())
                .unwrap_err()
        };
        assert_eq!(
            refused(json!({"eventName": "e", "customerExternalId": "x"})),
            "invalid_type: clickId: Invalid input: expected string, received undefined"
        );
        assert_eq!(
            refused(json!({"clickId": "", "eventName": "e", "externalId": "x"})),
            "invalid_type: customerExternalId: Invalid input: expected string, received undefined"
        );
        assert_eq!(
            refused(json!({"clickId": "", "eventName": "e", "customerExternalId": " "})),
            "too_small: customerExternalId: customerExternalId is required"
        );
        assert_eq!(
            refused(json!({"clickId": "", "eventName": "e", "customerExternalId": "x".repeat(101)})),
            "too_big: customerExternalId: Too big: expected string to have <=100 characters"
        );
    }
}
