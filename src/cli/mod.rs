//! The command line: servers, administration, questions to the books, and leads out of files.
//!
//! Enters: arguments, configuration, environment. Leaves: a result on standard output, or one line on
//! standard error, and an exit code: 0 done, 1 failed, 2 stopped with something dropped (clap's own
//! usage errors are 2 as well); of `import` also 3 some lines refused, 130 interrupted.
//!
//! **Invariant:** clap stands in this room only, and only `out.rs` prints.

pub mod args;
pub mod error;
pub mod out;
mod open;
mod serve;
mod check;
mod health;
mod admin;
mod lead;
mod buried;
pub mod ledger;
mod demo;
mod import;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::runtime::Builder;

use crate::app::Role;
use args::{Cli, Command};
use error::CliError;
use out::{Out, complain};

/// How long threads that block may hold up the exit.
const LAST_THREADS: Duration = Duration::from_secs(1);

/// Reads the arguments, does what they say, returns the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // A question that is asked every few seconds: threads would cost more than the answer.
    let mut builder = match cli.command {
        Command::Health(_) => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("no threads: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(run(cli));
    runtime.shutdown_timeout(LAST_THREADS);
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Does what the arguments say; returns the exit code.
///
/// # Errors
/// [`CliError`]: one line for the person who typed it.
pub async fn run(cli: Cli) -> Result<u8, CliError> {
    let out = Out { json: cli.json };
    let file = cli.config.as_deref();
    match cli.command {
        Command::Api => return Box::pin(serve::serve(Role::Api, file)).await,
        Command::Worker => return Box::pin(serve::serve(Role::Worker, file)).await,
        Command::All => return Box::pin(serve::serve(Role::All, file)).await,
        Command::Import(args) => return Box::pin(import::import(args, out)).await,
        Command::Check { show } => return check::check(file, show, out).map(|()| 0),
        Command::Health(args) => return health::health(file, &args, out).await,
        _ => {}
    }
    let config = open::quiet_config(file)?;
    if let Command::Migrate = cli.command {
        return admin::migrate(&config, out).await.map(|()| 0);
    }
    let store = open::store(&config).await?;
    match cli.command {
        Command::Workspace(command) => admin::workspace(&store, command, out).await?,
        Command::Domain(command) => admin::domain(&store, command, out).await?,
        Command::Key(command) => admin::key(&store, command, out).await?,
        Command::Link(command) => admin::link(&store, command, out).await?,
        Command::Lead(args::LeadCommand::Show(args)) => lead::show(&store, args, out).await?,
        Command::Buried(command) => Box::pin(buried::buried(&config, &store, command, out)).await?,
        Command::Ledger(args) => return Box::pin(ledger::ledger(&store, args, out)).await,
        Command::Demo(args) => return Box::pin(demo::demo(&store, args, out)).await,
        Command::Api
        | Command::Worker
        | Command::All
        | Command::Migrate
        | Command::Import(_)
        | Command::Check { .. }
        | Command::Health(_) => {}
    }
    Ok(0)
}
