//! The house: which room may import which, and where foreign crates live.
//!
//! Enters: source files. Leaves: one line per offence.
//!
//! **Invariant:** a path is found however it is spelt: `crate::x`, a group, or a chain of `super`.

use std::collections::BTreeSet;

use super::source::Source;

/// The house: room and what it may import (design of the rooms, in flow order).
const ROOMS: &[(&str, &[&str])] = &[
    ("lead", &[]),
    ("config", &[]),
    ("telemetry", &["lead", "config"]),
    ("lifecycle", &["config", "telemetry"]),
    ("broker", &["lead", "config", "telemetry", "lifecycle"]),
    ("store", &["lead", "config", "telemetry", "lifecycle"]),
    ("record", &["lead", "store", "telemetry"]),
    ("reply", &["lead", "broker", "config", "telemetry", "lifecycle"]),
    ("worker", &["lead", "broker", "record", "store", "reply", "config", "telemetry", "lifecycle"]),
    ("intake", &["lead", "broker", "record", "store", "reply", "config", "telemetry", "lifecycle"]),
    ("http", &["lead", "intake", "store", "config", "telemetry", "lifecycle"]),
    (
        "app",
        &["lead", "config", "telemetry", "lifecycle", "broker", "store", "record", "reply", "worker", "intake", "http"],
    ),
    ("cli", &["app", "lead", "store", "broker", "config", "telemetry", "lifecycle"]),
    ("main", &["cli", "app", "lead", "store", "broker", "config", "telemetry"]),
];

/// Foreign crates that live in some rooms only.
const LODGERS: &[(&str, &[&str])] = &[
    ("lapin", &["broker"]),
    ("sqlx", &["store"]),
    ("axum", &["http", "app"]),
    ("clap", &["cli", "main"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("humantime", &["cli"]),
    ("ratatui", &["cli"]),
    ("prometheus", &["telemetry"]),
    ("backoff", &["lifecycle"]),
    ("rustls", &["broker", "store"]),
    ("async_rs", &["broker"]),
    ("reqwest", &["cli", "telemetry"]),
    ("opentelemetry", &["telemetry"]),
    ("opentelemetry_sdk", &["telemetry"]),
    ("opentelemetry_proto", &["telemetry"]),
    ("prost", &["telemetry"]),
    ("csv", &["cli"]),
    ("indicatif", &["cli"]),
    ("mimalloc", &["main"]),
];

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `word` stands as a whole path segment followed by `::`; yields what comes after.
fn after_segment<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    code.match_indices(word).filter_map(move |(at, _)| {
        let clean = !code[..at].ends_with(|c: char| is_word(c) || c == ':');
        let rest = code[at + word.len()..].strip_prefix("::")?;
        clean.then_some((at, rest))
    })
}

/// The first segments a path continues with: one name, or the names of a group.
fn heads(rest: &str) -> Vec<String> {
    let name = |text: &str| text.trim_start().chars().take_while(|c| is_word(*c)).collect::<String>();
    let Some(group) = rest.strip_prefix('{') else {
        return vec![name(rest)];
    };
    let (mut depth, mut start, mut found) = (0_usize, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                found.push(name(&group[start..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(name(&group[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    found.retain(|head| !head.is_empty());
    found
}

fn imported_rooms(source: &Source) -> BTreeSet<String> {
    let code = source.code(false);
    let mut rooms = BTreeSet::new();
    for root in ["crate", "leadline"] {
        for (_, rest) in after_segment(&code, root) {
            rooms.extend(heads(rest));
        }
    }
    let depth = source.module().len();
    for (_, mut rest) in after_segment(&code, "super") {
        let mut climbed = 1;
        while let Some(further) = rest.strip_prefix("super::") {
            rest = further;
            climbed += 1;
        }
        if climbed == depth {
            rooms.extend(heads(rest));
        }
    }
    rooms.retain(|room| ROOMS.iter().any(|(known, _)| known == room));
    rooms
}

pub(crate) fn imports(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources.iter().filter(|s| s.path != "src/lib.rs") {
        let Some((room, allowed)) = ROOMS.iter().find(|(room, _)| *room == source.room()) else {
            faults.push(format!("{}: no such room in the house", source.path));
            continue;
        };
        for other in imported_rooms(source) {
            if other != *room && !allowed.contains(&other.as_str()) {
                faults.push(format!("{}: room {room} may not import {other}", source.path));
            }
        }
    }
    faults
}

pub(crate) fn lodgers(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources {
        let code = source.code(true);
        for (lodger, rooms) in LODGERS {
            let used = after_segment(&code, lodger).next().is_some() || code.contains(&format!("use {lodger};"));
            if used && !rooms.contains(&source.room()) {
                faults.push(format!("{}: {lodger} lives in {} only", source.path, rooms.join(" and ")));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(path: &str, text: &str) -> Vec<Source> {
        vec![Source::new(path, text)]
    }

    #[test]
    fn a_forbidden_import_is_found_however_it_is_spelt() {
        for text in [
            "use crate::store::Store;",
            "use crate::{config, store::{Store, X}};",
            "fn f() { crate::store::f() }",
            "use super::super::store::Store;",
            "#[cfg(test)]\nmod tests {\n    use crate::app;\n}\nuse crate::store::X;",
        ] {
            assert_eq!(
                imports(&one("src/lead/key.rs", text)).len(),
                if text.contains("config") { 2 } else { 1 },
                "{text}"
            );
        }
        let fine = "use super::key;\n// crate::store\n#[cfg(test)]\nmod tests {\n    use crate::store::X;\n}\n";
        assert!(imports(&one("src/lead/key.rs", fine)).is_empty());
        assert!(imports(&one("src/telemetry/mod.rs", "use super::config::X;")).is_empty());
        assert_eq!(imports(&one("src/telemetry/mod.rs", "use super::store::X;")).len(), 1);
        assert_eq!(imports(&one("src/utils/mod.rs", "")).len(), 1);
    }

    #[test]
    fn a_lodger_outside_its_room_is_found() {
        assert_eq!(lodgers(&one("src/http/x.rs", "use sqlx::Row;")).len(), 1);
        assert!(lodgers(&one("src/store/x.rs", "use sqlx::Row; // lapin::x")).len() == 1);
        assert!(lodgers(&one("src/store/x.rs", "use sqlx::Row;\n// lapin::x")).is_empty());
    }
}
