//! Messages that keep coming back: counted before they are touched, buried undecoded at the limit.
//!
//! A payload that crashes the process leaves nothing behind but its count, so the count is committed
//! first. Most of what comes back was near a lost connection, and there may be hundreds of it: whatever
//! has no count yet is begun together; only what a process has died of before is begun alone. A process
//! that lives to see how it went forgets the count, whatever became of the message.
//!
//! **Invariant:** a count says how often a process died between beginning a message and settling it.

use std::collections::HashSet;

use super::inbox::{Condemned, Inbox, grave, read};
use super::lane::{Lane, LetGo};
use crate::broker::{Delivery, Inlet};
use crate::store::identity;

impl Lane {
    /// Handles suspects: those without a count together, then the others, one by one.
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
        let first = self.holding(|| self.bench.store.begin_first_attempts(&identities)).await?;
        let begun: HashSet<&str> = first.iter().map(String::as_str).collect();
        let (together, alone): (Vec<_>, Vec<_>) = suspects.into_iter().partition(|d| begun.contains(named(d).as_str()));
        if !together.is_empty() {
            tracing::info!(lane = self.name, messages = together.len(), "messages came back, handling them together");
            let mut inbox = Inbox::default();
            together.into_iter().for_each(|delivery| read(delivery, &mut inbox));
            let handled = self.handle(inlet, inbox).await;
            innocent.extend(first);
            self.lived_to_tell(handled, innocent).await?;
        }
        for suspect in alone {
            self.handle_suspect(inlet, suspect, innocent).await?;
        }
        Ok(())
    }

    async fn handle_suspect(
        &self,
        inlet: &mut Inlet,
        delivery: Delivery,
        innocent: &mut Vec<String>,
    ) -> Result<(), LetGo> {
        let identity = named(&delivery);
        let attempts = self.holding(|| self.bench.store.begin_attempt(&identity)).await?;
        tracing::warn!(lane = self.name, identity, attempts, "a message came back, handling it alone");
        let mut inbox = Inbox::default();
        if attempts >= self.config.bury_after {
            let reason = format!("came back {} times and was begun {attempts} times", delivery.delivery_count);
            let grave = grave(delivery.message_id.as_deref(), delivery.body, reason);
            inbox.condemned.push(Condemned { tag: delivery.tag, cause: "crashing", grave });
        } else {
            read(delivery, &mut inbox);
        }
        let handled = self.handle(inlet, inbox).await;
        innocent.push(identity);
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
