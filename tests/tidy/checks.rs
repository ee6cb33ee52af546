//! The checks on single files and on the tables that are written twice.
//!
//! Enters: texts. Leaves: one line per offence, or the table as it ought to stand.
//!
//! **Invariant:** nothing here reads a file.

use std::collections::BTreeSet;

use super::imports::is_word;
use super::source::Source;

pub(crate) fn headers(sources: &[Source]) -> Vec<String> {
    let header =
        |s: &Source| s.text.lines().take_while(|l| l.starts_with("//!")).map(str::to_owned).collect::<Vec<_>>();
    sources
        .iter()
        .filter_map(|source| {
            let lines = header(source);
            let invariant = lines.iter().any(|line| line.contains("**Invariant:**"));
            (lines.len() < 2 || !invariant)
                .then(|| format!("{}: needs a //! header of two lines or more with its **Invariant:**", source.path))
        })
        .collect()
}

pub(crate) fn sizes(sources: &[Source]) -> Vec<String> {
    let long = |s: &&Source| s.text.lines().count() > 400;
    sources
        .iter()
        .filter(long)
        .map(|s| format!("{}: {} lines, 400 is the most", s.path, s.text.lines().count()))
        .collect()
}

pub(crate) fn transactions(sources: &[Source]) -> Vec<String> {
    let begins = |s: &&Source| {
        s.path != "src/store/write.rs" && [".begin(", "\"BEGIN"].iter().any(|word| s.code(true).contains(word))
    };
    sources
        .iter()
        .filter(begins)
        .map(|s| format!("{}: a transaction is begun in store/write.rs only", s.path))
        .collect()
}

pub(crate) fn banned(sources: &[Source], words: &[&str], except: &[&str]) -> Vec<String> {
    let mut faults = Vec::new();
    let exempt = |path: &str| path.starts_with("tests/tidy") || except.contains(&path);
    for source in sources.iter().filter(|source| !exempt(&source.path)) {
        for (n, line) in source.text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(**word)) {
                faults.push(format!("{}:{}: {word}", source.path, n + 1));
            }
        }
    }
    faults
}

/// The planned faults are in a build only if it asks for them by name: no default, no other feature, no dependency's.
pub(crate) fn faults_stay_out(manifest: &str) -> Vec<String> {
    let mut section = "";
    let mut faults = Vec::new();
    for line in manifest.lines().filter(|line| !line.trim_start().starts_with('#')) {
        if line.starts_with('[') {
            section = line;
        }
        let own = section == "[features]" && line == "faults = []";
        let asked = line.starts_with("required-features") && section == "[[test]]";
        if line.contains("faults") && !own && !asked {
            faults.push(format!("Cargo.toml, {section}: {line}"));
        }
    }
    faults
}

/// The hunks of a patch whose old lines do not stand together in the source they name.
pub(crate) fn stale_hunks(patch: &Source, sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in patch.text.split("\n--- a/").skip(1) {
        let path = file.lines().next().unwrap_or_default();
        let text = sources.iter().find(|source| source.path == path).map_or("", |source| source.text.as_str());
        for hunk in file.split("\n@@ ").skip(1) {
            let mut old: String = hunk
                .lines()
                .skip(1)
                .take_while(|line| !line.starts_with("diff "))
                .filter_map(|line| line.strip_prefix([' ', '-']))
                .map(|line| format!("{line}\n"))
                .collect();
            old.insert(0, '\n');
            if !text.contains(&old) {
                faults.push(format!(
                    "{}: the hunk at {} does not fit {path}",
                    patch.path,
                    hunk.lines().next().unwrap_or("")
                ));
            }
        }
    }
    faults
}

pub(crate) fn drawing(lib: &Source, existing: &BTreeSet<String>) -> Vec<String> {
    let declared: BTreeSet<String> =
        lib.text.lines().filter_map(|l| l.strip_prefix("pub mod ")?.strip_suffix(';')).map(str::to_owned).collect();
    let mut faults: Vec<String> = declared
        .symmetric_difference(existing)
        .map(|room| format!("src/lib.rs: room {room} is declared without existing, or exists undeclared"))
        .collect();
    let Some(picture) = lib.text.split("```text").nth(1).and_then(|rest| rest.split("```").next()) else {
        return vec!["src/lib.rs: the walk is not drawn".to_owned()];
    };
    for line in picture.lines() {
        let bare = line.split('(').next().unwrap_or_default();
        for word in bare.split(|c: char| !is_word(c)).filter(|w| w.starts_with(|c: char| c.is_ascii_lowercase())) {
            if word != "request" && !declared.contains(word) {
                faults.push(format!("src/lib.rs: the drawing shows {word}, which is no room"));
            }
        }
    }
    faults
}

/// What a migration outside of a transaction may be: one statement that stops nobody's writes, and can be repeated.
const ALONE: [&str; 5] = [
    "CREATE INDEX CONCURRENTLY ",
    "CREATE UNIQUE INDEX CONCURRENTLY ",
    "DROP INDEX CONCURRENTLY ",
    "REINDEX INDEX CONCURRENTLY ",
    "ALTER TABLE ",
];

pub(crate) fn migrations(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for Source { path, text, .. } in sources {
        let own_transaction = text.strip_prefix("-- no-transaction\n");
        if !own_transaction.unwrap_or(text).starts_with("-- ") {
            faults.push(format!("{path}: the first line says why"));
        }
        if let Some(text) = own_transaction {
            let code: String =
                text.lines().filter(|line| !line.starts_with("--")).flat_map(|l| [l.trim(), " "]).collect();
            let statement = code.trim().trim_end_matches(';');
            let validates = !statement.starts_with("ALTER TABLE ") || statement.contains(" VALIDATE CONSTRAINT ");
            if statement.contains(';') || !validates || !ALONE.iter().any(|kind| statement.starts_with(kind)) {
                faults.push(format!("{path}: outside of a transaction may be one of {ALONE:?} (VALIDATE CONSTRAINT)"));
            }
        }
    }
    faults
}

/// `config/default.toml` as the README's table; a comment stands for all keys until the next one.
pub(crate) fn config_table(toml: &str) -> String {
    let mut table = String::from("| key | default | meaning |\n| --- | --- | --- |\n");
    let (mut room, mut note, mut fresh) = (String::new(), String::new(), true);
    for line in toml.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            name.clone_into(&mut room);
            fresh = true;
        } else if let Some(text) = line.strip_prefix("# ") {
            note = if fresh { text.to_owned() } else { format!("{note} {text}") };
            fresh = false;
        } else if let Some((key, value)) = line.split_once(" = ") {
            table.push_str(&format!("| `{room}.{key}` | `{value}` | {} |\n", note.replace('|', "\\|")));
            fresh = true;
        }
    }
    table
}

pub(crate) fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    text.split_once(begin)?.1.split_once(end).map(|(inner, _)| inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(path: &str, text: &str) -> Vec<Source> {
        vec![Source::new(path, text)]
    }

    #[test]
    fn headers_sizes_and_transactions_are_found() {
        assert_eq!(transactions(&one("src/store/x.rs", "let t = pool.begin().await;")).len(), 1);
        assert_eq!(transactions(&one("src/store/x.rs", "query(\"BEGIN\")")).len(), 1);
        assert!(transactions(&one("src/store/write.rs", "query(\"BEGIN\")")).is_empty());
        assert_eq!(headers(&one("src/x.rs", "//! One line.\n//! Two.\n")).len(), 1);
        assert!(headers(&one("src/x.rs", "//! One.\n//!\n//! **Invariant:** x.\n")).is_empty());
        assert_eq!(sizes(&one("src/x.rs", &"x\n".repeat(401))).len(), 1);
    }

    #[test]
    fn banned_words_and_bare_migrations_are_found() {
        assert_eq!(banned(&one("tests/it/a.rs", "tokio::time::sleep(x)"), &["sleep("], &["tests/it/b.rs"]).len(), 1);
        assert!(banned(&one("tests/it/b.rs", "tokio::time::sleep(x)"), &["sleep("], &["tests/it/b.rs"]).is_empty());
        assert_eq!(migrations(&one("migrations/1.sql", "CREATE TABLE x ();")).len(), 1);
        let alone = |text: &str| migrations(&one("migrations/1.sql", &format!("-- no-transaction\n{text}"))).len();
        let index = "CREATE INDEX CONCURRENTLY x\n    ON y (z);\n";
        assert_eq!(alone(&format!("-- Why.\n{index}")), 0);
        assert_eq!(alone("-- Why.\nALTER TABLE y VALIDATE CONSTRAINT z;\n"), 0);
        assert_eq!(alone(index), 1);
        for bad in ["ALTER TABLE y ADD COLUMN z text;", "CREATE INDEX x ON y (z);", &index.repeat(2)] {
            assert_eq!(alone(&format!("-- Why.\n{bad}")), 1, "{bad}");
        }
    }

    #[test]
    fn a_patch_that_no_longer_fits_is_found() {
        let patch = |old: &str| {
            let text = format!(
                "Why.\n\ndiff --git a/src/x.rs b/src/x.rs\n--- a/src/x.rs\n+++ b/src/x.rs\n@@ -1,2 +1,2 @@ fn\n one\n-{old}\n+new\n"
            );
            Source::new("a.patch", &text)
        };
        let sources = one("src/x.rs", "zero\none\ntwo\n");
        assert!(stale_hunks(&patch("two"), &sources).is_empty());
        assert_eq!(stale_hunks(&patch("three"), &sources).len(), 1);
        assert_eq!(stale_hunks(&patch("two"), &one("src/y.rs", "one\ntwo\n")).len(), 1);
    }

    #[test]
    fn a_feature_that_brings_planned_faults_is_found() {
        let good = "[features]\nfaults = []\n[[test]]\nrequired-features = [\"faults\"]\n";
        assert!(faults_stay_out(good).is_empty());
        for bad in ["default = [\"faults\"]", "faults = [\"x\"]", "x = [\"leadline/faults\"]"] {
            assert_eq!(faults_stay_out(&format!("[features]\n{bad}\n")).len(), 1, "{bad}");
        }
        assert_eq!(faults_stay_out("[[bin]]\nrequired-features = [\"faults\"]\n").len(), 1);
    }

    #[test]
    fn a_ghost_in_the_drawing_is_found() {
        let rooms: BTreeSet<String> = ["lead", "http"].map(str::to_owned).into();
        let lib =
            |drawn: &str, mods: &str| Source::new("src/lib.rs", &format!("//! ```text\n//! {drawn}\n//! ```\n{mods}"));
        assert!(drawing(&lib("request ─▶ http (nobody)", "pub mod lead;\npub mod http;\n"), &rooms).is_empty());
        assert_eq!(drawing(&lib("swirl ─▶ http", "pub mod lead;\npub mod http;\n"), &rooms).len(), 1);
        assert_eq!(drawing(&lib("http", "pub mod http;\n"), &rooms).len(), 1);
    }

    #[test]
    fn the_configuration_table_names_every_key() {
        let table = config_table("# head\n[a]\n# One.\n# Two.\nx = 1\ny = \"2s\"\n# Three.\nz = []\n");
        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(
            rows,
            ["| `a.x` | `1` | One. Two. |", "| `a.y` | `\"2s\"` | One. Two. |", "| `a.z` | `[]` | Three. |"]
        );
    }
}
