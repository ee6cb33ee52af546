//! Which leads of one request must be answered before another of them is asked about.
//!
//! A follow-up of a customer nobody knows yet may stand behind the lead that makes him known, in the same
//! request. Sent at once it could overtake that one, by another queue or another channel, and be refused. So it
//! comes after the answers to all leads of its customer that carry a click, as it would in single calls.
//!
//! **Invariant:** only a lead that is published with a click is ever waited for, so nobody waits in a circle.

use std::collections::{HashMap, HashSet};

use tokio::sync::watch;

use super::answer::Answer;
use super::plan::Plan;
use crate::lead::TrackLead;

/// The families of one request; leads are named by their place in it.
#[derive(Debug, Default)]
pub(super) struct Families {
    /// By place; empty when nobody has a family.
    places: Vec<Place>,
    families: Vec<watch::Sender<State>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Alone,
    /// It carries a click.
    First(usize),
    /// It follows one that does.
    Behind(usize),
}

/// Of those with a click: how many are not answered yet, and whether the answer to one was 503.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    open: usize,
    lost: bool,
}

impl Families {
    /// Finds the families among planned leads.
    pub(super) fn of(planned: &[(TrackLead, Plan)]) -> Self {
        if !planned.iter().any(|(_, plan)| is_awaited(plan)) {
            return Self::default();
        }
        let (mut known, mut numbers, mut behind) = (HashSet::new(), HashMap::new(), HashMap::new());
        for (n, (lead, plan)) in planned.iter().enumerate() {
            let customer = lead.customer_external_id.as_str();
            if has_click(lead, plan) {
                known.insert(customer);
            } else if is_awaited(plan) && known.contains(customer) {
                let next = numbers.len();
                behind.insert(n, *numbers.entry(customer).or_insert(next));
            }
        }
        let mut states = vec![State::default(); numbers.len()];
        let mut places = Vec::with_capacity(planned.len());
        for (n, (lead, plan)) in planned.iter().enumerate() {
            let family = numbers.get(lead.customer_external_id.as_str()).filter(|_| has_click(lead, plan));
            places.push(match (behind.get(&n), family) {
                (Some(family), _) => Place::Behind(*family),
                (None, Some(family)) => Place::First(*family),
                (None, None) => Place::Alone,
            });
            if let Some(state) = family.and_then(|family| states.get_mut(*family)) {
                state.open += 1;
            }
        }
        Self { places, families: states.into_iter().map(watch::Sender::new).collect() }
    }

    /// Whether a lead comes after others.
    pub(super) fn is_behind(&self, n: usize) -> bool {
        matches!(self.places.get(n), Some(Place::Behind(_)))
    }

    /// Notes the answer to a lead.
    pub(super) fn note(&self, n: usize, answer: &Answer) {
        if let Some(Place::First(family)) = self.places.get(n)
            && let Some(family) = self.families.get(*family)
        {
            family.send_modify(|state| {
                state.open = state.open.saturating_sub(1);
                state.lost |= answer.is_unavailable();
            });
        }
    }

    /// Waits until a lead's turn comes; `false` when one before it was answered 503, and so may or may not be known.
    pub(super) async fn turn(&self, n: usize) -> bool {
        let Some(Place::Behind(family)) = self.places.get(n) else { return true };
        let Some(family) = self.families.get(*family) else { return true };
        let mut state = family.subscribe();
        // It cannot be closed: `self` keeps the sender.
        state.wait_for(|state| state.open == 0).await.is_ok_and(|state| !state.lost)
    }
}

fn has_click(lead: &TrackLead, plan: &Plan) -> bool {
    lead.click_id.is_some() && matches!(plan, Plan::Publish { .. })
}

/// Whether it is a follow-up of somebody unknown.
pub(super) fn is_awaited(plan: &Plan) -> bool {
    matches!(plan, Plan::Publish { awaited: true, .. })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use tokio::time::timeout;
    use uuid::Uuid;

    use super::*;
    use crate::intake::plan::plan;
    use crate::intake::{Cause, Tracked, TrackedCustomer, TurnedAway};
    use crate::lead::Schema;
    use crate::store::Found;

    /// A lead with a click that nothing is found out about, or a follow-up of somebody unknown.
    fn lead(customer: &str, click: &str) -> (TrackLead, Plan) {
        let body = json!({"clickId": click, "eventName": "e", "customerExternalId": customer}).to_string();
        let lead = TrackLead::parse(body.as_bytes(), Schema::Server).unwrap();
        let found = click.is_empty().then(Found::default);
        let plan = plan(Uuid::nil(), &lead, found);
        (lead, plan)
    }

    fn answer(outcome: Result<(), TurnedAway>) -> Answer {
        let customer = TrackedCustomer { name: None, email: None, avatar: None, external_id: String::new() };
        let tracked = Tracked { click_id: String::new(), link: None, customer };
        Answer { lead_id: Uuid::nil(), ending: None, outcome: outcome.map(|()| tracked) }
    }

    async fn waits(families: &Families, n: usize) -> bool {
        timeout(Duration::from_millis(5), families.turn(n)).await.is_err()
    }

    #[tokio::test]
    async fn a_follow_up_comes_after_every_lead_of_its_customer_with_a_click() {
        let planned = [
            lead("x", ""),
            lead("x", "c"),
            lead("y", ""),
            lead("x", ""),
            lead("z", "c"),
            lead("x", "d"),
            lead("x", ""),
        ];
        let families = Families::of(&planned);
        let behind: Vec<usize> = (0..8).filter(|n| families.is_behind(*n)).collect();
        assert_eq!(behind, [3, 6]);
        assert!(families.turn(0).await && families.turn(7).await);
        families.note(1, &answer(Ok(())));
        families.note(4, &answer(Ok(())));
        assert!(waits(&families, 3).await);
        families.note(5, &answer(Err(TurnedAway::LinkNotFound { click_id: String::new() })));
        assert!(families.turn(3).await && families.turn(6).await);
    }

    #[tokio::test]
    async fn what_follows_a_503_is_one() {
        let families = Families::of(&[lead("x", "c"), lead("x", "")]);
        assert!(waits(&families, 1).await);
        families.note(0, &answer(Err(TurnedAway::Unavailable(Cause::EnginesAway))));
        assert!(!families.turn(1).await);
    }

    #[test]
    fn what_is_refused_at_once_is_waited_for_by_nobody() {
        let (unknown, _) = lead("x", "c");
        let refused = Plan::Refuse(TurnedAway::ClickNotFound { click_id: "c".to_owned() });
        assert!(!Families::of(&[(unknown, refused), lead("x", "")]).is_behind(1));
        assert!(Families::of(&[lead("x", "c"), lead("x", "c")]).places.is_empty());
    }
}
