//! What no compiler checks: who imports whom, where foreign crates live, headers, sizes, tables.
//!
//! Enters: the files of this repository. Leaves: one line per offence. `UPDATE_README=1` writes the
//! README's two generated tables instead of comparing them.
//!
//! **Invariant:** every check is a pure function over texts, with a test that shows that it can fail.

#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/checks.rs"]
mod checks;

use std::fs;

use checks::{
    banned, between, config_table, drawing, faults_stay_out, headers, migrations, sizes, stale_hunks, transactions,
};
use imports::{imports, lodgers};
use source::{files, root};

fn clean(faults: impl IntoIterator<Item = String>) {
    let faults: Vec<String> = faults.into_iter().collect();
    assert!(faults.is_empty(), "\n  {}\n", faults.join("\n  "));
}

#[test]
fn every_room_imports_only_what_its_row_allows() {
    clean(imports(&files("src", ".rs")));
}

#[test]
fn foreign_crates_stay_in_their_rooms() {
    clean(lodgers(&files("src", ".rs")));
}

#[test]
fn every_source_file_has_a_header_and_a_moderate_size() {
    clean(headers(&files("src", ".rs").into_iter().filter(|s| s.path != "src/main.rs").collect::<Vec<_>>()));
    clean(headers(&files("tests", ".rs")));
    clean(sizes(&files("src", ".rs")));
    clean(sizes(&files("tests", ".rs")));
}

#[test]
fn transactions_begin_in_one_place() {
    clean(transactions(&files("src", ".rs")));
}

#[test]
fn tests_wait_in_one_place_and_none_is_skipped() {
    let mut sources = files("tests", ".rs");
    clean(banned(&sources, &["sleep("], &["tests/it/harness/eventually.rs", "tests/chaos/clock.rs"]));
    sources.extend(files("src", ".rs"));
    sources.extend(files("benches", ".rs"));
    clean(banned(&sources, &["#[ignore", "TODO", "FIXME", "#[allow(", "#![allow("], &[]));
}

#[test]
fn nothing_names_a_place_on_some_machine() {
    let mut sources = files("src", "");
    sources.extend(["tests", "migrations", "config", "benches"].iter().flat_map(|f| files(f, "")));
    clean(banned(&sources, &[concat!("/wo", "rk/"), "/home/", "/root/", "/Users/"], &[]));
}

#[test]
fn no_build_has_planned_faults_unless_it_says_so() {
    clean(faults_stay_out(&fs::read_to_string(root().join("Cargo.toml")).unwrap()));
    let sources = ["deploy", ".ci"].iter().flat_map(|folder| files(folder, "")).collect::<Vec<_>>();
    clean(banned(&sources, &["features faults", "all-features"], &["deploy/dev.d/checks.sh"]));
}

#[test]
fn the_builds_to_be_broken_can_be_broken() {
    let sources = files("src", ".rs");
    clean(files("tests/chaos/broken", ".patch").iter().flat_map(|patch| stale_hunks(patch, &sources)));
}

#[test]
fn the_drawing_shows_the_rooms_that_exist() {
    let sources = files("src", ".rs");
    let lib = sources.iter().find(|s| s.path == "src/lib.rs").unwrap();
    let rooms =
        sources.iter().map(|s| s.room().to_owned()).filter(|r| !["lib", "main"].contains(&r.as_str())).collect();
    clean(drawing(lib, &rooms));
}

#[test]
fn every_migration_says_why_in_its_first_line() {
    clean(migrations(&files("migrations", ".sql")));
}

#[test]
fn the_readme_holds_the_tables_of_metrics_and_configuration() {
    let path = root().join("README.md");
    let mut readme = fs::read_to_string(&path).expect("README.md");
    let toml = fs::read_to_string(root().join("config/default.toml")).unwrap();
    for (what, table) in [("metrics", leadline::telemetry::markdown_table()), ("config", config_table(&toml))] {
        let (begin, end) = (format!("<!-- {what}:begin -->"), format!("<!-- {what}:end -->"));
        let stands =
            between(&readme, &begin, &end).unwrap_or_else(|| panic!("README.md: no {begin} … {end}")).to_owned();
        if std::env::var_os("UPDATE_README").is_some() {
            readme = readme.replace(&format!("{begin}{stands}{end}"), &format!("{begin}\n{table}{end}"));
            fs::write(&path, &readme).unwrap();
        } else {
            assert_eq!(stands.trim(), table.trim(), "README.md: run UPDATE_README=1 cargo test --test tidy");
        }
    }
}
