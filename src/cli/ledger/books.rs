//! Holds the rows of `leads` against a diary: none without a request, and each consistent in itself.
//!
//! Enters: which lead ids the diary's requests own, and its requests whose lead id nobody learned.
//! Leaves: offences. Rows are paged through; of the diary only 17 bytes per request are kept, and the
//! few whole requests without a lead id.
//!
//! **Invariant:** a request explains at most one row.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::lead::{DiaryLine, Ending, event_key, id};
use crate::store::{PlacedRow, Span, Store};

use super::super::error::CliError;
use super::report::{Offence, Report};

const PAGE: i64 = 5000;

/// A request as a row would show it; two equal requests are interchangeable.
type Wish = (Uuid, String, String, String, i32, Option<String>);

/// What the diary knows of rows.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// Lead ids that requests of the diary own; true when the answer said so for certain.
    owned: HashMap<Uuid, bool>,
    /// Requests whose lead id nobody learned, and how many alike.
    nameless: HashMap<Wish, u32>,
    /// First and last moment per workspace, in milliseconds.
    spans: HashMap<Uuid, (i64, i64)>,
}

impl Books {
    /// Notes that the diary has a request of this workspace at this moment.
    pub(super) fn note_time(&mut self, workspace: Uuid, at: i64) {
        let span = self.spans.entry(workspace).or_insert((at, at));
        *span = (span.0.min(at), span.1.max(at));
    }

    /// Notes an owned lead id; whether another answer already claimed it for certain.
    pub(super) fn own(&mut self, lead: Uuid, certain: bool) -> bool {
        let before = self.owned.insert(lead, certain);
        let twice = certain && before == Some(true);
        if before == Some(true) {
            self.owned.insert(lead, true);
        }
        twice
    }

    /// Notes a request that may have been accepted under an id nobody learned.
    pub(super) fn may_own(&mut self, workspace: Uuid, line: &DiaryLine) {
        let click = (!line.click_id.is_empty()).then(|| line.click_id.clone());
        let mode = line.mode.as_str().to_owned();
        let wish = (workspace, line.customer.clone(), line.event.clone(), mode, line.quantity, click);
        *self.nameless.entry(wish).or_default() += 1;
    }

    /// Checks every row of the diary's workspaces in its time, and every link's counter.
    ///
    /// # Errors
    /// [`CliError`] when `PostgreSQL` does not answer.
    pub(super) async fn check(mut self, store: &Store, whole: bool, report: &mut Report) -> Result<(), CliError> {
        let mut spans: Vec<_> = self.spans.iter().map(|(workspace, span)| (*workspace, *span)).collect();
        spans.sort_unstable();
        for (workspace_id, (first, last)) in spans {
            let moment = |millis: i64| DateTime::from_timestamp_millis(millis).unwrap_or(DateTime::UNIX_EPOCH);
            let span = match whole {
                true => Span { workspace_id, from: DateTime::UNIX_EPOCH, to: far() },
                false => Span { workspace_id, from: moment(first), to: moment(last) },
            };
            self.check_rows(store, span, report).await?;
            check_counters(store, workspace_id, report).await?;
        }
        Ok(())
    }

    async fn check_rows(&mut self, store: &Store, span: Span, report: &mut Report) -> Result<(), CliError> {
        let mut after = Uuid::nil();
        loop {
            let page = store.ledger_page(span, after, PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = last.row.id;
            for placed in &page {
                report.rows += 1;
                for what in self.faults(placed) {
                    let row = &placed.row;
                    report.accuse(Offence {
                        lead_id: Some(row.id),
                        key: Some((row.customer_external_id.clone(), row.event_name.clone())),
                        what,
                    });
                }
            }
        }
    }

    fn faults(&mut self, placed: &PlacedRow) -> Vec<String> {
        let row = &placed.row;
        let mut faults = Vec::new();
        if !self.explains(placed) {
            faults.push(format!("stands as {} without a request in the diary", row.ending));
        }
        if row.event_key != event_key(&row.event_name) {
            faults.push(format!("has the event key {:?}, which is not that of its event", row.event_key));
        }
        if !placed.founded {
            faults.push("is a duplicate, yet its key has no recorded row".to_owned());
        }
        let recorded = row.ending == Ending::Recorded.as_str();
        if recorded && (row.click_id.is_none() || row.link_id.is_none()) {
            faults.push("is recorded without click or link".to_owned());
        }
        if recorded && row.follow_up && placed.customer_click.is_some() && placed.customer_click != row.click_id {
            faults.push(format!(
                "is a follow-up with click {:?}, its customer has {:?}",
                row.click_id.as_deref().unwrap_or_default(),
                placed.customer_click.as_deref().unwrap_or_default()
            ));
        }
        faults
    }

    fn explains(&mut self, placed: &PlacedRow) -> bool {
        let row = &placed.row;
        if placed.replayed || self.owned.contains_key(&row.id) {
            return true;
        }
        let click = if row.follow_up { None } else { row.click_id.clone() };
        let wish = (
            row.workspace_id,
            row.customer_external_id.clone(),
            row.event_name.clone(),
            row.mode.clone(),
            row.quantity,
            click,
        );
        match self.nameless.get_mut(&wish) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}

async fn check_counters(store: &Store, workspace: Uuid, report: &mut Report) -> Result<(), CliError> {
    for fault in store.counter_faults(workspace).await? {
        report.accuse(Offence {
            lead_id: None,
            key: None,
            what: format!(
                "{} counts {} leads, its recorded rows sum to {}",
                id::show(id::LINK, fault.link_id),
                fault.counted,
                fault.recorded
            ),
        });
    }
    Ok(())
}

/// Later than any row; `PostgreSQL` takes it, unlike chrono's own maximum.
fn far() -> DateTime<Utc> {
    DateTime::from_timestamp(32_503_680_000, 0).unwrap_or(DateTime::UNIX_EPOCH)
}
