//! A body of many leads, cut into the bytes of each.
//!
//! Enters: bytes. Leaves: one slice per lead, unread: each goes the way of a single body, and one that is no
//! lead spoils no other. What is wrong with the body as a whole is told here: no JSON, no array, too few, too many.
//!
//! **Invariant:** however long an array is, no more than [`LEADS_MAX`] slices of it are kept.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::fault::{Fault, FieldFault};

/// Most leads in one body.
pub const LEADS_MAX: usize = 1000;

/// Cuts a body that must be an array of 1 to [`LEADS_MAX`] values, each still to be read.
///
/// # Errors
/// [`Fault::Json`] when the bytes are not JSON; a root-level field fault when they are, but no such array.
pub fn split(body: &[u8]) -> Result<Vec<&[u8]>, Fault> {
    let fault = match serde_json::from_slice(body).map_err(|_| Fault::Json)? {
        Root::Array(values) if values.is_empty() => {
            FieldFault::new("too_small", "", "Too small: expected array to have >=1 items")
        }
        Root::Array(values) => return Ok(values.into_iter().map(|value| value.get().as_bytes()).collect()),
        Root::TooLong => {
            FieldFault::new("too_big", "", &format!("Too big: expected array to have <={LEADS_MAX} items"))
        }
        Root::Other(kind) => FieldFault::wrong_type("", "array", kind),
    };
    Err(fault.into())
}

/// What a body is.
enum Root<'a> {
    Array(Vec<&'a RawValue>),
    TooLong,
    /// The name of its type.
    Other(&'static str),
}

impl<'de> Deserialize<'de> for Root<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RootVisitor)
    }
}

struct RootVisitor;

impl<'de> Visitor<'de> for RootVisitor {
    type Value = Root<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Root<'de>, E> {
        Ok(Root::Other("null"))
    }
    fn visit_bool<E>(self, _: bool) -> Result<Root<'de>, E> {
        Ok(Root::Other("boolean"))
    }
    fn visit_i64<E>(self, _: i64) -> Result<Root<'de>, E> {
        Ok(Root::Other("number"))
    }
    fn visit_u64<E>(self, _: u64) -> Result<Root<'de>, E> {
        Ok(Root::Other("number"))
    }
    fn visit_f64<E>(self, _: f64) -> Result<Root<'de>, E> {
        Ok(Root::Other("number"))
    }
    fn visit_str<E>(self, _: &str) -> Result<Root<'de>, E> {
        Ok(Root::Other("string"))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Root<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Root::Other("object"))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Root<'de>, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            if values.len() == LEADS_MAX {
                // To its end, so that what is no JSON is called so.
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(Root::TooLong);
            }
            values.push(value);
        }
        Ok(Root::Array(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(body: &str) -> String {
        split(body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn an_array_is_cut_and_what_its_values_are_is_left_open() {
        let body = br#" [ {"a":[1,2,{"b":"]"}]} ,7,"\ud800", {"a":1,"a":2}, []] "#;
        let pieces = split(body).unwrap();
        let expected: [&[u8]; 5] = [br#"{"a":[1,2,{"b":"]"}]}"#, b"7", br#""\ud800""#, br#"{"a":1,"a":2}"#, b"[]"];
        assert_eq!(pieces, expected);
        let deep = format!("[{}1{}]", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(split(deep.as_bytes()).unwrap().len(), 1);
    }

    #[test]
    fn an_array_has_its_bounds() {
        let of = |n: usize| format!("[{}]", vec!["{}"; n].join(","));
        assert_eq!(split(of(LEADS_MAX).as_bytes()).unwrap().len(), LEADS_MAX);
        assert_eq!(said(&of(LEADS_MAX + 1)), "too_big: : Too big: expected array to have <=1000 items");
        assert_eq!(said("[]"), "too_small: : Too small: expected array to have >=1 items");
        assert_eq!(said(&of(LEADS_MAX + 2).replace("{}]", "{]")), Fault::Json.to_string());
    }

    #[test]
    fn what_is_no_array_is_named() {
        for (body, kind) in
            [("{\"a\":[]}", "object"), ("null", "null"), ("\"x\"", "string"), ("1.5", "number"), ("true", "boolean")]
        {
            assert_eq!(said(body), format!("invalid_type: : Invalid input: expected array, received {kind}"));
        }
        let bad: [&[u8]; 6] = [b"", b"[", b"[1,]", b"[][]", b"[\"\xff\"]", b"[1 2]"];
        for body in bad {
            assert_eq!(split(body), Err(Fault::Json), "{}", String::from_utf8_lossy(body));
        }
    }
}
