//! What must hold for every reader of foreign bytes, whatever the bytes: one function per reader.
//!
//! Enters: bytes. Leaves: nothing, or a panic that names the broken law. The fuzz targets call these with
//! libFuzzer's bytes, the property tests with shaped ones, and one test with every seed and every find.
//!
//! **Invariant:** a law needs no engine, no file and no clock, so a find can be replayed anywhere.

mod admin;
mod leads;
mod queries;
mod wire;
mod words;

/// One law.
pub(crate) type Law = fn(&[u8]);

/// Every law by its name, which is the name of its fuzz target.
pub(crate) const LAWS: &[(&str, Law)] = &[
    ("lead", leads::lead),
    ("batch", leads::batch),
    ("click", leads::click),
    ("message", wire::message),
    ("reply", wire::reply),
    ("link", admin::link),
    ("admin", admin::admin),
    ("target", queries::target),
    ("visitor", queries::visitor),
    ("words", words::words),
    ("settings", words::settings),
];

/// The law of a name.
pub(crate) fn of(name: &str) -> Law {
    LAWS.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no law {name}")).1
}

/// Fails when a text holds a NUL or is longer than `max` UTF-16 units.
fn storable(what: &str, text: &str, max: usize) {
    assert!(!text.contains('\0'), "{what} holds a NUL");
    let units = text.encode_utf16().count();
    assert!(units <= max, "{what} has {units} units, {max} are the most");
}

/// Fails when a refusal is not the caller's fault.
fn refused(problem: &leadline::http::Problem) {
    let shown = format!("{problem:?}");
    assert!(shown.contains("status: 4"), "a body is answered {shown}");
}
