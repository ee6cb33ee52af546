//! Tracing is off unless an endpoint is set: then nothing of a trace is read, kept or sent.
//!
//! **Invariant:** what a caller sends in its headers costs a lead not one byte on its way.

use serde_json::Value;

use crate::harness::Harness;
use crate::harness::client::Call;
use crate::harness::queues::Queues;
use crate::harness::track::lead;

#[tokio::test]
async fn without_an_endpoint_no_header_and_no_field_speaks_of_a_trace() {
    let mut house = Harness::without_worker().await;
    let body = lead(&house.click().await, "Sign Up", "untraced");
    let call = Call::post("/track/lead", &body)
        .key(&house.workspace.secret)
        .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .header("tracestate", "vendor=opaque");
    let workspace = house.workspace.clone();
    let answer = house.track_as(&workspace, 0, call, &body).await.ok();
    assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("trace")), "{:?}", answer.headers);
    let (properties, bytes) = house.queues.peek(&Queues::shard(&house.message(&body))).await;
    // Some brokers add a header of their own.
    let headers = properties.headers().clone().unwrap_or_default();
    assert!(headers.inner().keys().all(|name| !name.as_str().starts_with("trace")), "{properties:?}");
    let message: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(message.get("trace"), None);
    house.add_worker().await;
    house.ended(answer.lead_id().unwrap()).await;
    house.finish().await;
}
