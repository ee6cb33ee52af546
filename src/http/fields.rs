//! Reads the fields of an administrative body, worded as the contract words its faults.
//!
//! Enters: a JSON object. Leaves: per field *absent*, *null* or a value: an absent field leaves what is
//! stored, a null clears it.
//!
//! **Invariant:** no text that leaves this file holds a NUL; unknown fields are never looked at.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde_json::Value;

use super::Problem;
use crate::lead::json::{self, Object};
use crate::lead::text::{has_nul, utf16_len};
use crate::lead::{Fault, FieldFault};

/// What a body says about a field: nothing, null, or a value.
pub(super) type Said<T> = Option<Option<T>>;

/// The fields of one body.
#[derive(Debug)]
pub(super) struct Fields(Object);

impl Fields {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Fault> {
        json::object(body).map(Self)
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    /// A text of at most `max` UTF-16 units, or null.
    pub(super) fn text(&self, path: &str, max: usize) -> Result<Said<String>, FieldFault> {
        match self.0.get(path) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(Value::String(text)) if utf16_len(text) > max => Err(FieldFault::too_long(path, max)),
            Some(Value::String(text)) if has_nul(text) => Err(FieldFault::nul(path)),
            Some(Value::String(text)) => Ok(Some(Some(text.clone()))),
            Some(other) => Err(FieldFault::wrong_type(path, "string", json::kind(other))),
        }
    }

    /// A text that may be absent but not null.
    pub(super) fn solid_text(&self, path: &str, max: usize) -> Result<Option<String>, FieldFault> {
        match self.text(path, max)? {
            Some(None) => Err(FieldFault::wrong_type(path, "string", "null")),
            said => Ok(said.flatten()),
        }
    }

    /// A boolean that may be absent but not null.
    pub(super) fn flag(&self, path: &str) -> Result<Option<bool>, FieldFault> {
        match self.0.get(path) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(FieldFault::wrong_type(path, "boolean", json::kind(other))),
        }
    }

    /// A whole number within bounds that may be absent but not null.
    pub(super) fn whole(&self, path: &str, min: u8, max: u8) -> Result<Option<u8>, FieldFault> {
        let number = match self.0.get(path) {
            None => return Ok(None),
            Some(Value::Number(number)) => number.as_f64().unwrap_or(f64::NAN),
            Some(other) => return Err(FieldFault::wrong_type(path, "number", json::kind(other))),
        };
        if number < f64::from(min) {
            let message = format!("Too small: expected number to be >={min}");
            return Err(FieldFault::new("too_small", path, &message));
        }
        if number > f64::from(max) {
            let message = format!("Too big: expected number to be <={max}");
            return Err(FieldFault::new("too_big", path, &message));
        }
        let whole = (min..=max).find(|n| f64::from(*n) == number);
        whole.map(Some).ok_or_else(|| FieldFault::wrong_type(path, "int", "number"))
    }

    /// A moment (RFC 3339, or a day), or null; an empty text counts as null.
    pub(super) fn moment(&self, path: &str, invalid: &'static str) -> Result<Said<DateTime<Utc>>, Problem> {
        match self.text(path, 100)? {
            None => Ok(None),
            Some(None) => Ok(Some(None)),
            Some(Some(text)) if text.is_empty() => Ok(Some(None)),
            Some(Some(text)) => {
                read_moment(&text).map(|moment| Some(Some(moment))).ok_or_else(|| Problem::unprocessable(invalid))
            }
        }
    }

    /// A list of texts, or null.
    pub(super) fn texts(&self, path: &str) -> Result<Said<Vec<String>>, FieldFault> {
        let items = match self.0.get(path) {
            None => return Ok(None),
            Some(Value::Null) => return Ok(Some(None)),
            Some(Value::Array(items)) => items,
            Some(other) => return Err(FieldFault::wrong_type(path, "array", json::kind(other))),
        };
        let texts = items.iter().enumerate().map(|(n, item)| match item {
            Value::String(text) if !has_nul(text) => Ok(text.clone()),
            Value::String(_) => Err(FieldFault::nul(&format!("{path}[{n}]"))),
            other => Err(FieldFault::wrong_type(&format!("{path}[{n}]"), "string", json::kind(other))),
        });
        texts.collect::<Result<_, _>>().map(|list| Some(Some(list)))
    }
}

/// Years that both JavaScript's dates and `PostgreSQL` print with four digits.
fn read_moment(text: &str) -> Option<DateTime<Utc>> {
    let moment = DateTime::parse_from_rfc3339(text).map(|moment| moment.to_utc()).ok().or_else(|| {
        let day: NaiveDate = text.parse().ok()?;
        Some(day.and_time(NaiveTime::MIN).and_utc())
    })?;
    (0..253_402_300_800).contains(&moment.timestamp()).then_some(moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(body: &str) -> Fields {
        Fields::parse(body.as_bytes()).unwrap()
    }

    #[test]
    fn absent_null_and_value_are_told_apart() {
        let fields = fields(r#"{"a":null,"b":"x","c":"2026-01-02","d":"2026-01-02T03:04:05+01:00"}"#);
        assert_eq!(fields.text("z", 9).unwrap(), None);
        assert_eq!(fields.text("a", 9).unwrap(), Some(None));
        assert_eq!(fields.text("b", 9).unwrap(), Some(Some("x".to_owned())));
        let moment = |path| fields.moment(path, "").unwrap().flatten().unwrap().to_rfc3339();
        assert_eq!(moment("c"), "2026-01-02T00:00:00+00:00");
        assert_eq!(moment("d"), "2026-01-02T02:04:05+00:00");
        assert!(fields.moment("b", "no").is_err());
    }

    #[test]
    fn faults_name_their_field() {
        let fields = fields(r#"{"a":1,"b":"xx","c":"\u0000","d":["x",2],"e":"true","f":9.5}"#);
        let rows = [
            (fields.text("a", 9).unwrap_err(), "invalid_type: a: Invalid input: expected string, received number"),
            (fields.text("b", 1).unwrap_err(), "too_big: b: Too big: expected string to have <=1 characters"),
            (fields.text("c", 1).unwrap_err(), "custom: c: Text must not contain NUL characters"),
            (fields.texts("d").unwrap_err(), "invalid_type: d[1]: Invalid input: expected string, received number"),
            (fields.flag("e").unwrap_err(), "invalid_type: e: Invalid input: expected boolean, received string"),
            (fields.whole("f", 3, 190).unwrap_err(), "invalid_type: f: Invalid input: expected int, received number"),
            (fields.whole("a", 3, 190).unwrap_err(), "too_small: a: Too small: expected number to be >=3"),
        ];
        for (fault, expected) in rows {
            assert_eq!(fault.to_string(), expected);
        }
    }
}
