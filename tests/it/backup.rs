//! A dump is put back while the queues keep what they hold: what deploy/backup.md tells to type, and what it says of the
//! outcome.
//!
//! **Invariant:** after the restore nothing is there twice, and exactly that is gone which the page says is gone.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use leadline::lead::LeadMessage;
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use crate::harness::database::Guard;
use crate::harness::eventually::{eventually, holds};
use crate::harness::page::{Page, said};
use crate::harness::track::{lead, with};
use crate::harness::{Harness, ledger, pool, required};

/// Where the dumps of a test go.
struct Backups {
    page: Page,
    folder: PathBuf,
    variables: Vec<(&'static str, String)>,
}

impl Drop for Backups {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}

impl Backups {
    fn of(house: &Harness) -> Self {
        let folder = std::env::temp_dir().join(format!("{}-backups", house.database.name));
        fs::create_dir(&folder).unwrap();
        let url = Url::parse(&house.database.url).unwrap();
        let variables = vec![
            ("DATABASE_URL", house.database.url.clone()),
            ("DATABASE", house.database.name.clone()),
            ("ROLE", url.username().to_owned()),
            ("ADMIN_URL", required("TEST_DATABASE_URL")),
            ("BACKUPS", folder.display().to_string()),
        ];
        Self { page: Page::open("deploy/backup.md"), folder, variables }
    }

    fn run(&self, block: &str) -> Result<String, String> {
        said(self.page.typed(block, &self.variables))
    }

    /// Takes a dump, and has it be the one that is restored.
    fn dump(&mut self) {
        self.run("dump").unwrap();
        let taken = fs::read_dir(&self.folder).unwrap().next().unwrap().unwrap();
        self.variables.push(("DUMP", taken.path().display().to_string()));
    }
}

fn follow_up(customer: &str) -> Value {
    json!({"clickId": "", "eventName": "Sign Up", "customerExternalId": customer})
}

fn deferred(click: &str, customer: &str) -> Value {
    with(lead(click, "Sign Up", customer), json!({"mode": "deferred"}))
}

async fn is_parked(house: &Harness, count: i64) {
    eventually("parked leads", || async {
        let parked = house.count("parked_leads").await;
        holds(parked == count, parked)
    })
    .await;
}

async fn recorded(house: &Harness, body: &Value) -> Uuid {
    let id = house.track(&with(body.clone(), json!({"mode": "wait"}))).await.ended("recorded").lead_id().unwrap();
    assert_eq!(house.ended(id).await.ending, "recorded");
    id
}

#[tokio::test]
async fn a_restored_dump_doubles_nothing_and_lacks_what_was_acknowledged_since() {
    let mut house = Harness::start().await;
    let mut backups = Backups::of(&house);
    let click = house.click().await;
    let before = recorded(&house, &with(lead(&click, "Sign Up", "before"), json!({"eventQuantity": 3}))).await;
    let known = house.track(&deferred(&click, "known")).await.ok();
    house.ended(known.lead_id().unwrap()).await;
    let waiting = house.message(&follow_up("late"));
    house.publish(std::slice::from_ref(&waiting)).await;
    is_parked(&house, 1).await;
    backups.dump();
    let Hour { gone, again, lost_click } = an_hour(&house, &click, &waiting).await;
    house.stop_worker().await;
    let Left { queued, orphan, clickless } = left_in_the_queues(&house, &click, &again, &lost_click).await;
    for api in std::mem::take(&mut house.apis) {
        api.stop().await;
    }
    let _lost = restored(&mut house, &backups).await;
    assert_eq!(house.row(before).await.unwrap().quantity, 3);
    house.add_worker().await;
    house.add_api().await;
    eventually("everything queued has ended", || async {
        let open: BTreeSet<Uuid> = ledger::open(&house.pool, &house.diary).await.into_iter().collect();
        let parked = BTreeSet::from([waiting.id, orphan.id]);
        holds(open == &gone | &parked, (open.difference(&gone).count(), gone.difference(&open).count()))
    })
    .await;
    for id in queued {
        assert!(["recorded", "duplicate"].contains(&house.ended(id).await.ending.as_str()));
    }
    assert_eq!(house.ended(clickless.id).await.reason.as_deref(), Some("click_not_found"));
    assert_eq!(house.counted().await, 3 + 15 + 1 + 1, "before, queued, known, twice");
    is_parked(&house, 2).await;

    // Whoever lost something sends it again, and again.
    gone.iter().for_each(|id| house.diary.forget(*id));
    for n in 0..20 {
        let body = lead(&click, "Sign Up", &format!("lost-{n}"));
        recorded(&house, &body).await;
        house.track(&body).await.ended("duplicate");
    }
    for customer in ["late", "brought"] {
        house.track(&deferred(&click, customer)).await.ok();
    }
    for parked in [waiting.id, orphan.id] {
        assert_eq!(house.ended(parked).await.ending, "recorded");
    }
    assert_eq!(house.counted().await, 20 + 20 + 2);
    house.finish().await;
}

/// What came after the dump, and is acknowledged.
struct Hour {
    /// Leads whose ending nobody can know afterwards.
    gone: BTreeSet<Uuid>,
    /// One that was recorded; it will be delivered again.
    again: LeadMessage,
    lost_click: String,
}

/// Recorded, deferred, woken, rejected, buried.
async fn an_hour(house: &Harness, click: &str, waiting: &LeadMessage) -> Hour {
    let mut gone = BTreeSet::new();
    for n in 0..20 {
        gone.insert(recorded(house, &lead(click, "Sign Up", &format!("lost-{n}"))).await);
    }
    let again = house.resolved(&lead(click, "Sign Up", "twice"));
    house.publish(std::slice::from_ref(&again)).await;
    assert_eq!(house.ended(again.id).await.ending, "recorded");
    for customer in ["late", "brought"] {
        let answer = house.track(&deferred(click, customer)).await.ok();
        gone.insert(answer.lead_id().unwrap());
        house.ended(answer.lead_id().unwrap()).await;
    }
    assert_eq!(house.ended(waiting.id).await.ending, "recorded");
    let stranger = house.message(&lead("ClickUnknown0001", "Sign Up", "stranger"));
    house.publish(std::slice::from_ref(&stranger)).await;
    assert_eq!(house.ended(stranger.id).await.ending, "rejected");
    gone.insert(stranger.id);
    house.queues.publish_bytes("s00", b"nonsense", Some("nonsense"), None).await;
    eventually("a grave", || async { holds(house.count("buried_leads").await == 1, ()) }).await;
    Hour { gone, again, lost_click: house.click().await }
}

/// What stands in the queues when everything stops.
struct Left {
    queued: BTreeSet<Uuid>,
    /// A follow-up of a customer who came after the dump.
    orphan: LeadMessage,
    /// A lead that was not looked up, with a click of after the dump.
    clickless: LeadMessage,
}

/// Leads with and without a click, competing ones, and one that is there for the second time, as after a worker that died.
async fn left_in_the_queues(house: &Harness, click: &str, again: &LeadMessage, lost_click: &str) -> Left {
    let mut queued = BTreeSet::from([again.id]);
    house.publish_again(again).await;
    for n in 0..20 {
        let answer = house.track(&lead(click, "Sign Up", &format!("queued-{}", n % 15))).await.ok();
        queued.insert(answer.lead_id().unwrap());
    }
    queued.insert(house.track(&follow_up("known")).await.ok().lead_id().unwrap());
    let orphan = house.message(&follow_up("brought"));
    let clickless = house.message(&lead(lost_click, "Sign Up", "clickless"));
    house.publish(&[orphan.clone(), clickless.clone()]).await;
    Left { queued, orphan, clickless }
}

/// The page, step by step; what guards the lost database.
async fn restored(house: &mut Harness, backups: &Backups) -> Guard {
    let lost = Guard(house.database.named(&format!("{}_lost", house.database.name)));
    let refused = backups.run("restore").unwrap_err();
    assert!(refused.contains("is being accessed by other users"), "{refused}");
    house.pool.close().await;
    // What the processes left behind is on its way to be closed.
    eventually("nobody connected", || async { backups.run("restore") }).await;
    house.pool = pool(&house.database).await;
    let told = backups.run("prepare").unwrap();
    assert!(told.contains("the schema is up to date") && told.contains("3 (of recorded leads"), "{told}");
    lost
}
