//! The targets, in one place, each with where it comes from.
//!
//! Enters: a figure. Leaves: whether it meets its target, and the line that says so.
//!
//! **Invariant:** a figure that was not measured meets no target.

/// On which side of it a figure must be.
#[derive(Debug, Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// What a figure has to reach.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    what: &'static str,
    bound: Bound,
    source: &'static str,
}

const DESIGN: &str = "design §10";
const ISSUE: &str = "issue \"As fast as the engines allow\"";
const RUN_IT: &str = "issue \"Run it in production\"";
/// For what none of them names.
const PART: &str = "the part itself";

const fn at_least(what: &'static str, least: f64, source: &'static str) -> Target {
    Target { what, bound: Bound::AtLeast(least), source }
}

const fn at_most(what: &'static str, most: f64, source: &'static str) -> Target {
    Target { what, bound: Bound::AtMost(most), source }
}

pub(crate) const ASYNC: Target = at_least("async recorded end to end / L", 0.75, DESIGN);
pub(crate) const MIX: Target = at_least("mix ended / L", 0.6, ISSUE);
pub(crate) const WAIT_P50: Target = at_most("wait p50 / bare round trip p50", 1.5, DESIGN);
pub(crate) const WAIT_P99: Target = at_most("wait p99 / bare round trip p99", 3.0, ISSUE);
pub(crate) const MEMORY: Target = at_most("largest resident memory of one process, MiB", 64.0, DESIGN);
pub(crate) const BACKLOG: Target = at_least("backlog drained / C", 0.8, DESIGN);
pub(crate) const BATCH: Target = at_least("bodies of 1000 leads recorded / P", 0.85, ISSUE);
pub(crate) const SEQUENTIAL: Target = at_most("CPU per lead, sequential ids, most rows / 10^4 rows", 1.25, DESIGN);
pub(crate) const RANDOM: Target = at_most("CPU per lead, random ids, most rows / 10^4 rows", 2.0, DESIGN);
pub(crate) const PROCESSES_FEW: Target =
    at_least("64 connections: recorded / best with fewer processes, at worst", 0.9, ISSUE);
pub(crate) const PROCESSES_MANY: Target =
    at_least("256 connections: recorded / best with fewer processes, at worst", 0.9, ISSUE);
pub(crate) const WORKER_ADDED: Target =
    at_most("oldest lead, after a worker was added / before, at worst", 0.5, RUN_IT);
pub(crate) const WORKER_GONE: Target =
    at_most("oldest lead, with fewer workers again / the highest, at worst", 0.5, PART);
pub(crate) const TENANT: Target = at_most("the calm tenant's p99 beside a flood, ms", 500.0, PART);

/// Whether something is as it must be, and what that is.
pub(crate) type Line = (bool, String);

impl Target {
    /// Holds a figure against it.
    pub(crate) fn judge(&self, figure: f64) -> Line {
        let Self { what, bound, source } = self;
        let (met, bound) = match bound {
            Bound::AtLeast(least) => (figure >= *least, format!("at least {least}")),
            Bound::AtMost(most) => (figure <= *most, format!("at most {most}")),
        };
        let figure = if figure.is_nan() { "not measured".to_owned() } else { format!("{figure:.3}") };
        (met, format!("{what}: {figure} ({bound}; {source})"))
    }
}

/// Prints the lines; true when all are met.
pub(crate) fn verdict(lines: &[Line]) -> bool {
    println!();
    for (met, line) in lines {
        println!("{} {line}", if *met { "met   " } else { "MISSED" });
    }
    lines.iter().all(|(met, _)| *met)
}
