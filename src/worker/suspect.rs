//! Messages that keep coming back: counted before they are touched, buried undecoded at the limit.
//!
//! A payload that crashes the process leaves nothing behind but its count, so the count is committed first. Most of what
//! comes back was near a lost connection or beside the payload that kills, and there may be hundreds of it, with somebody
//! waiting. So the circle narrows: what has no count yet is begun together, what has one in small groups, and only what
//! died in such a group too is begun alone, which its count has to say before it is buried. A process that lives to see how
//! it went forgets the counts, whatever became of the messages. (The design begins every suspect alone and buries at three
//! counts; eighty neighbours of one poison then took two and a half seconds, longer than a follow-up waits.)
//!
//! **Invariant:** a count says how often a process died between beginning a message and settling it, and only what was begun
//! alone at last is buried for it.

use super::inbox::{Condemned, Inbox, grave, read};
use super::lane::{Lane, LetGo};
use crate::broker::{Delivery, Inlet};
use crate::store::identity;

/// How many are begun together after a process died of them all.
const GROUP: usize = 8;

impl Lane {
    /// Handles suspects: those without a count together, those with few in groups, the others one by one.
    pub(super) async fn handle_suspects(
        &self,
        inlet: &mut Inlet,
        suspects: Vec<Delivery>,
        innocent: &mut Vec<String>,
    ) -> Result<(), LetGo> {
        if suspects.is_empty() {
            return Ok(());
        }
        let identities: Vec<String> = suspects.iter().map(named).collect();
        let counts = self.holding(|| self.bench.store.attempts(&identities)).await?;
        let (mut together, mut grouped, mut alone) = (Vec::new(), Vec::new(), Vec::new());
        for suspect in suspects {
            match counts.get(&named(&suspect)) {
                None => together.push(suspect),
                Some(count) if count.saturating_add(2) < self.config.bury_after => grouped.push(suspect),
                Some(count) => alone.push((suspect, *count)),
            }
        }
        if !together.is_empty() {
            self.attempt(inlet, together, innocent).await?;
        }
        while !grouped.is_empty() {
            let rest = grouped.split_off(GROUP.min(grouped.len()));
            self.attempt(inlet, std::mem::replace(&mut grouped, rest), innocent).await?;
        }
        for (suspect, count) in alone {
            if count.saturating_add(1) < self.config.bury_after {
                self.attempt(inlet, vec![suspect], innocent).await?;
            } else {
                self.bury_suspect(inlet, suspect, count, innocent).await?;
            }
        }
        Ok(())
    }

    /// Counts these, then handles them in one batch.
    async fn attempt(
        &self,
        inlet: &mut Inlet,
        suspects: Vec<Delivery>,
        innocent: &mut Vec<String>,
    ) -> Result<(), LetGo> {
        let identities: Vec<String> = suspects.iter().map(named).collect();
        self.holding(|| self.bench.store.begin_attempts(&identities)).await?;
        tracing::info!(lane = self.name, messages = suspects.len(), "messages came back, handling them together");
        let mut inbox = Inbox::default();
        suspects.into_iter().for_each(|delivery| read(delivery, &mut inbox));
        let handled = self.handle(inlet, inbox).await;
        innocent.extend(identities);
        self.lived_to_tell(handled, innocent).await
    }

    async fn bury_suspect(
        &self,
        inlet: &mut Inlet,
        suspect: Delivery,
        count: i32,
        innocent: &mut Vec<String>,
    ) -> Result<(), LetGo> {
        innocent.push(named(&suspect));
        let reason = format!("came back {} times, and {count} times its process died of it", suspect.delivery_count);
        let grave = grave(suspect.message_id.as_deref(), suspect.body, reason);
        let mut inbox = Inbox::default();
        inbox.condemned.push(Condemned { tag: suspect.tag, cause: "crashing", grave });
        let handled = self.handle(inlet, inbox).await;
        self.lived_to_tell(handled, innocent).await
    }

    /// While `PostgreSQL` is away the counts have to wait for it.
    async fn lived_to_tell(&self, handled: Result<(), LetGo>, innocent: &mut Vec<String>) -> Result<(), LetGo> {
        if !matches!(handled, Err(LetGo::GaveUp)) {
            self.forgive(innocent).await;
        }
        handled
    }

    /// Forgets the counts of messages that ended, or were given back for no fault of their own.
    pub(super) async fn forgive(&self, innocent: &mut Vec<String>) {
        if innocent.is_empty() {
            return;
        }
        match self.bench.store.forget_attempts(innocent).await {
            Ok(()) => innocent.clear(),
            Err(error) => tracing::debug!(lane = self.name, %error, "attempts not forgotten yet"),
        }
    }
}

fn named(delivery: &Delivery) -> String {
    identity(delivery.message_id.as_deref(), &delivery.body)
}
