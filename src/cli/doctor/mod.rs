//! `doctor`: what is wrong with configuration, engines and what stands on them, why it matters, how to mend it.
//!
//! Enters: a configuration, perhaps a bad one. Leaves: a finding for each thing that was looked at; exit code 1 if one of them
//! is wrong. What is judged is read first and judged by pure functions afterwards, so that every judgement has a test.
//!
//! **Invariant:** nothing that is looked at is changed, and what cannot be known is called not checked.

mod finding;
mod configuration;
mod postgres;
mod settings;
mod connections;
mod rabbitmq;
mod alarms;
mod work;

use std::path::Path;

use super::args::DoctorArgs;
use super::error::CliError;
use super::management::Management;
use super::out::Out;
use crate::telemetry;
use finding::Report;

/// `doctor`; returns the exit code.
///
/// # Errors
/// [`CliError`] when standard output is gone; whatever else fails is a finding.
pub(super) async fn doctor(file: Option<&Path>, args: DoctorArgs, out: Out) -> Result<u8, CliError> {
    let mut report = Report::default();
    let (config, findings) = configuration::look(file);
    report.add(findings);
    if let Some(mut config) = config {
        "off".clone_into(&mut config.telemetry.log);
        telemetry::init(&config.telemetry)?;
        let (writable, findings) = postgres::look(&config, (args.apis, args.workers)).await;
        report.add(findings);
        let (depths, findings) = rabbitmq::look(&config.broker).await;
        report.add(findings);
        report.add(match args.management.map(|url| Management::at(&url, &config.broker)) {
            Some(management) => alarms::look(management).await,
            None => vec![alarms::unknown()],
        });
        report.add(work::look(&config, writable, &depths).await);
    }
    report.print(args.quiet, out)?;
    Ok(u8::from(!report.is_well()))
}
