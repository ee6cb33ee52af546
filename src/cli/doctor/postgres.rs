//! The servers of `store.url`: reached, let in, the right schema, the rights.
//!
//! **Invariant:** of several servers exactly one has to take writes; the others are told apart from broken ones.

use super::connections;
use super::finding::{Area, Finding};
use super::settings;
use crate::config::Config;
use crate::store::{Facts, Flaw, SchemaState, Server, StoreError, examinees};

const AREA: Area = Area::Postgres;

/// Looks every server over. Whether one of them can be worked with is returned too.
pub(super) async fn look(config: &Config, processes: (u32, u32)) -> (bool, Vec<Finding>) {
    let servers = match examinees(&config.store) {
        Ok(servers) => servers,
        Err(error) => return (false, vec![address(&error)]),
    };
    let (mut findings, mut primaries) = (Vec::new(), 0_usize);
    for server in &servers {
        match server.examine().await {
            Err(error) => findings.push(unreached(server, &error)),
            Ok(facts) if facts.in_recovery && servers.len() > 1 => {
                findings.push(Finding::ok(AREA, "server", format!("{} is a standby", server.name())));
            }
            Ok(facts) => {
                let takes_writes = settings::takes_writes(server, &facts);
                primaries += usize::from(takes_writes.is_none());
                findings.extend(takes_writes);
                findings.extend(judge(config, server, &facts, processes));
            }
        }
    }
    if servers.len() > 1 && primaries != 1 {
        let what = format!("{primaries} of {} servers take writes", servers.len());
        findings.push(Finding::wrong(AREA, "primary", what).mend(
            "with none nothing is recorded; with two, processes may record on both, and one half is lost in the end",
            "promote one: SELECT pg_promote(); on it. Of two primaries stop the one that was left behind, and make it a \
             standby again with pg_rewind or pg_basebackup",
        ));
    }
    (primaries > 0, findings)
}

/// Everything that a server which let us in has to be judged by.
fn judge(config: &Config, server: &Server, facts: &Facts, processes: (u32, u32)) -> Vec<Finding> {
    let mut findings = settings::judge(config, server, facts);
    findings.extend(schema(server, facts));
    findings.push(rights(server, facts));
    findings.extend(connections::judge(config, facts, processes));
    findings.push(settings::clock(server, facts.clock));
    findings.push(Finding::unchecked(AREA, "disk", "free disk space: PostgreSQL does not tell it").mend(
        "a full disk stops it",
        format!("look on {}: df -h \"$(psql -XAtc 'SHOW data_directory')\"", server.name()),
    ));
    findings
}

fn address(error: &StoreError) -> Finding {
    Finding::wrong(AREA, "address", error.to_string()).mend(
        "no process starts with it",
        "DATABASE_URL=postgres://USER:PASSWORD@HOST:5432/DATABASE ('@', '/' and ':' in a password are written %40, %2F, %3A)",
    )
}

fn unreached(server: &Server, error: &StoreError) -> Finding {
    let (name, role, database) = (server.name(), server.role(), server.database());
    let code = error.code().unwrap_or_default();
    let cure = match (code.as_str(), error) {
        ("28P01" | "28000", _) => format!(
            "put the right password into DATABASE_URL, or set it: ALTER ROLE \"{role}\" LOGIN PASSWORD '…'; where pg_hba.conf \
             refuses the host, add a line for it and SELECT pg_reload_conf();"
        ),
        ("3D000", _) => {
            format!("createdb -h HOST -O {role} {database} and `leadline migrate`, or another name in DATABASE_URL")
        }
        ("53300", _) => "raise max_connections and restart PostgreSQL, or close what holds its connections: SELECT \
                         application_name, count(*) FROM pg_stat_activity GROUP BY 1 ORDER BY 2 DESC;"
            .to_owned(),
        ("42501", _) => format!(
            "GRANT CONNECT ON DATABASE \"{database}\" TO \"{role}\"; GRANT USAGE ON SCHEMA public TO \"{role}\"; \
                                 GRANT SELECT ON _sqlx_migrations TO \"{role}\";"
        ),
        (_, StoreError::Untrusted { .. } | StoreError::Setting(_)) => {
            "correct sslmode, sslrootcert, sslcert or sslkey in DATABASE_URL, or the server's certificate".to_owned()
        }
        _ => format!(
            "is it running, and is this its address? pg_isready -h {} says so; then look at its log",
            name.replace(':', " -p ")
        ),
    };
    let what = format!("{name} does not let us in as {role} to {database}: {error}");
    Finding::wrong(AREA, "server", what)
        .mend("leads queue up and are recorded by nobody; with RabbitMQ away too, they are refused", cure)
}

fn schema(server: &Server, facts: &Facts) -> Vec<Finding> {
    let name = server.name();
    let mut findings = vec![match facts.schema {
        SchemaState::Current => Finding::ok(AREA, "schema", format!("{name} has this binary's schema")),
        SchemaState::Ahead => Finding::warning(AREA, "schema", format!("{name} was migrated by a newer binary")).mend(
            "this one works with it, but lacks what that one can",
            "update the processes of this version; migrations are never taken back",
        ),
        SchemaState::Behind => Finding::wrong(AREA, "schema", format!("{name} has an older schema than this binary"))
            .mend("no API or worker of this version starts", "leadline migrate"),
    }];
    findings.extend(facts.flaws.iter().map(|flaw| flawed(&name, flaw)));
    findings
}

fn flawed(name: &str, flaw: &Flaw) -> Finding {
    let (what, cure) = match flaw {
        Flaw::Dirty(version) => (
            format!("migration {version} failed half-way on {name}"),
            format!(
                "see what it left (each runs in a transaction, so most likely nothing), then DELETE FROM _sqlx_migrations \
                 WHERE version = {version}; and `leadline migrate`"
            ),
        ),
        Flaw::Changed(version) => (
            format!("migration {version} on {name} is another one than this binary's"),
            "use a binary of a release, or restore a database that only releases have migrated".to_owned(),
        ),
        Flaw::Skipped(version) => (
            format!("migration {version} is missing on {name}, though a later one is there"),
            "leadline migrate".to_owned(),
        ),
    };
    Finding::wrong(AREA, "schema", what).mend("the tables may not be what the statements expect", cure)
}

fn rights(server: &Server, facts: &Facts) -> Finding {
    let role = server.role();
    if facts.missing_rights.is_empty() {
        return Finding::ok(AREA, "rights", format!("{role} may do all it has to with every table"));
    }
    let grants = facts.missing_rights.iter().map(|right| match right.strip_prefix("EXECUTE on ") {
        Some(function) => format!("GRANT EXECUTE ON FUNCTION {function} TO \"{role}\";"),
        None => format!("GRANT {} TO \"{role}\";", right.replace(" on ", " ON ")),
    });
    let what = format!("{role} lacks rights: {}", facts.missing_rights.join(", "));
    Finding::wrong(AREA, "rights", what)
        .mend("statements are refused, and leads are held until they are not", grants.collect::<Vec<_>>().join("\n"))
}
