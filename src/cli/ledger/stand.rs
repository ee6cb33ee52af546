//! Prints the books as they stand: endings by mode, what is under way, what was buried.
//!
//! **Invariant:** every number comes from `PostgreSQL`; nothing is remembered between two calls.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::lead::{Ending, Mode};
use crate::store::{EndingCount, Store, UnderWay};

use super::super::error::CliError;
use super::super::out::Out;

/// The endings that are rows of `leads`, in the promise's order.
const STORED: [Ending; 4] = [Ending::Recorded, Ending::Deferred, Ending::Duplicate, Ending::Rejected];

/// Prints the ledger of one workspace or of all.
///
/// # Errors
/// [`CliError`] when `PostgreSQL` does not answer.
pub(crate) async fn print(store: &Store, workspace: Option<Uuid>, out: Out) -> Result<(), CliError> {
    let stand = Stand { endings: store.endings(workspace).await?, under_way: store.under_way(workspace).await? };
    out.value(&stand.json())?;
    stand.tabulate(out)
}

struct Stand {
    endings: Vec<EndingCount>,
    under_way: UnderWay,
}

impl Stand {
    /// Leads of a mode and ending; `None` stands for all of them.
    fn leads(&self, mode: Option<Mode>, ending: Option<Ending>) -> i64 {
        let fits = |count: &&EndingCount| {
            mode.is_none_or(|mode| mode.as_str() == count.mode)
                && ending.is_none_or(|ending| ending.as_str() == count.ending)
        };
        let counts = self.endings.iter().filter(fits);
        counts.map(|count| count.leads).sum()
    }

    /// What the counters of all links add up to.
    fn recorded_quantity(&self) -> i64 {
        let recorded = |count: &&EndingCount| count.ending == Ending::Recorded.as_str();
        let counts = self.endings.iter().filter(recorded);
        counts.map(|count| count.quantity).sum()
    }

    fn json(&self) -> Value {
        let of_mode = |mode: Mode| {
            let count = |ending: Ending| json!(self.leads(Some(mode), Some(ending)));
            let counts = STORED.map(|ending| (ending.as_str().to_owned(), count(ending)));
            (mode.as_str().to_owned(), Value::from_iter(counts))
        };
        let under_way = &self.under_way;
        json!({
            "endings": Value::from_iter(Mode::ALL.map(of_mode)),
            "recordedQuantity": self.recorded_quantity(),
            "parked": under_way.parked,
            "parkedSince": under_way.parked_since,
            "buried": under_way.buried,
            "replayed": under_way.replayed,
            "suspects": under_way.suspects,
        })
    }

    fn tabulate(&self, out: Out) -> Result<(), CliError> {
        let row = |name: &str, mode: Option<Mode>| {
            let mut cells = vec![name.to_owned()];
            cells.extend(STORED.map(|ending| self.leads(mode, Some(ending)).to_string()));
            cells.push(self.leads(mode, None).to_string());
            cells
        };
        let mut rows = Mode::ALL.map(|mode| row(mode.as_str(), Some(mode))).to_vec();
        rows.push(row("all", None));
        let [recorded, deferred, duplicate, rejected] = STORED.map(Ending::as_str);
        out.table(&["mode", recorded, deferred, duplicate, rejected, "sum"], &rows)?;
        out.line("")?;
        let UnderWay { parked, parked_since, buried, replayed, suspects } = &self.under_way;
        let since = parked_since.map(|since| format!(", the oldest since {}", since.to_rfc3339()));
        let (since, quantity) = (since.unwrap_or_default(), self.recorded_quantity());
        out.pairs(&[
            ("quantity", format!("{quantity} (of recorded leads; links.leads adds up to it)")),
            ("parked", format!("{parked} (follow-ups whose customer has no click yet{since})")),
            ("buried", format!("{buried} ({replayed} of them replayed)")),
            ("suspects", format!("{suspects} (messages that came back and are counted)")),
        ])?;
        Ok(())
    }
}
