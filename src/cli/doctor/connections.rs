//! Whether PostgreSQL has a connection for everybody who may want one.
//!
//! **Invariant:** counted is what the pools may open at most, not what they happen to have open.

use super::finding::{Area, Finding};
use super::settings::number;
use crate::app::{self, Role};
use crate::config::Config;
use crate::store::Facts;

const AREA: Area = Area::Postgres;
/// For commands such as this one.
const COMMANDS: i64 = 2;

/// Judges the limits by what so many API processes and workers may open.
pub(super) fn judge(config: &Config, facts: &Facts, (apis, workers): (u32, u32)) -> Vec<Finding> {
    let (api, worker) = (app::connections(config, Role::Api), app::connections(config, Role::Worker));
    let wanted = i64::from(apis) * i64::from(api) + i64::from(workers) * i64::from(worker) + COMMANDS;
    let sum = format!("{apis} API x {api} + {workers} worker x {worker} + {COMMANDS} for commands = {wanted}");
    let all = number(facts, "max_connections").unwrap_or(0);
    let reserved = ["superuser_reserved_connections", "reserved_connections"];
    let reserved: i64 = reserved.iter().filter_map(|name| number(facts, name)).sum();
    let others = (facts.connections - facts.ours - 1).max(0);
    let enough = format!("max_connections = {} in postgresql.conf and a restart", wanted + reserved + others);
    let mut findings = Vec::new();
    if wanted > all - reserved {
        let what = format!("max_connections is {all}, {reserved} of them reserved; wanted are {sum}");
        findings.push(Finding::wrong(AREA, "max_connections", what).mend(
            "processes wait for a connection and answer 503, or do not start",
            format!("{enough}; or fewer processes, or smaller store.api_connections and worker.lanes"),
        ));
    } else if wanted + others > all - reserved {
        let what = format!("{others} connections are others'; of {all} there remain too few for {sum}");
        let why = "when all are used, processes wait for a connection and answer 503";
        findings.push(Finding::warning(AREA, "max_connections", what).mend(why, enough));
    } else {
        findings.push(Finding::ok(AREA, "max_connections", format!("max_connections is {all}, enough for {sum}")));
    }
    for (whose, limit) in facts.limits.iter().filter(|(_, limit)| *limit < wanted) {
        let what = format!("the {whose} may have {limit} connections; wanted are {sum}");
        let (kind, name) = whose.split_once(' ').unwrap_or(("role", whose));
        findings.push(Finding::wrong(AREA, "connection_limit", what).mend(
            "processes wait for a connection and answer 503, or do not start",
            format!("ALTER {} \"{name}\" CONNECTION LIMIT {wanted};", kind.to_uppercase()),
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::super::settings::tests::facts;
    use super::*;
    use crate::store::Setting;

    fn levels(most: &str, connections: i64, processes: (u32, u32), limit: Option<i64>) -> Vec<(&'static str, Level)> {
        let (config, _, mut facts) = facts();
        let setting = Setting { value: most.to_owned(), source: "default".to_owned() };
        facts.settings.insert("max_connections".to_owned(), setting);
        facts.connections = connections;
        facts.limits = limit.map(|limit| ("role x".to_owned(), limit)).into_iter().collect();
        judge(&config, &facts, processes).iter().map(|finding| (finding.check, finding.level)).collect()
    }

    #[test]
    fn every_process_may_open_all_that_it_may() {
        // An API opens six, a worker five.
        assert_eq!(levels("100", 5, (1, 1), None), [("max_connections", Level::Ok)]);
        assert_eq!(levels("100", 5, (4, 14), None), [("max_connections", Level::Ok)]);
        assert_eq!(levels("100", 5, (5, 14), None), [("max_connections", Level::Wrong)]);
        assert_eq!(levels("100", 60, (4, 14), None), [("max_connections", Level::Warning)]);
        let limited = levels("100", 5, (1, 1), Some(12));
        assert_eq!(limited, [("max_connections", Level::Ok), ("connection_limit", Level::Wrong)]);
        assert_eq!(levels("100", 5, (1, 1), Some(13)), [("max_connections", Level::Ok)]);
    }
}
