//! What `store.url` says about TLS, in libpq's words: `sslmode`, `sslrootcert`, `sslcert`, `sslkey`.
//!
//! Enters: the URL; an error of the driver. Leaves: a refusal at the start for what could never work, and
//! a sentence that names the setting when a certificate is not trusted.
//!
//! **Invariant:** no part of the URL but these parameters is ever repeated.

use std::fs;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use super::StoreError;

const FILES: [&str; 3] = ["sslrootcert", "sslcert", "sslkey"];

/// Refuses a mode that this build cannot hold, and files that cannot be read.
///
/// # Errors
/// [`StoreError::Setting`].
pub(super) fn check(url: &str, options: &PgConnectOptions) -> Result<(), StoreError> {
    let mode = options.get_ssl_mode();
    if cfg!(not(feature = "tls")) && !matches!(mode, PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer) {
        let lacking = "this sslmode needs TLS, which this build lacks (the cargo feature `tls`)";
        return Err(StoreError::Setting(lacking.to_owned()));
    }
    let Ok(url) = Url::parse(url) else {
        return Ok(());
    };
    for (key, path) in url.query_pairs() {
        // A certificate may also stand in the URL itself.
        if FILES.contains(&key.as_ref()) && !path.starts_with("-----BEGIN") {
            fs::read(&*path).map_err(|error| StoreError::Setting(format!("{key}={path}: {error}")))?;
        }
    }
    Ok(())
}

/// What is wrong with the server's certificate and which setting to look at, if that is why a connection
/// failed. An expired certificate is not among these: that heals without us.
#[cfg(feature = "tls")]
pub(super) fn untrusted(error: &sqlx::Error) -> Option<(String, &'static str)> {
    use rustls::CertificateError;

    let sqlx::Error::Io(error) = error else {
        return None;
    };
    let rustls::Error::InvalidCertificate(fault) = error.get_ref()?.downcast_ref()? else {
        return None;
    };
    let advice = match fault {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "sslrootcert in store.url names the CAs to trust"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "store.url must name the host as the certificate does, or say sslmode=verify-ca"
        }
        _ => return None,
    };
    Some((fault.to_string(), advice))
}

/// Without TLS no certificate is ever seen.
#[cfg(not(feature = "tls"))]
pub(super) fn untrusted(_: &sqlx::Error) -> Option<(String, &'static str)> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(url: &str) -> Result<(), StoreError> {
        check(url, &url.parse().unwrap())
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_and_the_password_is_not() {
        let url = "postgres://a:secret@one/x?sslmode=prefer&sslrootcert=/nowhere/ca.pem";
        let error = checked(url).unwrap_err().to_string();
        assert!(error.contains("store.url: sslrootcert=/nowhere/ca.pem: No such file"), "{error}");
        assert!(!error.contains("secret"), "{error}");
        checked("postgres://a:secret@one/x?sslrootcert=-----BEGIN CERTIFICATE-----").unwrap();
    }

    #[test]
    fn modes_that_demand_tls_are_for_builds_with_tls() {
        for mode in ["require", "verify-ca", "verify-full"] {
            let outcome = checked(&format!("postgres://one/x?sslmode={mode}"));
            assert_eq!(outcome.is_ok(), cfg!(feature = "tls"), "{mode}: {outcome:?}");
        }
        for mode in ["disable", "allow", "prefer"] {
            checked(&format!("postgres://one/x?sslmode={mode}")).unwrap();
        }
    }
}
