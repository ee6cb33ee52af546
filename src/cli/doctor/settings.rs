//! What a PostgreSQL server is set to, against what the promise needs.
//!
//! **Invariant:** judged are the settings as our connections have them, whoever set them; the cure names where that was.

use std::time::Duration;

use super::super::moment::length;
use super::finding::{Area, Finding, Level};
use crate::config::Config;
use crate::store::{Clock, Facts, Server};

const AREA: Area = Area::Postgres;
const OLDEST: i64 = 140_000;
/// A clock that far off is worth a word, and one that far off is broken.
const SKEW: (f64, f64) = (1.0, 60.0);

/// `None` when it takes writes.
pub(super) fn takes_writes(server: &Server, facts: &Facts) -> Option<Finding> {
    let name = server.name();
    let (what, cure) = if facts.in_recovery {
        (
            format!("{name} is a standby"),
            "name the primary in DATABASE_URL, or both with a comma between; promote it if the primary is lost: SELECT pg_promote();"
                .to_owned(),
        )
    } else if value(facts, "default_transaction_read_only") == "on" {
        (
            format!("{name} is read-only: default_transaction_read_only is on"),
            unset(server, facts, "default_transaction_read_only", "off"),
        )
    } else {
        return None;
    };
    Some(Finding::wrong(AREA, "writes", what).mend("nothing can be recorded there", cure))
}

/// All but whether it takes writes.
pub(super) fn judge(config: &Config, server: &Server, facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![version(server, facts)];
    findings.extend(durable(server, facts));
    findings.extend(standbys(facts));
    findings.extend(deadlines(config, facts));
    if value(facts, "server_encoding") != "UTF8" {
        let what = format!("the database's encoding is {}", value(facts, "server_encoding"));
        findings.push(Finding::wrong(AREA, "encoding", what).mend(
            "names and events in other scripts cannot be stored: such leads are buried",
            format!("dump it, createdb -E UTF8 -T template0 {}, and restore", server.database()),
        ));
    }
    if value(facts, "autovacuum") == "off" {
        findings.push(Finding::wrong(AREA, "autovacuum", "autovacuum is off").mend(
            "counters of links and parked leads are updated all the time; their dead rows are never cleared away",
            unset(server, facts, "autovacuum", "on"),
        ));
    }
    findings
}

fn version(server: &Server, facts: &Facts) -> Finding {
    let (name, shown) = (server.name(), value(facts, "server_version"));
    if number(facts, "server_version_num").is_some_and(|version| version >= OLDEST) {
        return Finding::ok(AREA, "version", format!("{name} is PostgreSQL {shown}"));
    }
    Finding::wrong(AREA, "version", format!("{name} is PostgreSQL {shown}")).mend(
        "Leadline is written for 14 and newer, and tested on no older one",
        "update it (pg_upgrade, or dump and restore)",
    )
}

/// What a 200 stands on.
fn durable(server: &Server, facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if value(facts, "synchronous_commit") == "off" {
        let by = facts.settings.get("synchronous_commit").map_or("", |setting| setting.source.as_str());
        findings.push(Finding::wrong(AREA, "synchronous_commit", format!("synchronous_commit is off (set by: {by})")).mend(
            "a COMMIT is answered before it is on disk: a crash of the server loses leads whose message was acknowledged",
            unset(server, facts, "synchronous_commit", "on"),
        ));
    }
    for (name, why) in [
        ("fsync", "nothing is forced to disk: a crash of the machine loses leads and may destroy the database"),
        ("full_page_writes", "a crash in the middle of a write may leave half a page, which nothing can repair"),
    ] {
        if value(facts, name) == "off" {
            let cure = unset(server, facts, name, "on");
            findings.push(Finding::wrong(AREA, name, format!("{name} is off")).mend(why, cure));
        }
    }
    if findings.is_empty() {
        let what =
            format!("what is committed is on disk (synchronous_commit is {})", value(facts, "synchronous_commit"));
        findings.push(Finding::ok(AREA, "durability", what));
    }
    findings
}

fn standbys(facts: &Facts) -> Option<Finding> {
    let (standbys, commit) = (value(facts, "synchronous_standby_names"), value(facts, "synchronous_commit"));
    if !standbys.is_empty() && commit == "local" {
        let what = "synchronous_standby_names is set, but synchronous_commit is local";
        return Some(Finding::warning(AREA, "standbys", what).mend(
            "a 200 does not survive a fail-over: commits do not wait for the standby",
            "synchronous_commit = on",
        ));
    }
    None
}

/// Whether our connections have the deadlines that they asked for.
fn deadlines(config: &Config, facts: &Facts) -> Option<Finding> {
    let store = &config.store;
    let asked = [
        ("statement_timeout", store.statement_timeout),
        ("lock_timeout", store.lock_timeout),
        ("idle_in_transaction_session_timeout", store.idle_in_transaction_timeout),
    ];
    let other = |(name, asked): &(&str, Duration)| {
        number(facts, name).and_then(|millis| u128::try_from(millis).ok()) != Some(asked.as_millis())
    };
    let others: Vec<String> =
        asked.iter().filter(|a| other(a)).map(|(n, _)| format!("{n} is {} ms", value(facts, n))).collect();
    if !others.is_empty() {
        return Some(Finding::wrong(AREA, "deadlines", format!("asked for and not got: {}", others.join(", "))).mend(
            "a worker that freezes would hold its rows for ever, and others would wait for it",
            "a connection pooler stands between and drops what a connection asks for at its start: connect to the server itself",
        ));
    }
    let zero = asked.iter().find(|(_, asked)| asked.is_zero())?;
    Some(Finding::wrong(AREA, "deadlines", format!("{} is 0, so without end", zero.0)).mend(
        "a worker that freezes would hold its rows for ever, and others would wait for it",
        "leave store.statement_timeout, store.lock_timeout and store.idle_in_transaction_timeout at their defaults",
    ))
}

/// How far the server's clock is from this machine's.
pub(super) fn clock(server: &Server, clock: Clock) -> Finding {
    let off = (clock.ahead.abs() - clock.give).max(0.0);
    let (name, word) = (server.name(), if clock.ahead > 0.0 { "ahead of" } else { "behind" });
    let (notable, broken) = SKEW;
    if off < notable {
        return Finding::ok(AREA, "clock", format!("the clock of {name} agrees with this machine's"));
    }
    let level = if off < broken { Level::Warning } else { Level::Wrong };
    let what = format!("the clock of {name} is {} {word} this machine's", length(clock.ahead.abs()));
    Finding::bad(level, AREA, "clock", what).mend(
        "no lead is lost by it, but ages, latencies and the times of leads lie by as much, and certificates may not be valid",
        "run a time service on both (timedatectl set-ntp true, or chrony); `timedatectl` says which of them is off",
    )
}

fn value<'a>(facts: &'a Facts, name: &str) -> &'a str {
    facts.settings.get(name).map_or("", |setting| setting.value.as_str())
}

pub(super) fn number(facts: &Facts, name: &str) -> Option<i64> {
    value(facts, name).parse().ok()
}

/// The statement that takes a setting back from where it was made.
fn unset(server: &Server, facts: &Facts, name: &str, to: &str) -> String {
    let source = facts.settings.get(name).map_or("", |setting| setting.source.as_str());
    let (role, database) = (server.role(), server.database());
    match source {
        "user" => format!("ALTER ROLE \"{role}\" RESET {name};"),
        "database" => format!("ALTER DATABASE \"{database}\" RESET {name};"),
        "database user" => format!("ALTER ROLE \"{role}\" IN DATABASE \"{database}\" RESET {name};"),
        "client" => format!("take {name} out of the options in DATABASE_URL"),
        _ => format!("ALTER SYSTEM SET {name} = {to}; SELECT pg_reload_conf();"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::store::{SchemaState, Setting, examinees};

    /// A server that is as it should be.
    pub(in super::super) fn facts() -> (Config, Server, Facts) {
        let config = crate::config::load(None).unwrap();
        let server = examinees(&config.store).unwrap().remove(0);
        let settings = [
            ("server_version", "16.4"),
            ("server_version_num", "160004"),
            ("server_encoding", "UTF8"),
            ("synchronous_commit", "on"),
            ("synchronous_standby_names", ""),
            ("fsync", "on"),
            ("full_page_writes", "on"),
            ("default_transaction_read_only", "off"),
            ("autovacuum", "on"),
            ("max_connections", "100"),
            ("superuser_reserved_connections", "3"),
            ("reserved_connections", "0"),
            ("statement_timeout", "10000"),
            ("lock_timeout", "5000"),
            ("idle_in_transaction_session_timeout", "3000"),
        ];
        let setting = |value: &str| Setting { value: value.to_owned(), source: "configuration file".to_owned() };
        let settings: HashMap<_, _> =
            settings.iter().map(|(name, value)| ((*name).to_owned(), setting(value))).collect();
        let facts = Facts {
            settings,
            in_recovery: false,
            schema: SchemaState::Current,
            flaws: Vec::new(),
            missing_rights: Vec::new(),
            connections: 5,
            ours: 4,
            limits: Vec::new(),
            clock: Clock { ahead: 0.0, give: 0.001 },
        };
        (config, server, facts)
    }

    fn with(name: &str, value: &str, source: &str) -> Vec<Finding> {
        let (config, server, mut facts) = facts();
        facts.settings.insert(name.to_owned(), Setting { value: value.to_owned(), source: source.to_owned() });
        let mut findings = judge(&config, &server, &facts);
        findings.extend(takes_writes(&server, &facts));
        findings.retain(|finding| finding.level != Level::Ok);
        findings
    }

    #[test]
    fn each_setting_is_judged_and_taken_back_where_it_was_made() {
        assert!(with("fsync", "on", "default").is_empty());
        for (name, value) in [
            ("synchronous_commit", "off"),
            ("fsync", "off"),
            ("full_page_writes", "off"),
            ("default_transaction_read_only", "on"),
            ("autovacuum", "off"),
            ("server_encoding", "LATIN1"),
            ("server_version_num", "130011"),
            ("statement_timeout", "0"),
            ("idle_in_transaction_session_timeout", "86400000"),
        ] {
            let found = with(name, value, "configuration file");
            assert_eq!((found.len(), found[0].level), (1, Level::Wrong), "{name}: {found:?}");
            assert!(found[0].cure.is_some());
        }
        for (source, cure) in [
            ("user", "ALTER ROLE \"root\" RESET synchronous_commit;"),
            ("database", "ALTER DATABASE \"leadline\" RESET synchronous_commit;"),
            ("database user", "ALTER ROLE \"root\" IN DATABASE \"leadline\" RESET synchronous_commit;"),
            ("default", "ALTER SYSTEM SET synchronous_commit = on; SELECT pg_reload_conf();"),
        ] {
            let (_, server, _) = facts();
            let found = with("synchronous_commit", "off", source);
            assert_eq!(found[0].cure.as_deref(), Some(cure.replace("root", server.role()).as_str()));
        }
        let (_, server, mut facts) = facts();
        facts.in_recovery = true;
        assert!(takes_writes(&server, &facts).unwrap().what.contains("is a standby"));
    }

    #[test]
    fn a_clock_is_off_only_beyond_what_the_question_took() {
        let (_, server, _) = facts();
        let level = |ahead: f64, give: f64| clock(&server, Clock { ahead, give }).level;
        assert_eq!(level(0.9, 0.0), Level::Ok);
        assert_eq!(level(-2.0, 1.5), Level::Ok);
        assert_eq!(level(-2.0, 0.1), Level::Warning);
        assert_eq!(level(3600.0, 0.1), Level::Wrong);
        assert!(clock(&server, Clock { ahead: -120.0, give: 0.0 }).what.contains("2 min 0 s behind"));
    }
}
