//! `ledger`: the books as they stand in `PostgreSQL`, and whether a diary agrees with them.
//!
//! Enters: counts and rows, a diary. Leaves: a table, or a [`Report`] that names every offender.
//!
//! **Invariant:** the ledger only reads; what it finds wrong it leaves as it is.

mod stand;
mod judge;
mod diary;
mod books;
mod report;

pub use diary::{CheckOptions, check};
pub use report::{Offence, Report};
pub(super) use stand::print as print_stand;

use crate::store::Store;

use super::args::LedgerArgs;
use super::error::CliError;
use super::open::workspace_id;
use super::out::Out;

/// `ledger`; returns the exit code.
///
/// # Errors
/// [`CliError`] when something cannot be read; offences are a result, not an error.
pub async fn ledger(store: &Store, args: LedgerArgs, out: Out) -> Result<u8, CliError> {
    let workspace = match &args.workspace {
        Some(name) => Some(workspace_id(store, name).await?),
        None => None,
    };
    if args.diary.is_empty() {
        stand::print(store, workspace, out).await?;
        return Ok(0);
    }
    let options = CheckOptions { workspace, settled: args.settled, whole: args.whole };
    let report = check(store, &args.diary, options).await?;
    report.print(out)?;
    Ok(u8::from(!report.is_clean()))
}
