//! Accepts one lead: resolve, publish, and wait where the caller asked for it.
//!
//! **Invariant:** `Unavailable` promises nothing; every other answer is final.

mod answer;

pub use answer::{Answer, Tracked, TrackedCustomer, TrackedLink, TurnedAway};

/// Stand-in with the real signature: the http branch compiles against it, the merge drops it.
#[derive(Debug, Clone)]
pub struct Intake;

impl Intake {
    /// Answers that nothing can be accepted.
    pub async fn track(
        &self,
        _workspace_id: uuid::Uuid,
        _lead: crate::lead::TrackLead,
        _arrived: tokio::time::Instant,
    ) -> Answer {
        Answer {
            lead_id: uuid::Uuid::now_v7(),
            ending: None,
            outcome: Err(TurnedAway::Unavailable),
        }
    }

    /// What a 503 tells the client to wait.
    #[must_use]
    pub fn retry_after(&self) -> std::time::Duration {
        std::time::Duration::from_secs(1)
    }
}
