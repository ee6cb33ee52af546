//! `check`: reads and validates the configuration, starts nothing, connects nowhere.
//!
//! **Invariant:** what passes here is not refused by `api`, `worker` or `all` for its values.

use std::path::Path;

use serde_json::json;

use crate::config::{self, LoadError};

use super::error::CliError;
use super::out::Out;

/// Says whether the configuration is good.
///
/// # Errors
/// [`CliError`] naming every violated relation, or the first key that cannot be read.
pub(super) fn check(file: Option<&Path>, show: bool, out: Out) -> Result<(), CliError> {
    let config = match config::load(file) {
        Ok(config) => config,
        Err(error) => {
            let broken = match &error {
                LoadError::Relations(sentences) => sentences.clone(),
                LoadError::Layer(_) => vec![error.to_string()],
            };
            out.value(&json!({"ok": false, "faults": broken}))?;
            return Err(error.into());
        }
    };
    // `Debug` of a secret is redacted by its type.
    let shown = show.then(|| format!("{config:#?}"));
    out.value(&json!({"ok": true, "faults": [], "configuration": shown}))?;
    if let Some(text) = shown {
        out.line(&text)?;
    }
    out.line("the configuration is good")?;
    Ok(())
}
