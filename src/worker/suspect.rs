//! Messages that keep coming back: begun alone, counted first, buried undecoded at the limit.
//!
//! A payload that crashes the process leaves nothing behind but its count, so the count is committed
//! before the message is touched. A message given back because `PostgreSQL` was away is innocent: its
//! count is forgotten as soon as that can be written.
//!
//! **Invariant:** a count says how often handling was begun and not finished for no fault of the world.

use super::inbox::{Condemned, Inbox, grave, read};
use super::lane::{Lane, LetGo};
use crate::broker::{Delivery, Inlet};
use crate::store::identity;

impl Lane {
    /// Handles one suspect alone.
    pub(super) async fn handle_suspect(
        &self,
        inlet: &mut Inlet,
        delivery: Delivery,
        innocent: &mut Vec<String>,
    ) -> Result<(), LetGo> {
        let identity = identity(delivery.message_id.as_deref(), &delivery.body);
        let attempts = self.holding(inlet, || self.bench.store.begin_attempt(&identity)).await?;
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
        if !matches!(handled, Err(LetGo::Broken(_))) {
            innocent.push(identity);
        }
        if handled.is_ok() {
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
