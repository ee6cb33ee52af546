//! One lead is one trace, whichever processes it goes through; and whoever wishes none has none.
//!
//! The binaries run as processes of their own and send their spans to a collector in the test.
//!
//! **Invariant:** no span says more than logs may: no key, no address, no name that a caller gave its customer.

use std::collections::{BTreeMap, BTreeSet};

use leadline::lead::Schema;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::Harness;
use crate::harness::batch::single;
use crate::harness::client::{Answer, Call};
use crate::harness::collector::{Collector, Span};
use crate::harness::eventually::{eventually, holds};
use crate::harness::process::{PATIENT, Process};
use crate::harness::track::{lead, with};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

fn parent(trace: &str, flags: &str) -> String {
    format!("00-{trace}-{CALLER}-{flags}")
}

/// An API and a worker that send their spans to a collector.
struct Pair {
    house: Harness,
    collector: Collector,
    api: Process,
    worker: Process,
}

impl Pair {
    async fn start(more: &[(&str, &str)]) -> Self {
        let (house, collector) = (Harness::empty(|_| {}).await, Collector::start().await);
        let settings = [&PATIENT, &collector.settings()[..], more].concat();
        let worker = Process::start_with("worker", &house.config, house.client(), &settings).await;
        let api = Process::start_with("api", &house.config, house.client(), &settings).await;
        eventually("the queues", || async { holds(house.queues.depth("wait").await.is_some(), ()) }).await;
        Self { house, collector, api, worker }
    }

    async fn track(&self, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let call = Call::post("/track/lead", body).key(&self.house.workspace.secret);
        let call = headers.iter().fold(call, |call, (name, value)| call.header(name, value));
        let answer = call.send(self.house.client(), self.api.address).await;
        self.house.diary.note(self.house.workspace.id, body, Schema::Server, &answer);
        answer
    }

    /// Ends everything well; returns what the two said.
    async fn finish(self) -> (String, String) {
        let (api, worker) = (self.api.stop_and_hear().await, self.worker.stop_and_hear().await);
        assert_eq!((api.0, worker.0), (Some(0), Some(0)), "{}\n{}", api.1, worker.1);
        self.house.finish().await;
        (api.1, worker.1)
    }
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name}: {spans:#?}");
    found[0]
}

fn place(span: &Span) -> (String, String) {
    (span.trace_id.clone(), span.id.clone())
}

/// What the spans of a `wait` say of themselves, and of its lead.
fn what_is_told(spans: &[Span], id: &str) {
    let request = named(spans, "POST /track/lead");
    assert_eq!(request.said("http.request.method"), Some("POST"));
    assert_eq!(request.said("http.route"), Some("/track/lead"));
    assert_eq!(request.said("http.response.status_code"), Some("200"));
    for (name, operation, destination) in [
        ("publish wait", "send", "wait"),
        ("receive wait", "process", "wait"),
        ("publish reply", "send", "reply"),
        ("receive reply", "process", "reply"),
    ] {
        let span = named(spans, name);
        assert_eq!(span.said("messaging.system"), Some("rabbitmq"));
        assert_eq!(span.said("messaging.operation.type"), Some(operation), "{name}");
        assert_eq!(span.said("messaging.destination.name"), Some(destination), "{name}");
    }
    let [publish, receive] = ["publish wait", "receive wait"].map(|name| named(spans, name));
    assert_eq!((publish.said("lead.id"), receive.said("lead.id")), (Some(id), Some(id)));
    assert_eq!((publish.said("lead.mode"), receive.said("lead.ending")), (Some("wait"), Some("recorded")));
}

#[tokio::test]
async fn one_lead_is_one_trace_from_the_request_to_the_reply() {
    let pair = Pair::start(&[("LEADLINE__TELEMETRY__LOG", "leadline=debug"), ("OTEL_SERVICE_NAME", "leads")]).await;
    let click = pair.house.click().await;
    let wish = with(
        lead(&click, "Sign Up", "the-customers-own-id"),
        json!({"mode": "wait", "customerEmail": "ann@example.com", "customerName": "Ann Other"}),
    );
    let headers = [("traceparent", parent(TRACE, "01")), ("tracestate", "vendor=opaque,other=1".to_owned())];
    let answer = pair.track(&wish, &headers.each_ref().map(|(name, value)| (*name, value.as_str()))).await;
    let id = answer.ended("recorded").lead_id().unwrap();
    let spans = pair.collector.trace(TRACE, 7).await;
    assert_eq!(spans.len(), 7, "{spans:#?}");

    let request = named(&spans, "POST /track/lead");
    let [resolve, publish] = ["resolve", "publish wait"].map(|name| named(&spans, name));
    let [receive, record] = ["receive wait", "record"].map(|name| named(&spans, name));
    let [reply, heard] = ["publish reply", "receive reply"].map(|name| named(&spans, name));
    for (span, above, kind) in [
        (request, CALLER, SpanKind::Server),
        (resolve, request.id.as_str(), SpanKind::Internal),
        (publish, request.id.as_str(), SpanKind::Producer),
        (receive, publish.id.as_str(), SpanKind::Consumer),
        (record, receive.id.as_str(), SpanKind::Internal),
        (reply, receive.id.as_str(), SpanKind::Producer),
        (heard, reply.id.as_str(), SpanKind::Consumer),
    ] {
        assert_eq!((span.parent.as_str(), span.kind), (above, kind), "{}", span.name);
        assert_eq!(span.state, "vendor=opaque,other=1", "{}", span.name);
        assert_eq!(span.of("service.name"), Some("leads"));
        assert!(!span.is_error && span.time.0 <= span.time.1, "{span:?}");
    }
    let (api, worker) = (request.of("service.instance.id").unwrap(), receive.of("service.instance.id").unwrap());
    assert_ne!(api, worker, "two processes");
    let by = |instance: &str| spans.iter().filter(|span| span.of("service.instance.id") == Some(instance)).count();
    assert_eq!((by(api), by(worker)), (4, 3));
    assert_eq!((request.of("leadline.role"), receive.of("leadline.role")), (Some("api"), Some("worker")));

    what_is_told(&spans, &id.to_string());

    let batch = eventually("the batch", || async {
        let found = pair.collector.spans().into_iter().find(|span| span.name == "batch wait");
        found.ok_or("no span")
    })
    .await;
    assert_ne!(batch.trace_id, TRACE);
    assert_eq!((batch.parent.as_str(), batch.links), ("", vec![place(publish)]));
    assert_eq!(receive.links, [(batch.trace_id.clone(), batch.id.clone())]);
    let whole = pair.collector.trace(&batch.trace_id, 2).await;
    assert_eq!(named(&whole, "record").parent, batch.id);

    let told = format!("{:?}", pair.collector.spans());
    let key = pair.house.workspace.secret.as_str();
    let secrets = [key, &click, "the-customers-own-id", "ann@example.com", "Ann Other", "Sign Up"];
    for secret in secrets {
        assert!(!told.contains(secret), "{secret} in {told}");
    }
    let (api, worker) = pair.finish().await;
    let line = |said: &str, words: &str| {
        let found = said.lines().filter(|line| line.contains(words)).any(|line| line.contains(TRACE));
        assert!(found, "no `{words}` with the trace's id in {said}");
    };
    line(&api, "lead answered");
    line(&worker, "lead ended");
}

/// Many leads of one request share messages, and a batch; each keeps its own place.
#[tokio::test]
async fn leads_that_travel_together_keep_their_places() {
    let pair = Pair::start(&[]).await;
    let click = pair.house.click().await;
    // One customer, so one shard.
    let wishes: Vec<Value> = (0..24).map(|n| lead(&click, &format!("event {n}"), "one")).collect();
    let call = Call::post("/track/lead/batch", &json!(wishes)).key(&pair.house.workspace.secret);
    let call = call.header("traceparent", &parent(TRACE, "01"));
    let answer = call.send(pair.house.client(), pair.api.address).await.ok();
    let answers = answer.body.as_array().unwrap().iter().map(single);
    let mut ids = BTreeSet::new();
    for (wish, answer) in wishes.iter().zip(answers) {
        pair.house.diary.note(pair.house.workspace.id, wish, Schema::Server, &answer);
        ids.insert(answer.ok().lead_id().unwrap().to_string());
    }
    // Of the request itself and its look-up; of each lead what was published, received and recorded.
    let spans = pair.collector.trace(TRACE, 2 + 3 * 24).await;
    let of_leads = |verb: &str| -> BTreeMap<String, &Span> {
        let named = spans.iter().filter(|span| span.name.starts_with(verb));
        named.map(|span| (span.said("lead.id").unwrap().to_owned(), span)).collect()
    };
    let (published, received) = (of_leads("publish s"), of_leads("receive s"));
    assert_eq!(published.keys().cloned().collect::<BTreeSet<_>>(), ids);
    let request = named(&spans, "POST /track/lead/batch");
    // A batch's own span ends last.
    let linked: BTreeSet<&String> = received.values().flat_map(|span| span.links.iter().map(|(_, id)| id)).collect();
    let batches = eventually("the batches", || async {
        let all = pair.collector.spans().into_iter().filter(|span| span.name == "batch shards");
        let all: BTreeMap<String, Span> = all.map(|span| (span.id.clone(), span)).collect();
        if linked.iter().all(|id| all.contains_key(*id)) { Ok(all) } else { Err(linked.len()) }
    })
    .await;
    for (id, published) in published {
        let received = received[&id];
        assert_eq!((published.parent.as_str(), received.parent.as_str()), (request.id.as_str(), published.id.as_str()));
        let [(_, batch)] = received.links.as_slice() else { panic!("{received:?}") };
        assert!(batches[batch].links.contains(&place(published)), "{id}");
        assert_eq!(received.said("lead.ending"), Some("recorded"));
    }
    assert!(batches.len() < 24, "{} batches", batches.len());
    pair.finish().await;
}

#[tokio::test]
async fn whoever_wishes_no_trace_has_none_and_what_is_no_trace_begins_one() {
    let pair = Pair::start(&[]).await;
    let click = pair.house.click().await;
    let wish = |customer: &str| with(lead(&click, "Sign Up", customer), json!({"mode": "wait"}));
    let unwished = parent(TRACE, "00");
    pair.track(&wish("a"), &[("traceparent", &unwished)]).await.ended("recorded");
    for (n, malformed) in
        ["", "nonsense", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", &parent("4BF9", "01")]
            .into_iter()
            .enumerate()
    {
        pair.track(&wish(&format!("m{n}")), &[("traceparent", malformed), ("tracestate", "x=1")])
            .await
            .ended("recorded");
    }
    let requests = eventually("the traces that were begun", || async {
        let mut spans = pair.collector.spans();
        spans.retain(|span| span.name == "POST /track/lead");
        if spans.len() == 4 { Ok(spans) } else { Err(spans) }
    })
    .await;
    for request in requests {
        let spans = pair.collector.trace(&request.trace_id, 7).await;
        assert!(spans.iter().all(|span| span.trace_id != TRACE && span.state.is_empty()));
        assert_eq!(request.parent, "");
    }
    let collector = pair.collector.clone();
    pair.finish().await;
    // Both processes have sent all they had.
    assert!(collector.spans().iter().all(|span| span.trace_id != TRACE));
}

/// Of what begins no trace by the sampler's word, nothing is told either; a caller's word counts for more.
#[tokio::test]
async fn the_sampler_decides_where_no_caller_does() {
    let pair = Pair::start(&[("OTEL_TRACES_SAMPLER_ARG", "0")]).await;
    let click = pair.house.click().await;
    let wish = |customer: &str| with(lead(&click, "Sign Up", customer), json!({"mode": "wait"}));
    pair.track(&wish("a"), &[]).await.ended("recorded");
    pair.track(&wish("b"), &[("traceparent", &parent(TRACE, "01"))]).await.ended("recorded");
    let strangers =
        Call::post("/track/click", &json!({"domain": "x", "key": "y"})).header("traceparent", &parent(TRACE, "01"));
    strangers.send(pair.house.client(), pair.api.address).await;
    pair.collector.trace(TRACE, 7).await;
    let collector = pair.collector.clone();
    pair.finish().await;
    let spans = collector.spans();
    let names: Vec<&str> = spans.iter().filter(|span| span.trace_id == TRACE).map(|span| span.name.as_str()).collect();
    assert_eq!(names.len(), 7, "{names:?}");
    let others: BTreeSet<&str> = spans.iter().filter(|span| span.trace_id != TRACE).map(|s| s.name.as_str()).collect();
    assert_eq!(others, BTreeSet::from(["batch wait", "record"]));
}

/// While the collector is away, leads are none the worse for it, and the stop is clean.
#[tokio::test]
async fn a_collector_that_does_not_answer_costs_no_lead() {
    let deaf = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", deaf.local_addr().unwrap());
    let house = Harness::tuned(|config| config.telemetry.otlp_endpoint = endpoint.clone()).await;
    let click = house.click().await;
    for n in 0..20 {
        let mode = ["async", "wait"][n % 2];
        house.track(&with(lead(&click, "Sign Up", &format!("c{n}")), json!({"mode": mode}))).await.ok();
    }
    drop(deaf);
    eventually("spans that nobody took", || async {
        let failed = house.metric("leadline_spans_total{result=\"failed\"}").await;
        holds(failed > 0.0, failed)
    })
    .await;
    house.finish().await;
}

/// A parked follow-up is recorded later, in another transaction, and in its own trace.
#[tokio::test]
async fn a_parked_lead_goes_on_with_its_trace() {
    let patient = [
        ("LEADLINE__INTAKE__WAIT_TIMEOUT", "20s"),
        ("LEADLINE__WORKER__FOLLOW_UP_WAIT", "15s"),
        ("LEADLINE__WORKER__LOST_AFTER", "60s"),
        ("LEADLINE__LIFECYCLE__STOP_BUDGET", "40s"),
    ];
    let pair = Pair::start(&patient).await;
    let click = pair.house.click().await;
    let follow_up = with(lead("", "Sign Up", "late"), json!({"mode": "wait"}));
    let traced = parent(TRACE, "01");
    let headers = [("traceparent", traced.as_str())];
    let waiting = pair.track(&follow_up, &headers);
    let bring = async {
        eventually("a parked lead", || async { holds(pair.house.count("parked_leads").await == 1, ()) }).await;
        let deferred = with(lead(&click, "Sign Up", "late"), json!({"mode": "deferred"}));
        pair.track(&deferred, &[]).await.ok();
    };
    let (answer, ()) = futures_util::future::join(waiting, bring).await;
    let id: Uuid = answer.ended("recorded").lead_id().unwrap();
    // As when it is recorded at once, and one more `record`, under what was published.
    let spans = pair.collector.trace(TRACE, 8).await;
    let publish = spans.iter().find(|span| span.name.starts_with("publish s")).unwrap();
    let receive = spans.iter().find(|span| span.name.starts_with("receive s")).unwrap();
    assert_eq!(receive.said("lead.ending"), Some("parked"));
    let woken = spans.iter().find(|span| span.name == "record" && span.parent == publish.id).unwrap();
    assert_eq!(woken.said("lead.ending"), Some("recorded"));
    assert_eq!(woken.said("lead.id"), Some(id.to_string().as_str()));
    assert_eq!(named(&spans, "publish reply").parent, woken.id);
    pair.finish().await;
}
