//! Judges one line of a diary by what `PostgreSQL` holds of its lead id and key.
//!
//! A 200 without link in mode `async` or `wait` may name another request's lead: the recorded one it
//! repeats. Every other answer names the request's own lead, whose row must equal the request.
//!
//! **Invariant:** pure; a verdict depends on the line and on what was found, on nothing else.

use crate::lead::{DiaryLine, Ending, Mode, Promise, event_key};
use crate::store::LedgerRow;

/// What `PostgreSQL` holds for a line.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Found<'a> {
    /// The row of its lead id.
    pub row: Option<&'a LedgerRow>,
    /// Its lead id is parked.
    pub parked: bool,
    /// Its lead id is buried.
    pub buried: bool,
    /// Its key has a recorded row.
    pub recorded: bool,
}

/// What is to be said of a line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// What is wrong.
    pub faults: Vec<String>,
    /// Answered 200, has no ending yet, and is parked.
    pub under_way: bool,
}

/// Whether the lead id of the answer is the request's own for certain.
pub(super) fn names_itself(line: &DiaryLine) -> bool {
    let repeats = line.promise() == Promise::Kept && line.link.is_none() && line.mode != Mode::Deferred;
    line.lead_id.is_some() && !repeats
}

/// How a row differs from a request; `None` when they are equal.
pub(super) fn difference(line: &DiaryLine, row: &LedgerRow) -> Option<String> {
    let sent = (!line.click_id.is_empty()).then_some(line.click_id.as_str());
    let fields = [
        ("customer", row.customer_external_id == line.customer, &row.customer_external_id, &line.customer),
        ("event", row.event_name == line.event, &row.event_name, &line.event),
    ];
    for (name, same, stored, asked) in fields {
        if !same {
            return Some(format!("its row has {name} {stored:?}, the request had {asked:?}"));
        }
    }
    if row.quantity != line.quantity {
        return Some(format!("its row has quantity {}, the request had {}", row.quantity, line.quantity));
    }
    if row.mode != line.mode.as_str() {
        return Some(format!("its row has mode {}, the request had {}", row.mode, line.mode.as_str()));
    }
    if row.follow_up != sent.is_none() {
        return Some("one of row and request is a follow-up, the other is not".to_owned());
    }
    // A rejected or duplicate row may lack the click it was sent with.
    let stored = row.click_id.as_deref();
    let attributed = row.ending == Ending::Recorded.as_str() || row.ending == Ending::Deferred.as_str();
    if sent.is_some() && stored != sent && (attributed || stored.is_some()) {
        return Some(format!(
            "its row has click {:?}, the request had {:?}",
            stored.unwrap_or_default(),
            line.click_id
        ));
    }
    None
}

/// Judges one line.
pub(super) fn judge(line: &DiaryLine, found: Found<'_>, settled: bool) -> Verdict {
    let mut verdict = Verdict::default();
    let fault = |text: &str| Some(text.to_owned());
    if found.row.is_some() && found.buried {
        verdict.faults.extend(fault("has ended twice: a row, and a grave"));
    }
    if found.row.is_some() && found.parked && settled {
        verdict.faults.extend(fault("has a row and is still parked"));
    }
    if let Some(row) = found.row
        && names_itself(line)
    {
        verdict.faults.extend(difference(line, row));
    }
    match line.promise() {
        Promise::Kept => kept(line, found, settled, &mut verdict),
        Promise::Refused => verdict.faults.extend(refused(line, found)),
        Promise::Unknown => {}
    }
    verdict
}

fn refused(line: &DiaryLine, found: Found<'_>) -> Option<String> {
    match found.row {
        Some(row) if row.ending != Ending::Rejected.as_str() => {
            Some(format!("was refused with {}, yet its row says {}", line.status, row.ending))
        }
        None if found.parked => Some(format!("was refused with {}, yet is parked", line.status)),
        _ => None,
    }
}

fn kept(line: &DiaryLine, found: Found<'_>, settled: bool, verdict: &mut Verdict) {
    if line.lead_id.is_none() {
        verdict.faults.push("was answered 200 without a lead id".to_owned());
        return;
    }
    let Some(row) = found.row else {
        verdict.under_way = found.parked && !found.buried;
        if !found.buried {
            verdict.faults.extend(without_row(line, found.parked, settled));
        } else if line.ending.is_some_and(|said| said != Ending::Buried) {
            verdict.faults.push("was answered with another ending, yet is buried".to_owned());
        }
        return;
    };
    let same_key = row.customer_external_id == line.customer && row.event_key == event_key(&line.event);
    if !same_key {
        verdict.faults.push("was answered 200 with the id of a lead of another customer or event".to_owned());
        return;
    }
    let Some(ending) = Ending::parse(&row.ending) else {
        verdict.faults.push(format!("has an unknown ending: {}", row.ending));
        return;
    };
    verdict.faults.extend(wrong_ending(line, row, ending));
    if matches!(ending, Ending::Recorded | Ending::Duplicate) && !found.recorded {
        verdict.faults.push(format!("is {}, yet its key has no recorded row", row.ending));
    }
    let shown = matches!(ending, Ending::Recorded | Ending::Deferred);
    if shown && line.link.is_some() && line.link != row.link_id {
        verdict.faults.push("was answered with another link than its row has".to_owned());
    }
}

fn without_row(line: &DiaryLine, parked: bool, settled: bool) -> Option<String> {
    match (parked, line.mode) {
        (false, _) => Some("was answered 200 and is nowhere: no row, not parked, not buried".to_owned()),
        (true, Mode::Wait) => Some("was answered 200 in mode wait, yet is only parked".to_owned()),
        (true, _) if line.ending.is_some() => Some("was answered with an ending, yet is only parked".to_owned()),
        (true, _) => settled.then(|| "was answered 200 and is still parked".to_owned()),
    }
}

/// Whether a stored ending contradicts the answer.
fn wrong_ending(line: &DiaryLine, row: &LedgerRow, ending: Ending) -> Option<String> {
    let repeats = !names_itself(line);
    let own = !repeats || difference(line, row).is_none();
    let allowed = match (line.mode, ending) {
        // Accepted unresolved (no link in the answer), so its click may turn out unknown; never in wait.
        (Mode::Async | Mode::Deferred, Ending::Rejected) => line.link.is_none() && own,
        (Mode::Deferred, Ending::Deferred) => true,
        (Mode::Async | Mode::Wait, Ending::Recorded) => true,
        (Mode::Async | Mode::Wait, Ending::Duplicate) => own,
        _ => false,
    };
    if !allowed {
        let how = if repeats { "as a duplicate" } else { "200" };
        return Some(format!("was answered {how} in mode {}, yet its row says {}", line.mode.as_str(), row.ending));
    }
    let said = line.ending?;
    let repeated = repeats && said == Ending::Duplicate && ending == Ending::Recorded;
    (said != ending && !repeated).then(|| format!("was answered {}, yet its row says {}", said.as_str(), row.ending))
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn line(mode: Mode) -> DiaryLine {
        DiaryLine {
            lead_id: Some(Uuid::nil()),
            workspace_id: None,
            customer: "x".to_owned(),
            event: "Sign Up".to_owned(),
            mode,
            click_id: "c".to_owned(),
            quantity: 1,
            status: 200,
            ending: None,
            duplicate: false,
            link: Some(Uuid::max()),
            at: 0,
        }
    }

    fn row(mode: Mode, ending: Ending) -> LedgerRow {
        LedgerRow {
            workspace_id: Uuid::nil(),
            id: Uuid::nil(),
            customer_external_id: "x".to_owned(),
            event_key: "sign-up".to_owned(),
            event_name: "Sign Up".to_owned(),
            mode: mode.as_str().to_owned(),
            ending: ending.as_str().to_owned(),
            quantity: 1,
            follow_up: false,
            click_id: Some("c".to_owned()),
            link_id: Some(Uuid::max()),
        }
    }

    fn faults(line: &DiaryLine, row: Option<&LedgerRow>) -> Vec<String> {
        let found = Found { row, recorded: true, ..Found::default() };
        judge(line, found, false).faults
    }

    #[test]
    fn each_mode_has_its_endings() {
        for mode in Mode::ALL {
            for ending in [Ending::Recorded, Ending::Deferred, Ending::Duplicate, Ending::Rejected] {
                let fits = match mode {
                    Mode::Deferred => ending == Ending::Deferred,
                    _ => matches!(ending, Ending::Recorded | Ending::Duplicate),
                };
                let found = faults(&line(mode), Some(&row(mode, ending)));
                assert_eq!(found.is_empty(), fits, "{mode:?} {ending:?}: {found:?}");
            }
            assert_eq!(faults(&line(mode), None).len(), 1);
        }
    }

    #[test]
    fn accepted_unresolved_may_be_rejected_later() {
        let mut unresolved = line(Mode::Async);
        (unresolved.link, unresolved.duplicate) = (None, true);
        assert!(faults(&unresolved, Some(&row(Mode::Async, Ending::Rejected))).is_empty());
        unresolved.mode = Mode::Wait;
        assert!(!faults(&unresolved, Some(&row(Mode::Wait, Ending::Rejected))).is_empty());
    }

    #[test]
    fn a_repeat_names_the_recorded_lead_which_may_differ() {
        let mut repeat = line(Mode::Wait);
        (repeat.link, repeat.duplicate, repeat.ending) = (None, true, Some(Ending::Duplicate));
        repeat.quantity = 7;
        assert!(faults(&repeat, Some(&row(Mode::Async, Ending::Recorded))).is_empty());
        let mut other = row(Mode::Async, Ending::Recorded);
        other.customer_external_id = "y".to_owned();
        assert!(!faults(&repeat, Some(&other)).is_empty());
    }

    #[test]
    fn refused_and_unknown_requests_are_held_to_their_answers() {
        let mut refused = line(Mode::Wait);
        (refused.status, refused.link) = (404, None);
        assert!(faults(&refused, None).is_empty());
        assert!(faults(&refused, Some(&row(Mode::Wait, Ending::Rejected))).is_empty());
        assert!(!faults(&refused, Some(&row(Mode::Wait, Ending::Recorded))).is_empty());
        let mut unknown = refused;
        unknown.status = 503;
        assert!(faults(&unknown, None).is_empty());
        assert!(faults(&unknown, Some(&row(Mode::Wait, Ending::Recorded))).is_empty());
        unknown.quantity = 2;
        assert!(!faults(&unknown, Some(&row(Mode::Wait, Ending::Recorded))).is_empty());
    }

    #[test]
    fn parked_is_under_way_until_all_is_settled() {
        let mut follow_up = line(Mode::Async);
        follow_up.click_id.clear();
        let found = Found { parked: true, ..Found::default() };
        assert_eq!(judge(&follow_up, found, false), Verdict { faults: vec![], under_way: true });
        assert_eq!(judge(&follow_up, found, true).faults.len(), 1);
        follow_up.mode = Mode::Wait;
        assert_eq!(judge(&follow_up, found, false).faults.len(), 1);
    }
}
