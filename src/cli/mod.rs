//! The command line: servers, administration, looking after them, questions to the books, and leads out of files.
//!
//! Enters: arguments, configuration, environment. Leaves: a result on standard output, or one line on
//! standard error, and an exit code: 0 done, 1 failed, 2 stopped with something dropped (clap's own
//! usage errors are 2 as well); of commands that work through many also 3 some refused, 130 interrupted.
//!
//! **Invariant:** clap stands in this room only, and only `out.rs` and the screen of `top` print.

pub mod args;
pub mod error;
pub mod out;
mod open;
mod moment;
mod progress;
mod serve;
mod check;
mod health;
mod admin;
mod management;
mod queues;
mod doctor;
pub mod top;
mod prune;
mod lead;
mod buried;
pub mod ledger;
mod demo;
mod import;
mod manual;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::runtime::Builder;

use crate::app::Role;
use crate::config::Config;
use args::{Cli, Command};
use error::CliError;
use out::{Out, complain};

/// The exit code of a command that works through many, when some were refused.
const REFUSED: u8 = 3;
/// The same, when it was ended by SIGINT or SIGTERM: as shells say it.
const INTERRUPTED: u8 = 130;

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
        Command::Doctor(args) => return Box::pin(doctor::doctor(file, args, out)).await,
        Command::Completions { shell } => return manual::completions(shell, out).map(|()| 0),
        Command::Man => return manual::man(out).map(|()| 0),
        _ => {}
    }
    let config = open::quiet_config(file)?;
    match cli.command {
        Command::Migrate => return admin::migrate(&config, out).await.map(|()| 0),
        Command::Queues(args) => return Box::pin(queues::queues(&config, args, out)).await,
        Command::Top(args) => return Box::pin(top::top(&config, args, out)).await,
        command => Box::pin(with_store(&config, command, out)).await,
    }
}

/// The commands that work on tables.
async fn with_store(config: &Config, command: Command, out: Out) -> Result<u8, CliError> {
    let store = open::store(config).await?;
    match command {
        Command::Workspace(command) => admin::workspace(&store, command, out).await?,
        Command::Domain(command) => admin::domain(&store, command, out).await?,
        Command::Key(command) => admin::key(&store, command, out).await?,
        Command::Link(command) => admin::link(&store, command, out).await?,
        Command::Lead(args::LeadCommand::Show(args)) => lead::show(&store, args, out).await?,
        Command::Buried(command) => return Box::pin(buried::buried(config, &store, command, out)).await,
        Command::Prune(command) => return Box::pin(prune::prune(&store, command, out)).await,
        Command::Ledger(args) => return Box::pin(ledger::ledger(&store, args, out)).await,
        Command::Demo(args) => return Box::pin(demo::demo(&store, args, out)).await,
        // Those that need no tables have been served.
        _ => {}
    }
    Ok(0)
}
