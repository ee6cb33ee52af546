//! The walk of many leads of one request: the steps of one lead, each taken for all.
//!
//! Enters: checked wishes of an authenticated workspace. Leaves: their answers, in the same order. They go in
//! slices of as many as one look-up statement serves, or as there are permits for, so that a batch takes no more
//! room than others leave it, comes through with less, and holds no more than a slice in memory. The leads of a slice whose confirm is enough are
//! published one after another, and then their confirms awaited one after another, so that hundreds cost few
//! wake-ups and no tasks; those that ask for a verdict wait beside each other.
//!
//! **Invariant:** a lead's answer depends on no other lead of the request, except that a follow-up comes after
//! the lead that it follows.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::{join, join_all};
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::accept::Intake;
use super::answer::{Answer, Cause};
use super::family::{Families, is_awaited};
use super::permits::Permit;
use super::plan::{Plan, plan, question};
use super::send::{Handed, NotSent, Stamped, stamp};
use crate::broker::Ordered;
use crate::lead::{Mode, Trace, TrackLead};
use crate::reply::Reply;
use crate::telemetry::Step;

/// How often a permit is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A lead without the broker's word, and its message if that is still under way.
type Unconfirmed<'a> = (usize, Stamped, Option<Ordered<'a>>);

/// What waits for more than a confirm.
enum Errand {
    Ask(Box<Stamped>),
    /// To be resolved anew when its turn has come.
    Follow(TrackLead),
}

/// The leads of one request, tracked a slice at a time.
#[derive(Debug)]
pub struct Bulk<'a> {
    intake: &'a Intake,
    workspace_id: Uuid,
    arrived: Instant,
    until: Instant,
    trace: Option<Box<Trace>>,
    /// Customers of whom an earlier slice had a lead answered 503.
    lost: HashSet<String>,
}

/// A slice on its way.
struct Convoy<'a> {
    bulk: &'a Bulk<'a>,
    families: Families,
}

impl Intake {
    /// Begins with the leads of one request; `arrived` is when it did, `trace` where it stands in a trace that is exported.
    #[must_use]
    pub fn bulk(&self, workspace_id: Uuid, arrived: Instant, trace: Option<Box<Trace>>) -> Bulk<'_> {
        Bulk { intake: self, workspace_id, arrived, until: arrived + self.wait_timeout, trace, lost: HashSet::new() }
    }
}

impl Bulk<'_> {
    /// How many leads are best tracked at once: as many as one look-up statement serves.
    #[must_use]
    pub fn slice(&self) -> usize {
        self.intake.resolver.most()
    }

    /// Tracks the next leads of the request, each as [`Intake::track`] would. Those for which there is no permit until the time
    /// of a wait is over are turned away. Cancel-safe: what was published stays so.
    pub async fn track(&mut self, leads: Vec<TrackLead>) -> Vec<Answer> {
        let modes: Vec<Mode> = leads.iter().map(|lead| lead.mode).collect();
        let under_way = self.intake.under_way(leads.len());
        let mut answers = Vec::with_capacity(leads.len());
        let mut leads = leads.into_iter();
        while leads.len() > 0 {
            let Some(permit) = self.permit(leads.len()).await else { break };
            let some: Vec<TrackLead> = leads.by_ref().take(permit.count).collect();
            let customers: Vec<String> = some.iter().map(|lead| lead.customer_external_id.clone()).collect();
            let answered = self.accept(some).await;
            let lost = customers.into_iter().zip(&answered).filter(|(_, answer)| answer.is_unavailable());
            self.lost.extend(lost.map(|(customer, _)| customer));
            answers.extend(answered);
        }
        drop(under_way);
        answers.resize_with(modes.len(), || Answer::unavailable(Uuid::now_v7(), Cause::NoPermit));
        for (mode, answer) in modes.into_iter().zip(&answers) {
            self.intake.note(mode, answer).await;
        }
        answers
    }

    /// So many permits, or as many as there are; waits for one, since whoever sends many leads at once has time.
    async fn permit(&self, wanted: usize) -> Option<Permit> {
        while Instant::now() < self.until {
            match self.intake.permits.take(self.workspace_id, wanted) {
                None => sleep(LOOK_AGAIN).await,
                some => return some,
            }
        }
        None
    }

    async fn accept(&self, leads: Vec<TrackLead>) -> Vec<Answer> {
        let questions = leads.iter().map(|lead| question(self.workspace_id, lead)).collect();
        let resolving = self.intake.tracer.step(Step::Resolve, self.trace.as_deref());
        let found = self.intake.resolver.resolve_all(questions).await;
        resolving.end();
        let planned = leads.into_iter().zip(found).map(|(lead, found)| {
            let plan = plan(self.workspace_id, &lead, found);
            (lead, plan)
        });
        let planned: Vec<(TrackLead, Plan)> = planned.collect();
        let families = Families::of(&planned);
        Convoy { bulk: self, families }.send(planned).await
    }
}

impl Convoy<'_> {
    async fn send(&self, planned: Vec<(TrackLead, Plan)>) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(planned.len());
        let (mut quick, mut errands) = (Vec::with_capacity(planned.len()), Vec::new());
        for (n, (lead, plan)) in planned.into_iter().enumerate() {
            consume_budget().await;
            if is_awaited(&plan) && self.bulk.lost.contains(&lead.customer_external_id) {
                // What it follows is to be repeated, and so is it.
                answers.push((n, Answer::unavailable(Uuid::now_v7(), Cause::Follows)));
                continue;
            }
            if self.families.is_behind(n) {
                errands.push((n, Errand::Follow(lead)));
                continue;
            }
            match stamp(self.bulk.workspace_id, lead, plan, self.bulk.trace.clone()) {
                Err(answer) => answers.push((n, *answer)),
                Ok(stamped) if stamped.is_asked() => errands.push((n, Errand::Ask(Box::new(stamped)))),
                Ok(stamped) => quick.push((n, stamped)),
            }
        }
        let errands = errands.into_iter().map(|(n, errand)| self.run(n, errand));
        let (quick, errands) = join(self.publish(quick), join_all(errands)).await;
        answers.extend(quick.into_iter().chain(errands));
        answers.sort_unstable_by_key(|(n, _)| *n);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    /// Publishes leads in their order, and then awaits their confirms; what has none is recorded directly, together.
    async fn publish(&self, leads: Vec<(usize, Stamped)>) -> Vec<(usize, Answer)> {
        let (mut handed, mut away) = (Vec::with_capacity(leads.len()), Vec::new());
        let mut room_by = self.bulk.until;
        for (n, mut stamped) in leads {
            consume_budget().await;
            match self.bulk.intake.hand_over(&mut stamped.message, room_by).await {
                Err(NotSent::Away(late)) => away.push((n, stamped, late)),
                one => {
                    if one.as_ref().is_ok_and(Handed::is_crowded) {
                        // The rest does not wait for room one after another.
                        room_by = Instant::now();
                    }
                    handed.push((n, stamped, one));
                }
            }
        }
        let ((mut answers, unconfirmed), away) = join(self.confirm(handed), self.record(away)).await;
        answers.extend(away);
        answers.extend(self.record(unconfirmed).await);
        answers
    }

    /// Awaits confirms in the order of publishing; returns also the leads that have none.
    async fn confirm<'a>(
        &self,
        handed: Vec<(usize, Stamped, Result<Handed<'a>, NotSent<'a>>)>,
    ) -> (Vec<(usize, Answer)>, Vec<Unconfirmed<'a>>) {
        let (mut answers, mut unconfirmed) = (Vec::with_capacity(handed.len()), Vec::new());
        for (n, stamped, one) in handed {
            match self.bulk.intake.confirmed(&stamped.message, one).await {
                Err(NotSent::Away(late)) => unconfirmed.push((n, stamped, late)),
                word => answers.push(self.settle(n, stamped, word.map(|()| None)).await),
            }
        }
        (answers, unconfirmed)
    }

    async fn record(&self, leads: Vec<Unconfirmed<'_>>) -> Vec<(usize, Answer)> {
        join_all(leads.into_iter().map(|(n, stamped, late)| self.settle(n, stamped, Err(NotSent::Away(late))))).await
    }

    async fn settle(&self, n: usize, stamped: Stamped, word: Result<Option<Reply>, NotSent<'_>>) -> (usize, Answer) {
        let answer = self.bulk.intake.settle(stamped, word, self.bulk.until).await;
        self.families.note(n, &answer);
        (n, answer)
    }

    async fn run(&self, n: usize, errand: Errand) -> (usize, Answer) {
        let answer = match errand {
            Errand::Ask(stamped) => self.bulk.intake.send(*stamped, self.bulk.until).await,
            Errand::Follow(lead) if self.families.turn(n).await => {
                let Bulk { intake, workspace_id, arrived, trace, .. } = self.bulk;
                intake.accept(*workspace_id, lead, *arrived, trace.clone()).await
            }
            // What it follows is to be repeated, and so is it.
            Errand::Follow(_) => Answer::unavailable(Uuid::now_v7(), Cause::Follows),
        };
        self.families.note(n, &answer);
        (n, answer)
    }
}
