//! The end of a test: everything ends, the books balance, nobody is left, nothing remains.
//!
//! **Invariant:** database and queues are removed on every way out of a test.

use std::thread;

use super::eventually::{eventually, holds};
use super::queues::Queues;
use super::{Harness, ledger, required};

impl Harness {
    /// Waits until every accepted request has ended, then checks everything that must hold.
    pub(crate) async fn finish(mut self) {
        if self.workers.is_empty() {
            self.add_worker().await;
        }
        eventually("every accepted request ends and every queue is empty", || async {
            let open = ledger::open(&self.pool, &self.diary).await;
            let parked = self.count("parked_leads").await;
            let queued = self.queues.total().await;
            // The broker counts what is ready only. A lane may still hold a message whose lead ended otherwise: after an
            // outage, one that was recorded directly as well.
            let in_hand = self.in_hand().await;
            // Nor does it count what is on its way to a lane, and what is no lead has no ending to wait for.
            let buried = self.count("buried_leads").await;
            let done = open.len() <= usize::try_from(self.announced.parked).unwrap()
                && parked == self.announced.parked
                && queued == 0
                && in_hand == 0
                && buried >= self.announced.buried;
            holds(done, (open.len(), parked, queued, in_hand, buried))
        })
        .await;
        for service in std::mem::take(&mut self.apis) {
            service.stop().await;
        }
        for service in std::mem::take(&mut self.workers) {
            service.stop().await;
        }
        assert_eq!(self.queues.total().await, 0, "messages were left unacknowledged");
        assert_eq!(self.count("buried_leads").await, self.announced.buried, "buried messages");
        let mut faults = ledger::faults(&self.pool, &self.diary).await;
        faults.truncate(20);
        if self.announced.parked == 0 || faults.len() > usize::try_from(self.announced.parked).unwrap() {
            assert!(faults.is_empty(), "the books do not balance:\n  {}", faults.join("\n  "));
        }
        let errors = self.log.errors(&self.announced.errors);
        assert!(errors.is_empty(), "ERROR lines nobody announced:\n  {}", errors.join("\n  "));
        self.finished = true;
        self.pool.close().await;
        self.database.remove().await;
        self.queues.remove().await;
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        if thread::panicking() {
            eprintln!("--- {} ended badly; it said:", self.database.name);
            for line in self.log.all() {
                eprintln!("{:5} {}", line.level, line.text);
            }
        }
        let (database, prefix) = (self.database.clone(), self.config.broker.prefix.clone());
        let cleaner = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                database.remove().await;
                Queues::connect(&required("TEST_AMQP_URL"), &prefix).await.remove().await;
            });
        });
        cleaner.join().ok();
    }
}
