//! What a check found: counts, and the offenders by name.
//!
//! **Invariant:** the number of offences is exact even when only the first are shown.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::lead::id;

use super::super::error::CliError;
use super::super::out::Out;

/// Offences shown by name; the rest is counted.
const SHOWN: usize = 20;

/// One thing that is wrong, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offence {
    /// The lead, if one is concerned.
    pub lead_id: Option<Uuid>,
    /// Customer and event, if a key is concerned.
    pub key: Option<(String, String)>,
    /// What is wrong.
    pub what: String,
}

/// The outcome of checking a diary.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Requests in the diary.
    pub requests: u64,
    /// Of those, answered 200.
    pub kept: u64,
    /// Of those, refused with 4xx.
    pub refused: u64,
    /// Of those, 5xx or never answered.
    pub unknown: u64,
    /// Requests answered 200 that are parked, so under way.
    pub under_way: u64,
    /// Rows of `leads` held against the diary.
    pub rows: u64,
    /// The first offences.
    pub offences: Vec<Offence>,
    /// All offences.
    pub offence_count: u64,
}

impl Report {
    /// Whether diary and books agree.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.offence_count == 0
    }

    /// Notes an offence.
    pub(super) fn accuse(&mut self, offence: Offence) {
        self.offence_count += 1;
        if self.offences.len() < SHOWN {
            self.offences.push(offence);
        }
    }

    /// Prints counts and offenders.
    ///
    /// # Errors
    /// [`CliError`] when standard output is gone.
    pub fn print(&self, out: Out) -> Result<(), CliError> {
        out.value(&self.json())?;
        out.line(&format!(
            "{} requests: {} answered 200 ({} of them under way), {} refused, {} unknown; {} rows",
            self.requests, self.kept, self.under_way, self.refused, self.unknown, self.rows
        ))?;
        for offence in &self.offences {
            out.line(&format!("  {offence}"))?;
        }
        let shown = u64::try_from(self.offences.len()).unwrap_or(u64::MAX);
        if self.offence_count > shown {
            out.line(&format!("  ... and {} more", self.offence_count - shown))?;
        }
        out.line(&match self.offence_count {
            0 => "clean: the diary and the books agree".to_owned(),
            1 => "1 offence".to_owned(),
            more => format!("{more} offences"),
        })?;
        Ok(())
    }

    fn json(&self) -> Value {
        let offences = self.offences.iter().map(|offence| {
            let (customer, event) = offence.key.clone().unzip();
            json!({
                "leadId": offence.lead_id.map(|lead| id::show(id::LEAD, lead)),
                "customer": customer, "event": event, "what": offence.what,
            })
        });
        json!({
            "clean": self.is_clean(), "requests": self.requests, "answered200": self.kept, "underWay": self.under_way,
            "refused": self.refused, "unknown": self.unknown, "rows": self.rows,
            "offenceCount": self.offence_count, "offences": offences.collect::<Vec<_>>(),
        })
    }
}

impl std::fmt::Display for Offence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(lead) = self.lead_id {
            write!(f, "{} ", id::show(id::LEAD, lead))?;
        }
        if let Some((customer, event)) = &self.key {
            write!(f, "({customer:?}, {event:?}) ")?;
        }
        f.write_str(&self.what)
    }
}
