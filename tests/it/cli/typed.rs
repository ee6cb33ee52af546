//! Commands as they are typed, against the engines of a test.
//!
//! **Invariant:** a command knows no more of the test than its environment.

use std::process::{Command, Stdio};

use secrecy::ExposeSecret;
use serde_json::Value;

use super::books::Books;
use super::import::{Ended, ran};
use crate::harness::{Harness, required};

/// The file that all of these commands are given.
const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/test.toml");

/// A command; what it knows of engines is still to be said.
pub(super) fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leadline"));
    command.args(["--config", CONFIG]).args(words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env_remove("LEADLINE_MANAGEMENT_URL");
    command
}

/// A command of a whole service.
pub(super) fn at_house(house: &Harness, words: &[&str]) -> Command {
    let mut command = command(words);
    command
        .env("DATABASE_URL", house.config.store.url.expose_secret())
        .env("AMQP_URL", house.config.broker.url.expose_secret())
        .env("LEADLINE__BROKER__PREFIX", &house.config.broker.prefix)
        // A busy machine confirms late.
        .env("LEADLINE__BROKER__CONFIRM_DEADLINE", "3s");
    command
}

/// A command of a database of its own, on a broker where nothing of it stands.
pub(super) fn at_books(books: &Books, words: &[&str]) -> Command {
    let mut command = command(words);
    command
        .env("DATABASE_URL", &books.url)
        .env("AMQP_URL", required("TEST_AMQP_URL"))
        .env("LEADLINE__BROKER__PREFIX", format!("{}.", books.name()));
    command
}

/// What `leadline doctor --json` found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) code: Option<i32>,
    pub(super) report: Value,
}

impl Found {
    /// Runs it.
    pub(super) async fn by(mut doctor: Command) -> Self {
        doctor.args(["doctor", "--json"]);
        let Ended { code, out, err } = ran(doctor).await;
        let report = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
        Self { code, report }
    }

    fn all(&self) -> &[Value] {
        self.report["findings"].as_array().unwrap()
    }

    /// The findings of a level.
    pub(super) fn level(&self, level: &str) -> Vec<&Value> {
        self.all().iter().filter(|finding| finding["level"] == level).collect()
    }

    /// Shows that a check found this, with this in what it says and that in its cure.
    #[track_caller]
    pub(super) fn found(&self, level: &str, check: &str, what: &str, cure: &str) {
        let fits = |finding: &&Value| {
            let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
            finding["level"] == level
                && finding["check"] == check
                && text("what").contains(what)
                && text("cure").contains(cure)
        };
        let found = self.all().iter().find(fits);
        let found = found.unwrap_or_else(|| panic!("no {level} {check} with {what:?} and {cure:?}: {:#}", self.report));
        assert!(level == "ok" || !found["why"].as_str().unwrap().is_empty());
        assert_eq!(self.code, Some(i32::from(self.report["wrong"] != 0)));
        assert_eq!(self.report["well"], self.report["wrong"] == 0);
    }
}
