//! Reads the layers of the configuration, in order: compiled-in file, given file, environment.
//!
//! `DATABASE_URL` and `AMQP_URL` are the customary names for the two URLs, and so are some of `OpenTelemetry`'s for what
//! concerns traces; `LEADLINE__STORE__URL` and the like, being ours alone, win over them.
//!
//! **Invariant:** this is the only place that reads the environment.

use std::path::Path;

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use secrecy::SecretString;
use thiserror::Error;

use super::{Config, violations};

const DEFAULT: &str = include_str!("../../config/default.toml");

/// Customary names, and what they are here. Empty ones count as not set, as the conventions of `OpenTelemetry` have it.
const CUSTOMARY: [(&str, &str); 6] = [
    ("DATABASE_URL", "store.url"),
    ("AMQP_URL", "broker.url"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "telemetry.otlp_endpoint"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "telemetry.otlp_headers"),
    ("OTEL_SERVICE_NAME", "telemetry.service_name"),
    ("OTEL_RESOURCE_ATTRIBUTES", "telemetry.resource"),
];
/// The only one of them that is a number.
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";

/// Why there is no configuration to start with.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A layer cannot be read, a key is unknown, a value has the wrong type.
    #[error("configuration: {0}")]
    Layer(#[from] Box<figment::Error>),
    /// Values that are fine alone do not fit together; every violated relation, one per line.
    #[error("configuration: values that do not fit together:\n  {}", .0.join("\n  "))]
    Relations(Vec<String>),
}

/// Reads and checks the configuration.
///
/// # Errors
/// [`LoadError`] naming the key or the relation.
pub fn load(file: Option<&Path>) -> Result<Config, LoadError> {
    checked(&layers(file))
}

/// Reads the configuration without insisting on its relations; for those who look at everything that is wrong.
///
/// # Errors
/// [`LoadError::Layer`].
pub fn load_unchecked(file: Option<&Path>) -> Result<Config, LoadError> {
    Ok(layers(file).extract().map_err(Box::new)?)
}

fn layers(file: Option<&Path>) -> Figment {
    let mut layers = Figment::from(Toml::string(DEFAULT));
    if let Some(path) = file {
        layers = layers.merge(Toml::file_exact(path));
    }
    for (variable, key) in CUSTOMARY {
        let said = Env::var(variable).filter(|said| !(said.is_empty() && variable.starts_with("OTEL_")));
        if let Some(said) = said {
            layers = layers.merge(Serialized::default(key, said));
        }
    }
    if Env::var(SAMPLER_ARG).is_some_and(|ratio| !ratio.is_empty()) {
        layers = layers.merge(Env::raw().only(&[SAMPLER_ARG]).map(|_| "telemetry.sample_ratio".into()));
    }
    layers.merge(Env::prefixed("LEADLINE__").split("__"))
}

/// Reads and checks one text over the defaults, without file and environment.
///
/// # Errors
/// [`LoadError`] naming the key or the relation.
pub fn read(text: &str) -> Result<Config, LoadError> {
    checked(&Figment::from(Toml::string(DEFAULT)).merge(Toml::string(text)))
}

/// The secret key that `leadline import` sends leads with. It is no setting of a server, and stands in no file.
#[must_use]
pub fn api_key() -> Option<SecretString> {
    Env::var("LEADLINE_API_KEY").filter(|key| !key.is_empty()).map(SecretString::from)
}

fn checked(layers: &Figment) -> Result<Config, LoadError> {
    let config: Config = layers.extract().map_err(Box::new)?;
    let violated = violations(&config);
    if violated.is_empty() { Ok(config) } else { Err(LoadError::Relations(violated)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_file_is_a_valid_configuration() {
        let shipped = ["deploy/kubernetes/base/leadline.toml", "deploy/kubernetes/overlays/production/leadline.toml"];
        for file in ["config/test.toml", "config/production.toml"].into_iter().chain(shipped) {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
            assert!(load(Some(&path)).is_ok(), "{file}: {:?}", load(Some(&path)).err());
        }
    }

    #[test]
    fn unknown_keys_and_missing_files_are_refused() {
        let error = read("[worker]\nlanez = 3").unwrap_err().to_string();
        assert!(error.contains("lanez"), "{error}");
        assert!(load(Some(Path::new("/nowhere/at/all.toml"))).is_err());
    }

    #[test]
    fn secrets_do_not_show() {
        let config = load(None).unwrap();
        assert!(!format!("{config:?}").contains("guest"));
    }
}
