//! The walk of many leads of one request: the steps of one lead, each taken for all.
//!
//! Enters: checked wishes of an authenticated workspace. Leaves: their answers, in the same order. They go in
//! slices of as many as one look-up statement serves, or as there are permits for, so that a batch takes no more
//! room than others leave it, and comes through with less. The leads of a slice whose confirm is enough are
//! published one after another, and then their confirms awaited one after another, so that hundreds cost few
//! wake-ups and no tasks; those that ask for a verdict wait beside each other.
//!
//! **Invariant:** a lead's answer depends on no other lead of the request, except that a follow-up comes after
//! the lead that it follows.

use std::collections::HashSet;

use futures_util::future::{join, join_all};
use tokio::task::coop::consume_budget;
use tokio::time::Instant;
use uuid::Uuid;

use super::accept::Intake;
use super::answer::Answer;
use super::family::{Families, is_awaited};
use super::plan::{Plan, plan, question};
use super::send::{Handed, NotSent, Stamped, stamp, unavailable};
use crate::lead::{Mode, TrackLead};
use crate::reply::Reply;

/// What waits for more than a confirm.
enum Errand {
    Ask(Box<Stamped>),
    /// To be resolved anew when its turn has come.
    Follow(TrackLead),
}

/// A slice of the leads of one request on its way.
struct Convoy<'a> {
    intake: &'a Intake,
    families: Families,
    /// Customers of whom an earlier slice had a lead answered 503.
    lost: &'a HashSet<String>,
    workspace_id: Uuid,
    arrived: Instant,
    until: Instant,
}

impl Intake {
    /// Tracks the leads of one request, each as [`Intake::track`] would. Those for which there is still no permit after
    /// a while, or when the time of a wait is over, are turned away. Cancel-safe: what was published stays so.
    pub async fn track_all(&self, workspace_id: Uuid, leads: Vec<TrackLead>, arrived: Instant) -> Vec<Answer> {
        let modes: Vec<Mode> = leads.iter().map(|lead| lead.mode).collect();
        let under_way = self.under_way(leads.len());
        let (mut answers, mut lost) = (Vec::with_capacity(leads.len()), HashSet::new());
        let mut leads = leads.into_iter();
        while leads.len() > 0 && arrived.elapsed() < self.wait_timeout {
            let wanted = leads.len().min(self.resolver.most());
            let permit = match self.permit(workspace_id, wanted).await {
                None => self.permits.take(workspace_id, wanted),
                some => some,
            };
            let Some(permit) = permit else { break };
            let slice: Vec<TrackLead> = leads.by_ref().take(permit.count).collect();
            let customers: Vec<String> = match leads.len() {
                0 => Vec::new(),
                _ => slice.iter().map(|lead| lead.customer_external_id.clone()).collect(),
            };
            let answered = self.accept_all(workspace_id, slice, arrived, &lost).await;
            lost.extend(
                customers.into_iter().zip(&answered).filter(|(_, answer)| answer.is_unavailable()).map(|(c, _)| c),
            );
            answers.extend(answered);
        }
        drop(under_way);
        answers.resize_with(modes.len(), || unavailable(Uuid::now_v7()));
        for (mode, answer) in modes.into_iter().zip(&answers) {
            self.note(mode, arrived, answer).await;
        }
        answers
    }

    async fn accept_all(
        &self,
        workspace_id: Uuid,
        leads: Vec<TrackLead>,
        arrived: Instant,
        lost: &HashSet<String>,
    ) -> Vec<Answer> {
        let questions = leads.iter().map(|lead| question(workspace_id, lead)).collect();
        let found = self.resolver.resolve_all(questions).await;
        let planned = leads.into_iter().zip(found).map(|(lead, found)| {
            let plan = plan(workspace_id, &lead, found);
            (lead, plan)
        });
        let planned: Vec<(TrackLead, Plan)> = planned.collect();
        let families = Families::of(&planned);
        let until = arrived + self.wait_timeout;
        Convoy { intake: self, families, lost, workspace_id, arrived, until }.send(planned).await
    }
}

impl Convoy<'_> {
    async fn send(&self, planned: Vec<(TrackLead, Plan)>) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(planned.len());
        let (mut quick, mut errands) = (Vec::with_capacity(planned.len()), Vec::new());
        for (n, (lead, plan)) in planned.into_iter().enumerate() {
            consume_budget().await;
            if is_awaited(&plan) && self.lost.contains(&lead.customer_external_id) {
                // What it follows is to be repeated, and so is it.
                answers.push((n, unavailable(Uuid::now_v7())));
                continue;
            }
            if self.families.is_behind(n) {
                errands.push((n, Errand::Follow(lead)));
                continue;
            }
            match stamp(self.workspace_id, lead, plan) {
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
        let mut room_by = self.until;
        for (n, stamped) in leads {
            consume_budget().await;
            match self.intake.hand_over(&stamped.message, room_by).await {
                Err(NotSent::Away) => away.push((n, stamped)),
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
    async fn confirm(
        &self,
        handed: Vec<(usize, Stamped, Result<Handed<'_>, NotSent>)>,
    ) -> (Vec<(usize, Answer)>, Vec<(usize, Stamped)>) {
        let (mut answers, mut unconfirmed) = (Vec::with_capacity(handed.len()), Vec::new());
        for (n, stamped, one) in handed {
            match self.intake.confirmed(&stamped.message, one).await {
                Err(NotSent::Away) => unconfirmed.push((n, stamped)),
                word => answers.push(self.settle(n, stamped, word.map(|()| None)).await),
            }
        }
        (answers, unconfirmed)
    }

    async fn record(&self, leads: Vec<(usize, Stamped)>) -> Vec<(usize, Answer)> {
        join_all(leads.into_iter().map(|(n, stamped)| self.settle(n, stamped, Err(NotSent::Away)))).await
    }

    async fn settle(&self, n: usize, stamped: Stamped, word: Result<Option<Reply>, NotSent>) -> (usize, Answer) {
        let answer = self.intake.settle(stamped, word, self.until).await;
        self.families.note(n, &answer);
        (n, answer)
    }

    async fn run(&self, n: usize, errand: Errand) -> (usize, Answer) {
        let answer = match errand {
            Errand::Ask(stamped) => self.intake.send(*stamped, self.until).await,
            Errand::Follow(lead) if self.families.turn(n).await => {
                self.intake.accept(self.workspace_id, lead, self.arrived).await
            }
            // What it follows is to be repeated, and so is it.
            Errand::Follow(_) => unavailable(Uuid::now_v7()),
        };
        self.families.note(n, &answer);
        (n, answer)
    }
}
