//! The configuration, before anything is asked of an engine.
//!
//! **Invariant:** a configuration whose relations are violated is gone on with, so that all faults are found at once.

use std::path::Path;

use super::finding::{Area, Finding};
use crate::config::{self, Config, LoadError};

const AREA: Area = Area::Configuration;

/// Reads it, and says what is wrong with it.
pub(super) fn look(file: Option<&Path>) -> (Option<Config>, Vec<Finding>) {
    let config = match config::load_unchecked(file) {
        Ok(config) => config,
        Err(error) => return (None, vec![unreadable(&error)]),
    };
    let mut findings: Vec<Finding> = config::violations(&config).iter().map(|sentence| violated(sentence)).collect();
    if findings.is_empty() {
        findings.push(Finding::ok(AREA, "relations", "every value fits the others"));
    }
    (Some(config), findings)
}

fn unreadable(error: &LoadError) -> Finding {
    Finding::wrong(AREA, "layers", error.to_string()).mend(
        "no process starts with it, and nothing else could be looked at",
        "correct or remove that key; every key stands in the README and in config/default.toml",
    )
}

/// A relation names its keys itself, and after a colon why.
fn violated(sentence: &str) -> Finding {
    let keys: Vec<&str> = sentence.split([' ', ',', ':']).filter(|word| is_key(word)).collect();
    let variables = keys.iter().map(|key| format!("LEADLINE__{}", key.replace('.', "__").to_uppercase()));
    let cure = format!(
        "set {} in the file of --config, or {} in the environment; `leadline check` says whether it is good then",
        keys.join(" or "),
        variables.collect::<Vec<_>>().join(" or ")
    );
    Finding::wrong(AREA, "relations", sentence).mend("no process starts with it", cure)
}

fn is_key(word: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    word.split_once('.').is_some_and(|(room, key)| plain(room) && plain(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violated_relation_names_the_keys_to_set() {
        let mut config = config::load(None).unwrap();
        config.worker.prefetch = 1;
        let findings: Vec<Finding> = config::violations(&config).iter().map(|sentence| violated(sentence)).collect();
        let cure = findings[0].cure.clone().unwrap();
        assert!(cure.starts_with("set worker.prefetch or worker.batch in"), "{cure}");
        assert!(cure.contains("LEADLINE__WORKER__PREFETCH or LEADLINE__WORKER__BATCH in"), "{cure}");
    }
}
