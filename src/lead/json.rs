//! A request body as a JSON object, read strictly.
//!
//! Enters: bytes. Leaves: an object, or which of the contract's complaints applies. Stricter than
//! JavaScript's parser in two places, because a tracker must not guess: a key that stands twice in
//! one object is refused, and nesting deeper than `serde_json`'s limit of 128 is refused.
//!
//! **Invariant:** invalid UTF-8, lone surrogates and duplicate keys never get past this file.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::fault::{Fault, FieldFault};

/// A JSON object with unique keys, in the order it was sent.
pub type Object = Map<String, Value>;

/// Reads a body that must be one JSON object.
///
/// # Errors
/// [`Fault::Json`] when the bytes are not JSON; a root-level field fault when they are JSON but no object.
pub fn object(body: &[u8]) -> Result<Object, Fault> {
    let Strict(value) = serde_json::from_slice(body).map_err(|_| Fault::Json)?;
    match value {
        Value::Object(map) => Ok(map),
        other => Err(FieldFault::wrong_type("", "object", kind(&other)).into()),
    }
}

/// The name JavaScript's validator gives to the type of a value.
#[must_use]
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Whether any key or string inside the value holds a NUL.
#[must_use]
pub fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => super::text::has_nul(text),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(map) => map.iter().any(|(key, item)| super::text::has_nul(key) || has_nul(item)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value without duplicate keys")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(Number::from_f64(v).map_or(Value::Null, Value::Number))
    }
    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }
    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(Value::String(v))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Strict(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Strict(item))) = map.next_entry::<String, Strict>()? {
            if object.insert(key, item).is_some() {
                return Err(A::Error::custom("duplicate key"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_clean_object_is_read() {
        assert!(object(br#"{"a":[1,2.5,null,true,{"b":"c"}]}"#).is_ok());
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        let bad: [&[u8]; 8] = [
            b"",
            b"{",
            b"{}{}",
            br#"{"a":1,"a":2}"#,
            br#"{"m":{"a":1,"a":2}}"#,
            b"{\"a\":\"\xff\"}",
            br#"{"a":"\ud800"}"#,
            deep.as_bytes(),
        ];
        for body in bad {
            assert_eq!(object(body), Err(Fault::Json), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn a_root_that_is_no_object_is_named() {
        let fault = object(b"[]").unwrap_err();
        assert_eq!(fault.to_string(), "invalid_type: : Invalid input: expected object, received array");
    }
}
