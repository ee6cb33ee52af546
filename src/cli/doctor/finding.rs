//! One thing that was looked at, and the report of all of them.
//!
//! **Invariant:** what is not well has a reason and a cure, and what was not looked at is never called well.

use std::fmt;

use serde_json::{Value, json};

use super::super::error::CliError;
use super::super::out::Out;

/// How well it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Ok,
    Unchecked,
    Warning,
    Wrong,
}

impl Level {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unchecked => "not checked",
            Self::Warning => "warning",
            Self::Wrong => "wrong",
        }
    }
}

/// What it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Area {
    Configuration,
    Postgres,
    Rabbitmq,
    Work,
}

impl Area {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Postgres => "postgres",
            Self::Rabbitmq => "rabbitmq",
            Self::Work => "work",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Level,
    area: Area,
    /// The name of the check, for machines.
    pub(super) check: &'static str,
    pub(super) what: String,
    why: Option<&'static str>,
    pub(super) cure: Option<String>,
}

impl Finding {
    /// It is well.
    pub(super) fn ok(area: Area, check: &'static str, what: impl Into<String>) -> Self {
        Self { level: Level::Ok, area, check, what: what.into(), why: None, cure: None }
    }

    /// It is not.
    pub(super) fn bad(level: Level, area: Area, check: &'static str, what: impl Into<String>) -> Bad {
        Bad { level, area, check, what: what.into() }
    }

    /// Something has to be mended.
    pub(super) fn wrong(area: Area, check: &'static str, what: impl Into<String>) -> Bad {
        Self::bad(Level::Wrong, area, check, what)
    }

    /// Something to know.
    pub(super) fn warning(area: Area, check: &'static str, what: impl Into<String>) -> Bad {
        Self::bad(Level::Warning, area, check, what)
    }

    /// It could not be looked at.
    pub(super) fn unchecked(area: Area, check: &'static str, what: impl Into<String>) -> Bad {
        Self::bad(Level::Unchecked, area, check, what)
    }

    fn json(&self) -> Value {
        json!({
            "level": self.level.as_str(), "area": self.area.as_str(), "check": self.check, "what": self.what,
            "why": self.why, "cure": self.cure,
        })
    }
}

/// A finding that lacks its reason and its cure still.
pub(super) struct Bad {
    level: Level,
    area: Area,
    check: &'static str,
    what: String,
}

impl Bad {
    /// Why it matters, and what mends it.
    pub(super) fn mend(self, why: &'static str, cure: impl Into<String>) -> Finding {
        let Self { level, area, check, what } = self;
        Finding { level, area, check, what, why: Some(why), cure: Some(cure.into()) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:11}  {:13}  {}", self.level.as_str(), self.area.as_str(), self.what)?;
        for (name, text) in [("why", self.why), ("mend", self.cure.as_deref())] {
            for (n, line) in text.into_iter().flat_map(str::lines).enumerate() {
                let name = if n == 0 { name } else { "" };
                write!(f, "\n{:13}{name:4}  {line}", "")?;
            }
        }
        Ok(())
    }
}

/// Everything that was looked at.
#[derive(Debug, Default)]
pub(super) struct Report {
    findings: Vec<Finding>,
}

impl Report {
    pub(super) fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings);
    }

    /// Whether nothing is wrong.
    pub(super) fn is_well(&self) -> bool {
        self.count(Level::Wrong) == 0
    }

    fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }

    /// Prints it; `quiet` leaves out what is well.
    ///
    /// # Errors
    /// [`CliError`] when standard output is gone.
    pub(super) fn print(&self, quiet: bool, out: Out) -> Result<(), CliError> {
        let counts = [Level::Wrong, Level::Warning, Level::Unchecked].map(|level| self.count(level));
        let [wrong, warnings, unchecked] = counts;
        let shown = self.findings.iter().filter(|finding| !quiet || finding.level != Level::Ok);
        out.value(&json!({
            "well": self.is_well(), "wrong": wrong, "warnings": warnings, "notChecked": unchecked,
            "findings": shown.clone().map(Finding::json).collect::<Vec<_>>(),
        }))?;
        for finding in shown {
            out.line(&finding.to_string())?;
        }
        out.line(&match wrong {
            0 => format!("nothing is wrong; {warnings} warnings, {unchecked} not checked"),
            _ => format!("{wrong} wrong, {warnings} warnings, {unchecked} not checked"),
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_says_why_and_how_to_mend_it() {
        let wrong = Finding::wrong(Area::Postgres, "fsync", "fsync is off").mend("a crash loses leads", "one\ntwo");
        let text = "wrong        postgres       fsync is off\n             why   a crash loses leads\n             \
                    mend  one\n                   two";
        assert_eq!(wrong.to_string(), text);
        let mut report = Report::default();
        report.add([Finding::ok(Area::Work, "workers", "one")]);
        assert!(report.is_well());
        report.add([Finding::unchecked(Area::Work, "x", "y").mend("w", "c"), wrong]);
        assert!(!report.is_well());
        assert_eq!((report.count(Level::Unchecked), report.count(Level::Warning)), (1, 0));
    }
}
