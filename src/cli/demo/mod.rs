//! `demo`: one request of every kind through the front door, and what became of each.
//!
//! Enters: the API's address, an env file. Leaves: requests and answers, the ledger, a checked diary,
//! three `curl` lines that work as typed.
//!
//! **Invariant:** it passes only if every request was answered 200 and the diary agrees with the books.

mod env_file;
mod tenant;
mod walk;

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::lead::{DiaryLine, Mode, id};
use crate::store::Store;

use super::args::DemoArgs;
use super::error::CliError;
use super::ledger::{CheckOptions, check, print_stand};
use super::out::Out;
use env_file::EnvFile;
use tenant::{KEY, Tenant, URL, tenant};
use walk::{BROWSER, Walk};

const LOOK_EVERY: Duration = Duration::from_millis(50);
const EVENT: &str = "Sign up";

/// `demo`; returns the exit code.
///
/// # Errors
/// [`CliError`] when something gets no answer.
pub(super) async fn demo(store: &Store, args: DemoArgs, out: Out) -> Result<u8, CliError> {
    let mut file = EnvFile::read(&args.env_file)?;
    let (tenant, changed) = tenant(store, &mut file).await?;
    if changed {
        file.write(&args.env_file)?;
    }
    let base = args.url.trim_end_matches('/');
    let deadline = Instant::now() + Duration::from_secs(args.patience);
    let mut walk = Walk::new(base, &tenant, out)?;
    let click = send_all(&mut walk, store, deadline).await?;
    let Walk { diary, told, .. } = walk;
    settle(store, &diary, deadline).await?;
    let path = args.diary.unwrap_or_else(|| args.env_file.with_file_name("demo.ndjson"));
    write_diary(&path, &diary)?;
    let options = CheckOptions { settled: true, ..CheckOptions::default() };
    let report = check(store, &[path], options).await?;
    let all_well = diary.iter().all(|line| line.status == 200);
    let passed = all_well && report.is_clean();
    out.value(&json!({"passed": passed, "requests": told, "url": base, "clickId": click}))?;
    if !out.json {
        out.line("")?;
        print_stand(store, None, out).await?;
        out.line("")?;
        report.print(out)?;
        out.line("")?;
        print_curls(base, &tenant, &click, out)?;
    }
    if !all_well {
        return Err(CliError::said("not every request of the demo was answered 200"));
    }
    Ok(u8::from(!passed))
}

async fn send_all(walk: &mut Walk<'_>, store: &Store, deadline: Instant) -> Result<String, CliError> {
    let run = id::alphanumerics(8).to_lowercase();
    let [ann, bob, cyd] = ["ann", "bob", "cyd"].map(|name| format!("{name}-{run}"));
    let click = walk.click().await?;
    walk.lead(Mode::Async, &click, &ann, EVENT).await?;
    // Sent again at once it might overtake the first; once that is recorded it is answered as a duplicate.
    settle(store, &walk.diary, deadline).await?;
    walk.lead(Mode::Async, &click, &ann, EVENT).await?;
    walk.lead(Mode::Wait, &click, &bob, EVENT).await?;
    walk.lead(Mode::Deferred, &click, &cyd, EVENT).await?;
    walk.lead(Mode::Async, "", &cyd, EVENT).await?;
    Ok(click)
}

/// Waits until every lead answered 200 has a row; what has none by the deadline the check will name.
async fn settle(store: &Store, diary: &[DiaryLine], deadline: Instant) -> Result<(), CliError> {
    let kept = diary.iter().filter(|line| line.status == 200);
    let named = kept.filter_map(|line| Some((line.workspace_id?, line.lead_id?)));
    let (workspaces, mut ids): (Vec<Uuid>, Vec<Uuid>) = named.unzip();
    let asked = ids.clone();
    ids.sort_unstable();
    ids.dedup();
    loop {
        let mut ended: Vec<Uuid> =
            store.ledger_rows(&workspaces, &asked).await?.into_iter().map(|row| row.id).collect();
        ended.sort_unstable();
        ended.dedup();
        if ended == ids || Instant::now() > deadline {
            return Ok(());
        }
        sleep(LOOK_EVERY).await;
    }
}

fn write_diary(path: &Path, diary: &[DiaryLine]) -> Result<(), CliError> {
    let lines: Result<String, _> = diary.iter().map(DiaryLine::line).collect();
    let text = lines.map_err(|error| CliError::said(error.to_string()))?;
    std::fs::write(path, text).map_err(|error| CliError::File(path.display().to_string(), error))
}

fn print_curls(base: &str, tenant: &Tenant, click: &str, out: Out) -> Result<(), CliError> {
    let Tenant { secret, domain, .. } = tenant;
    let json = "-H 'content-type: application/json'";
    let customer = format!("me-{}", id::alphanumerics(6).to_lowercase());
    out.line(&format!("API  {base}"))?;
    out.line(&format!("key  {secret}"))?;
    out.line("")?;
    out.line("Try it (a click, a lead, the customers):")?;
    out.line(&format!(
        "curl -sS {base}/track/click {json} -A '{BROWSER}' -d '{{\"domain\":\"{domain}\",\"key\":\"{KEY}\",\"url\":\"{URL}\"}}'"
    ))?;
    out.line(&format!(
        "curl -sS {base}/track/lead -H 'authorization: Bearer {secret}' {json} -d '{{\"clickId\":\"{click}\",\"eventName\":\"{EVENT}\",\"customerExternalId\":\"{customer}\"}}'"
    ))?;
    out.line(&format!("curl -sS {base}/customers -H 'authorization: Bearer {secret}'"))?;
    Ok(())
}
