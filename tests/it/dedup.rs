//! At most one recorded lead per workspace, customer and normalised event, however copies arrive.
//!
//! **Invariant:** which copy wins is never asked for; that exactly one does, always.

use futures_util::StreamExt;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::Harness;
use crate::harness::client::Call;
use crate::harness::eventually::{eventually, holds, within};
use crate::harness::queues::Queues;
use crate::harness::track::{lead, somebody, with};

fn endings(rows: &[crate::harness::ledger::LeadRow]) -> (usize, usize) {
    let count = |ending: &str| rows.iter().filter(|row| row.ending == ending).count();
    (count("recorded"), count("duplicate"))
}

#[tokio::test]
async fn one_batch_records_a_key_once() {
    let mut house = Harness::without_worker().await;
    let customer = somebody();
    let body = lead(&house.click().await, "Sign Up", &customer);
    let messages: Vec<_> = (0..8).map(|_| house.resolved(&body)).collect();
    house.publish(&messages).await;
    house.queued(&messages[0], 8).await;
    house.add_worker().await;
    for message in &messages {
        house.ended(message.id).await;
    }
    assert_eq!(endings(&house.rows(&customer).await), (1, 7));
    assert_eq!(house.counted().await, 1);
    house.finish().await;
}

#[tokio::test]
async fn a_repeat_in_a_later_batch_is_a_duplicate() {
    let house = Harness::start().await;
    let customer = somebody();
    let body = lead(&house.click().await, "Sign Up", &customer);
    for _ in 0..3 {
        let message = house.resolved(&body);
        house.publish(std::slice::from_ref(&message)).await;
        house.ended(message.id).await;
    }
    assert_eq!(endings(&house.rows(&customer).await), (1, 2));
    assert_eq!(house.counted().await, 1);
    house.finish().await;
}

#[tokio::test]
async fn a_repeat_of_a_recorded_lead_is_answered_as_a_duplicate_and_publishes_nothing() {
    let house = Harness::start().await;
    let (click, customer) = (house.click().await, somebody());
    let body = with(lead(&click, "Sign Up", &customer), json!({"mode": "wait"}));
    let first = house.track(&body).await.ended("recorded");
    for mode in ["async", "wait"] {
        for spelling in ["Sign Up", "sign-up", "SIGN UP", "sign up"] {
            let repeat =
                house.track(&with(body.clone(), json!({"eventName": spelling, "mode": mode}))).await.ended("duplicate");
            assert_eq!(repeat.lead_id(), first.lead_id(), "a duplicate names the recorded lead");
            let expected = with(first.body.clone(), json!({"link": null}));
            assert_eq!(repeat.body, expected);
        }
    }
    assert_eq!(house.rows(&customer).await.len(), 1);
    house.track(&with(body, json!({"eventName": "Sign  Up"}))).await.ok();
    eventually("two spaces are another event", || async { holds(house.counted().await == 2, ()) }).await;
    house.finish().await;
}

#[tokio::test]
async fn two_workers_and_two_apis_record_a_key_once() {
    let mut house = Harness::tuned(|config| config.worker.batch = 4).await;
    house.add_api().await;
    house.add_worker().await;
    let click = house.click().await;
    let customers: Vec<String> = (0..12).map(|_| somebody()).collect();
    let requests: Vec<Value> = (0..10).flat_map(|_| customers.iter().map(|c| lead(&click, "Sign Up", c))).collect();
    let answers = join_all(requests.iter().enumerate().map(|(n, body)| house.track_at(n % 2, body))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    eventually("every customer counted once", || async {
        let counted = house.counted().await;
        holds(counted == 12, counted)
    })
    .await;
    house.finish().await;
}

#[tokio::test]
async fn a_message_delivered_again_keeps_its_ending_and_says_so() {
    let house = Harness::start().await;
    let body = lead(&house.click().await, "Sign Up", &somebody());
    let message = house.resolved(&body);
    house.publish(std::slice::from_ref(&message)).await;
    assert_eq!(house.ended(message.id).await.ending, "recorded");
    let (queue, mut replies) = house.queues.replies().await;
    let (shard, bytes, id) = (Queues::shard(&message), message.encode().unwrap(), message.id.to_string());
    for _ in 0..3 {
        house.queues.publish_bytes(&shard, &bytes, Some(&id), Some(&queue)).await;
        let reply = replies.next().await.unwrap().unwrap();
        let reply: Value = serde_json::from_slice(&reply.data).unwrap();
        assert_eq!((reply["id"].as_str(), reply["ending"].as_str()), (Some(id.as_str()), Some("recorded")), "{reply}");
    }
    assert_eq!(house.counted().await, 1);
    house.finish().await;
}

#[tokio::test]
async fn a_redelivered_message_collapsed_behind_its_twin_stays_recorded() {
    let mut house = Harness::start().await;
    let customer = somebody();
    let body = lead(&house.click().await, "Sign Up", &customer);
    let (first, twin) = (house.resolved(&body), house.resolved(&body));
    house.publish(std::slice::from_ref(&first)).await;
    assert_eq!(house.ended(first.id).await.ending, "recorded");
    house.stop_worker().await;
    house.publish(std::slice::from_ref(&twin)).await;
    house.publish_again(&first).await;
    house.publish_again(&twin).await;
    house.publish_again(&first).await;
    house.queued(&first, 4).await;
    house.queues.bounce(&Queues::shard(&first), 4).await;
    house.add_worker().await;
    assert_eq!(house.ended(twin.id).await.ending, "duplicate");
    assert_eq!(house.ended(first.id).await.ending, "recorded");
    assert_eq!(house.counted().await, 1);
    house.finish().await;
}

#[tokio::test]
async fn copies_of_one_message_in_one_batch_count_once() {
    let mut house = Harness::without_worker().await;
    let message =
        house.resolved(&with(lead(&house.click().await, "Sign Up", &somebody()), json!({"eventQuantity": 5})));
    house.publish(std::slice::from_ref(&message)).await;
    for _ in 0..4 {
        house.publish_again(&message).await;
    }
    house.queued(&message, 5).await;
    house.add_worker().await;
    assert_eq!(house.ended(message.id).await.ending, "recorded");
    within(std::time::Duration::from_secs(10), "an empty queue", || async {
        holds(house.queues.total().await == 0, ())
    })
    .await;
    assert_eq!(house.counted().await, 5);
    house.finish().await;
}

#[tokio::test]
async fn a_refused_first_call_does_not_block_the_corrected_second() {
    let house = Harness::start().await;
    let customer = somebody();
    for mode in ["async", "wait"] {
        let wrong = with(lead("0123456789abcdef", mode, &customer), json!({"mode": mode}));
        let message = "Click event not found for clickId: 0123456789abcdef";
        house.track(&wrong).await.refused(404, "not_found", message);
        let right = with(wrong, json!({"clickId": house.click().await}));
        let answer = house.track(&right).await.ok();
        assert!(answer.body["link"].is_object(), "not a duplicate: {}", answer.body);
        assert_eq!(house.ended(answer.lead_id().unwrap()).await.ending, "recorded");
    }
    house.finish().await;
}

#[tokio::test]
async fn workspaces_do_not_share_keys() {
    let house = Harness::start().await;
    let other = crate::harness::given::workspace(&house.pool).await;
    let link = crate::harness::given::link(&house.pool, &other).await;
    let customer = somebody();
    let mine = with(lead(&house.click().await, "Sign Up", &customer), json!({"mode": "wait"}));
    let theirs = with(mine.clone(), json!({"clickId": crate::harness::given::click(&house.pool, &link).await}));
    house.track(&mine).await.ended("recorded");
    let call = Call::post("/track/lead", &theirs).key(&other.secret);
    house.track_as(&other, 0, call, &theirs).await.ended("recorded");
    assert_eq!(endings(&house.rows(&customer).await), (2, 0));
    house.finish().await;
}
