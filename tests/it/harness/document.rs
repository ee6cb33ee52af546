//! Holds answers against the `OpenAPI` document: every answer that a test gets from a router comes by here.
//!
//! Enters: a request's method and path, an answer. Leaves: nothing, or what the document does not say.
//! Objects are taken as closed: a field that the document does not name is a fault, though clients ignore it.
//!
//! **Invariant:** what the document does not name (an unknown path, a wrong method) is an `Error` all the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use axum::http::HeaderMap;
use jsonschema::Validator;
use leadline::http::OPENAPI;
use serde_json::{Value, json};

/// The document, parsed once per process.
pub(crate) fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| serde_json::from_str(OPENAPI).unwrap())
}

/// What follows `#` in a reference, looked up.
pub(crate) fn resolved(node: &Value) -> &Value {
    match node["$ref"].as_str() {
        Some(to) => document().pointer(to.strip_prefix('#').unwrap()).unwrap_or_else(|| panic!("{to} leads nowhere")),
        None => node,
    }
}

/// The document's path that a request meets, without query, `/api` or ids.
pub(crate) fn template(path: &str) -> Option<&'static str> {
    let path = path.split('?').next().unwrap_or_default();
    let bare = path.strip_prefix("/api").unwrap_or(path);
    let paths = document()["paths"].as_object().unwrap();
    let whole = paths.keys().find(|known| *known == bare);
    let begun = paths.keys().find(|known| {
        let rest = known.strip_suffix("{id}").and_then(|start| bare.strip_prefix(start));
        rest.is_some_and(|id| !id.is_empty() && (!id.contains('/') || !known.starts_with("/workspaces/")))
    });
    whole.or(begun).map(String::as_str)
}

/// Fails unless the document says that this request may be answered so.
#[track_caller]
pub(crate) fn hold(method: &str, path: &str, status: u16, headers: &HeaderMap, body: &Value) {
    if let Err(fault) = held(method, path, status, headers, body) {
        panic!("the document does not say so: {method} {path}: {status}: {fault}\n{body}");
    }
}

/// As [`hold`], for the test of this file.
pub(crate) fn held(method: &str, path: &str, status: u16, headers: &HeaderMap, body: &Value) -> Result<(), String> {
    let sealed = ["x-content-type-options", "referrer-policy", "content-security-policy", "cache-control"];
    if let Some(missing) = sealed.iter().chain(&["x-request-id"]).find(|name| !headers.contains_key(**name)) {
        return Err(format!("no {missing}"));
    }
    let item = template(path).map_or(&Value::Null, |template| &document()["paths"][template]);
    let operation = &item[method.to_lowercase()];
    if operation.is_null() {
        let expected = if item.is_null() { 404 } else { 405 };
        return if status == expected { fits("/components/schemas/Error", body) } else { Err("unknown".to_owned()) };
    }
    let response = &operation["responses"][status.to_string()];
    if response.is_null() {
        return Err("no such status".to_owned());
    }
    let response = resolved(response);
    for (name, header) in response["headers"].as_object().unwrap() {
        let header = resolved(header);
        match headers.get(name).map(|value| value.to_str().unwrap()) {
            None if header["required"] == true => return Err(format!("no {name}")),
            Some(text) if !jsonschema::is_valid(&header["schema"], &json!(text)) => {
                return Err(format!("{name}: {text}"));
            }
            _ => {}
        }
    }
    let schema = &response["content"]["application/json"]["schema"];
    if schema.is_null() {
        return if body.is_null() || body == "" { Ok(()) } else { Err("a body".to_owned()) };
    }
    if headers.get("content-type").is_none_or(|kind| kind != "application/json") {
        return Err(format!("content type {:?}", headers.get("content-type")));
    }
    against(schema, body)
}

fn fits(pointer: &str, body: &Value) -> Result<(), String> {
    against(&json!({"$ref": format!("#{pointer}")}), body)
}

/// Fails with the first fault of a value against a schema of the document, objects taken as closed.
pub(crate) fn against(schema: &Value, value: &Value) -> Result<(), String> {
    static KNOWN: Mutex<Option<HashMap<String, Arc<Validator>>>> = Mutex::new(None);
    let name = schema.to_string();
    let mut known = KNOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let validator = known.get_or_insert_default().entry(name).or_insert_with(|| {
        let mut components = document()["components"].clone();
        let mut root = schema.clone();
        close(&mut components);
        close(&mut root);
        root["components"] = components;
        Arc::new(jsonschema::draft202012::new(&root).unwrap_or_else(|error| panic!("{schema}: {error}")))
    });
    let validator = Arc::clone(validator);
    drop(known);
    validator.validate(value).map_err(|error| format!("{}: {error}", error.instance_path()))
}

/// Forbids what a schema's `properties` do not name, wherever it names any and is not a part of another.
fn close(node: &mut Value) {
    match node {
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Object(fields) => {
            if fields.contains_key("properties") && fields.contains_key("type") {
                fields.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            fields.retain(|name, _| name != "example" && name != "examples");
            fields.values_mut().for_each(close);
        }
        _ => {}
    }
}
