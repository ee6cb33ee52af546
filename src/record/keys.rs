//! Who wins a key: the rounds in which rows are stored and read back.
//!
//! Each round offers one row per key. A row that comes back is stored; one that does not has met its
//! own id (an earlier delivery's ending stands) or its key (another lead has it, so it is a
//! duplicate). Only if an offered row turns out to have ended otherwise before does the next row of
//! its key get a round of its own, which no run but a redelivery race ever needs.
//!
//! **Invariant:** `recorded` is said of a row if and only if the stored row has that id and that ending.

use std::collections::{BTreeMap, HashMap, VecDeque};

use uuid::Uuid;

use crate::lead::Ending;
use crate::store::{Ended, Known, NewLead, StoreError, Tx};

type Key<'a> = (Uuid, &'a str, &'a str);

/// The stored endings, and which rows were recorded by this transaction.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub(super) endings: HashMap<Uuid, Ended>,
    pub(super) counted: Vec<(Uuid, i64)>,
}

/// Stores rows in rounds until each has an ending. With hope, rows of different keys are taken to be new.
pub(super) async fn store(tx: &mut Tx, rows: Vec<NewLead<'_>>, hopeful: bool) -> Result<Stored, StoreError> {
    let mut stored = Stored::default();
    let mut losers = Vec::new();
    let mut rivals: HashMap<Key<'_>, VecDeque<NewLead<'_>>> = HashMap::new();
    let mut offered = Vec::with_capacity(rows.len());
    for row in rows {
        match rivals.get_mut(&key(&row)) {
            Some(waiting) if row.ending == Ending::Recorded => waiting.push_back(row),
            _ => {
                if row.ending == Ending::Recorded {
                    rivals.insert(key(&row), VecDeque::new());
                }
                offered.push(row);
            }
        }
    }
    if hopeful && rivals.values().all(VecDeque::is_empty) {
        tx.insert_new_leads(&mut offered).await?;
        stored.all_new(&offered);
        return Ok(stored);
    }
    while !offered.is_empty() {
        let round = stored.offer(tx, &mut offered).await?;
        let mut next = Vec::new();
        for (row, taken) in offered.into_iter().zip(round) {
            if row.ending != Ending::Recorded {
                continue;
            }
            let waiting = rivals.remove(&key(&row)).unwrap_or_default();
            match taken {
                Taken::No => next.extend(promote(&mut rivals, waiting)),
                Taken::ByItself => losers.extend(waiting),
                Taken::ByAnother => losers.extend(waiting.into_iter().chain([row])),
            }
        }
        offered = next;
    }
    losers.iter_mut().for_each(|row| row.ending = Ending::Duplicate);
    stored.offer(tx, &mut losers).await?;
    Ok(stored)
}

/// Whether a row's key is taken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    No,
    ByItself,
    ByAnother,
}

/// What each link's counter moves by, in the order of their locks.
pub(super) fn sums(counted: impl IntoIterator<Item = (Uuid, i64)>) -> (Vec<Uuid>, Vec<i64>) {
    let mut sums: BTreeMap<Uuid, i64> = BTreeMap::new();
    for (link_id, quantity) in counted {
        *sums.entry(link_id).or_default() += quantity;
    }
    sums.into_iter().unzip()
}

impl Stored {
    /// Offers rows to the table; says for each, in order, whether its key is taken now.
    async fn offer(&mut self, tx: &mut Tx, rows: &mut [NewLead<'_>]) -> Result<Vec<Taken>, StoreError> {
        let inserted = tx.insert_leads(rows).await?;
        let missing: Vec<&NewLead<'_>> = rows.iter().filter(|row| !inserted.contains(&row.id)).collect();
        let known = match missing.as_slice() {
            [] => HashMap::new(),
            rows => {
                let (workspaces, ids): (Vec<Uuid>, Vec<Uuid>) = rows.iter().map(|r| (r.workspace_id, r.id)).unzip();
                tx.known(&workspaces, &ids).await?
            }
        };
        let mut taken = Vec::with_capacity(rows.len());
        for row in rows.iter() {
            let ended = match known.get(&row.id) {
                Some(Known::Ended(ended)) => ended.clone(),
                _ if inserted.contains(&row.id) => {
                    self.count(row);
                    ended(row)
                }
                _ if row.ending == Ending::Recorded => {
                    taken.push(Taken::ByAnother);
                    continue;
                }
                _ => return Err(StoreError::Silent("what became of a lead")),
            };
            taken.push(if ended.ending == Ending::Recorded { Taken::ByItself } else { Taken::No });
            self.endings.insert(row.id, ended);
        }
        Ok(taken)
    }

    /// Notes rows that were stored, each by itself.
    pub(super) fn all_new(&mut self, rows: &[NewLead<'_>]) {
        for row in rows {
            self.count(row);
            self.endings.insert(row.id, ended(row));
        }
    }

    fn count(&mut self, row: &NewLead<'_>) {
        if let (Ending::Recorded, Some(link_id)) = (row.ending, row.link_id) {
            self.counted.push((link_id, i64::from(row.quantity)));
        }
    }
}

fn promote<'a>(
    rivals: &mut HashMap<Key<'a>, VecDeque<NewLead<'a>>>,
    mut waiting: VecDeque<NewLead<'a>>,
) -> Option<NewLead<'a>> {
    let row = waiting.pop_front()?;
    rivals.insert(key(&row), waiting);
    Some(row)
}

fn key<'a>(row: &NewLead<'a>) -> Key<'a> {
    (row.workspace_id, row.customer_external_id, row.event_key)
}

fn ended(row: &NewLead<'_>) -> Ended {
    Ended { ending: row.ending, reason: row.reason, click_id: row.click_id.map(str::to_owned), link_id: row.link_id }
}
