//! What is wrong with a request: the first fault found, worded as the contract words it.
//!
//! A fault is a value, not a failure: it becomes a 4xx answer and is never logged above debug.
//!
//! **Invariant:** a fault never repeats what the caller sent, so nothing secret can travel in it.

use std::fmt;

use thiserror::Error;

/// Why a request cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// The body is no JSON (400).
    #[error("Invalid JSON format in request body. Please ensure the request body is a valid JSON object.")]
    Json,
    /// No name of the customer was given (400).
    #[error("customerExternalId is required")]
    CustomerMissing,
    /// One field is wrong (422).
    #[error(transparent)]
    Field(#[from] FieldFault),
}

/// One field and what is wrong with it; displays as `code: path: message`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct FieldFault {
    /// The validator's issue code, such as `invalid_type`.
    pub code: &'static str,
    /// Path of the field in object notation; empty for the body itself.
    pub path: String,
    /// What was expected.
    pub message: String,
}

impl fmt::Display for FieldFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.code, self.path, self.message)
    }
}

impl FieldFault {
    /// A fault with a message of its own.
    #[must_use]
    pub fn new(code: &'static str, path: &str, message: &str) -> Self {
        Self { code, path: path.to_owned(), message: message.to_owned() }
    }

    /// A value of the wrong type; `received` is `undefined` for an absent field.
    #[must_use]
    pub fn wrong_type(path: &str, expected: &str, received: &str) -> Self {
        Self::new("invalid_type", path, &format!("Invalid input: expected {expected}, received {received}"))
    }

    /// A text longer than `max` UTF-16 units.
    #[must_use]
    pub fn too_long(path: &str, max: usize) -> Self {
        Self::new("too_big", path, &format!("Too big: expected string to have <={max} characters"))
    }

    /// A value outside a closed set.
    #[must_use]
    pub fn not_an_option(path: &str, options: &[&str]) -> Self {
        let list = options.iter().map(|o| format!("\"{o}\"")).collect::<Vec<_>>().join("|");
        Self::new("invalid_value", path, &format!("Invalid option: expected one of {list}"))
    }

    /// A text with a NUL, which no `text` column can hold.
    #[must_use]
    pub fn nul(path: &str) -> Self {
        Self::new("custom", path, "Text must not contain NUL characters")
    }
}
