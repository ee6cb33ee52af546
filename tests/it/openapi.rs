//! The `OpenAPI` document against the router, against itself, and against a walk through every answer.
//!
//! What other tests are answered is held against it too, by the harness; here it is shown that nothing
//! stands in the document that cannot happen.
//!
//! **Invariant:** the document and the service say the same, in both directions.

use std::collections::BTreeSet;

use axum::http::HeaderMap;
use leadline::http::routes;
use serde_json::{Value, json};

use crate::harness::Harness;
use crate::harness::client::{Answer, Call};
use crate::harness::document::{against, document, held, template};
use crate::harness::given;
use crate::harness::track::{lead, with};

/// Statuses that want a fault or a flood; the tests that make those are held against the document by the harness.
const RARE: [&str; 5] = ["408", "413", "429", "500", "503"];

/// Every operation: path, method, what is said of it.
fn operations() -> Vec<(&'static str, &'static str, &'static Value)> {
    let paths = document()["paths"].as_object().unwrap().iter();
    let methods = |item: &'static Value| item.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters");
    paths
        .flat_map(|(path, item)| methods(item).map(move |(method, said)| (path.as_str(), method.as_str(), said)))
        .collect()
}

#[test]
fn the_document_and_the_router_have_the_same_routes() {
    let described: BTreeSet<_> = operations().into_iter().map(|(path, method, _)| format!("{method} {path}")).collect();
    let routed = routes().into_iter();
    let routed: BTreeSet<_> =
        routed.flat_map(|(path, methods)| methods.into_iter().map(move |method| format!("{method} {path}"))).collect();
    assert_eq!(described, routed);
    assert_eq!(document()["info"]["version"], env!("CARGO_PKG_VERSION"));
    let names: BTreeSet<_> = operations().into_iter().map(|(_, _, said)| said["operationId"].to_string()).collect();
    assert_eq!(names.len(), described.len(), "two operations share a name");
}

#[test]
fn schemas_are_schemas_and_examples_fit_them() {
    let components = &document()["components"];
    let mut examples = 0;
    for (name, schema) in components["schemas"].as_object().unwrap() {
        jsonschema::draft202012::meta::validate(schema).unwrap_or_else(|error| panic!("{name}: {error}"));
        for example in schema["examples"].as_array().into_iter().flatten() {
            against(&json!({"$ref": format!("#/components/schemas/{name}")}), example)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            examples += 1;
        }
    }
    for (name, response) in components["responses"].as_object().unwrap() {
        let content = &response["content"]["application/json"];
        against(&content["schema"], &content["example"]).unwrap_or_else(|error| panic!("{name}: {error}"));
        examples += 1;
    }
    assert!(examples > 25, "{examples}");
}

#[test]
fn answers_that_the_document_does_not_say_are_found() {
    let headers = |more: &[(&'static str, &'static str)]| {
        let all =
            ["x-content-type-options", "referrer-policy", "content-security-policy", "cache-control", "x-request-id"];
        let all = all.map(|name| (name, "x")).into_iter().chain(more.iter().copied());
        all.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect::<HeaderMap>()
    };
    let typed = headers(&[("content-type", "application/json")]);
    let alive = json!({"status": "alive"});
    held("GET", "/api/livez?x=1", 200, &typed, &alive).unwrap();
    let error = &document()["components"]["responses"]["NotFound"]["content"]["application/json"]["example"];
    held("GET", "/nowhere", 404, &typed, error).unwrap();
    held("POST", "/livez", 405, &typed, error).unwrap();
    let faults = [
        held("GET", "/livez", 200, &typed, &json!({"status": "alive", "more": 1})),
        held("GET", "/livez", 200, &typed, &json!({})),
        held("GET", "/livez", 200, &headers(&[]), &alive),
        held("GET", "/livez", 200, &HeaderMap::new(), &alive),
        held("GET", "/livez", 204, &typed, &alive),
        held("GET", "/nowhere", 200, &typed, &alive),
        held("GET", "/links/link_x", 422, &typed, error),
        held("POST", "/links", 503, &typed, error),
        held("POST", "/links", 503, &headers(&[("content-type", "application/json"), ("retry-after", "0")]), error),
    ];
    for (n, fault) in faults.into_iter().enumerate() {
        fault.expect_err(&n.to_string());
    }
}

#[tokio::test]
async fn the_document_is_served_and_kept_by_who_has_it() {
    let house = Harness::without_worker().await;
    let whole = house.call(Call::new("GET", "/openapi.json")).await.ok();
    assert_eq!(&whole.body, document());
    assert_eq!(whole.header("access-control-allow-origin"), Some("*"));
    assert_eq!(whole.header("cache-control"), Some("public, max-age=300"));
    let again = Call::new("GET", "/api/openapi.json").header("if-none-match", whole.header("etag").unwrap());
    assert_eq!(house.call(again).await.status, 304);
    house.finish().await;
}

/// Who sends a request of the walk.
#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    Nobody,
    Server,
    Page,
    StrictPage,
}

/// One request: who, method, path, body.
type Step = (By, &'static str, String, Value);

/// What each operation answers when all is well, and what it refuses.
fn steps(house: &Harness, foreign: &given::Link, customers: [&str; 3]) -> Vec<Step> {
    let link = house.link.shown();
    let page = |more: Value| with(json!({"domain": house.link.domain, "key": house.link.key}), more);
    let mut steps = vec![
        (By::Nobody, "OPTIONS", "/track/click".to_owned(), Value::Null),
        (By::Nobody, "OPTIONS", "/track/lead/client".to_owned(), Value::Null),
        (By::Nobody, "POST", "/track/click".to_owned(), page(json!({}))),
        (By::Nobody, "POST", "/track/click".to_owned(), Value::Null),
        (By::Nobody, "POST", "/track/click".to_owned(), page(json!({"domain": foreign.domain, "key": foreign.key}))),
        (By::Nobody, "POST", "/track/click".to_owned(), page(json!({"key": "nobody"}))),
        (By::Nobody, "POST", "/track/click".to_owned(), json!({})),
        (By::Server, "POST", "/track/lead".to_owned(), json!({})),
        (By::Server, "POST", "/track/lead/batch".to_owned(), json!({})),
        (By::Server, "POST", "/track/lead/batch".to_owned(), json!([{}, 7])),
        (By::Page, "POST", "/track/lead/client".to_owned(), Value::Null),
        (By::Nobody, "POST", "/track/lead/client".to_owned(), json!({})),
        (By::StrictPage, "POST", "/track/lead/client".to_owned(), json!({})),
        (By::Page, "POST", "/track/lead/client".to_owned(), lead("0000000000000000", "e", "nobody")),
        (By::Page, "POST", "/track/lead/client".to_owned(), json!({})),
        (By::Server, "POST", "/links".to_owned(), json!({"url": "https://x.y", "key": "_root", "externalId": "root"})),
        (By::Server, "POST", "/links".to_owned(), json!({"url": "https://x.y", "domain": foreign.domain})),
        (By::Server, "POST", "/links".to_owned(), json!({"url": "https://x.y", "key": "_root"})),
        (By::Server, "POST", "/links".to_owned(), json!({})),
        (By::Server, "DELETE", "/links/ext_root".to_owned(), Value::Null),
    ];
    for path in [
        format!("/links/info?linkId={link}"),
        "/links/info?linkId=%00".to_owned(),
        format!("/links/{link}"),
        "/workspaces/other".to_owned(),
        "/livez".to_owned(),
        "/readyz".to_owned(),
        "/openapi.json".to_owned(),
    ] {
        steps.push((By::Server, "GET", path, Value::Null));
    }
    for path in ["/links", "/links/count", "/customers", &format!("/customers/ext_{}", customers[0])] {
        for query in ["", "?showArchived=x&includeExpandedFields=x", "?includeExpandedFields=true"] {
            steps.push((By::Server, "GET", format!("{path}{query}"), Value::Null));
        }
    }
    for method in ["PATCH", "PUT"] {
        for body in
            [json!({"title": "T"}), json!({"domain": foreign.domain}), json!({"key": "_root"}), json!({"url": 1})]
        {
            steps.push((By::Server, method, format!("/links/{link}"), body));
        }
    }
    let customer = format!("/customers/ext_{}", customers[0]);
    for body in [json!({"name": "N"}), json!({"externalId": customers[1]}), json!({"email": "x"})] {
        steps.push((By::Server, "PATCH", customer.clone(), body));
    }
    steps.push((By::Server, "DELETE", format!("/customers/ext_{}", customers[2]), Value::Null));
    steps.push((By::Server, "DELETE", format!("/links/{link}"), Value::Null));
    steps
}

#[tokio::test]
async fn all_that_the_document_says_happens() {
    let house = Harness::start().await;
    let strict = given::workspace(&house.pool).await;
    let foreign = given::link(&house.pool, &strict).await;
    let change = "UPDATE workspaces SET allowed_hostnames = '{example.com}' WHERE id = $1";
    sqlx::query(change).bind(strict.id).execute(&house.pool).await.unwrap();
    let mut walk = Walk { house: &house, strict: &strict, seen: BTreeSet::new() };
    walk.leads().await;
    walk.strangers().await;
    walk.workspaces().await;
    let tag = house.call(Call::new("GET", "/openapi.json")).await;
    let known = Call::new("GET", "/openapi.json").header("if-none-match", tag.header("etag").unwrap());
    walk.send("GET", "/openapi.json", known).await;
    for (by, method, path, body) in steps(&house, &foreign, ["one", "two", "three"]) {
        let call = Call::new(method, &path);
        let call = if body.is_null() { call } else { call.raw(body.to_string().as_bytes()) };
        let call = match by {
            By::Nobody => call,
            By::Server => call.key(&house.workspace.secret),
            By::Page => call.key(&house.workspace.publishable),
            By::StrictPage => call.key(&strict.publishable),
        };
        walk.send(method, &path, call).await;
    }
    let said: BTreeSet<(String, String)> = operations()
        .into_iter()
        .flat_map(|(_, _, said)| {
            let statuses = said["responses"].as_object().unwrap().keys();
            statuses.map(|status| (said["operationId"].as_str().unwrap().to_owned(), status.clone()))
        })
        .filter(|(_, status)| !RARE.contains(&status.as_str()))
        .collect();
    let never: Vec<_> = said.difference(&walk.seen).collect();
    assert!(never.is_empty(), "the document says what never happened: {never:?}");
    house.finish().await;
}

/// A walk through the API that notes which operation answered which status.
#[derive(Debug)]
struct Walk<'a> {
    house: &'a Harness,
    strict: &'a given::Workspace,
    seen: BTreeSet<(String, String)>,
}

impl Walk<'_> {
    fn note(&mut self, method: &str, path: &str, answer: &Answer) {
        let said = &document()["paths"][template(path).unwrap()][method.to_lowercase()];
        self.seen.insert((said["operationId"].as_str().unwrap().to_owned(), answer.status.to_string()));
    }

    async fn send(&mut self, method: &str, path: &str, call: Call) {
        let answer = self.house.call(call).await;
        self.note(method, path, &answer);
    }

    /// Three customers come into being; the last without a lead, so that the books balance when it is gone.
    async fn leads(&mut self) {
        let (path, client) = ("/track/lead", "/track/lead/client");
        for (customer, path, key) in
            [("one", path, &self.house.workspace.secret), ("two", client, &self.house.workspace.publishable)]
        {
            let body = with(lead(&self.house.click().await, "e", customer), json!({"mode": "wait"}));
            let call = Call::post(path, &body).key(key);
            let answer = self.house.track_as(&self.house.workspace, 0, call, &body).await.ended("recorded");
            self.note("POST", path, &answer);
        }
        let bare = "INSERT INTO customers (id, workspace_id, external_id, created_at) VALUES ($1, $2, 'three', now())";
        let bare = sqlx::query(bare).bind(uuid::Uuid::now_v7()).bind(self.house.workspace.id);
        bare.execute(&self.house.pool).await.unwrap();
    }

    /// Whoever has no good key is told so by every route that wants one.
    async fn strangers(&mut self) {
        let house = self.house;
        for (path, method, said) in operations() {
            if said["security"].is_null() {
                for header in ["Basic x", "Bearer foo", "Bearer ll_000000000000000000000000"] {
                    let path = path.replace("{id}", "x");
                    let call = Call::new(&method.to_uppercase(), &path).header("authorization", header);
                    self.send(method, &path, call).await;
                }
            }
        }
        assert_eq!(house.count("leads").await, 2);
    }

    async fn workspaces(&mut self) {
        let slug: String = sqlx::query_scalar("SELECT slug FROM workspaces WHERE id = $1")
            .bind(self.strict.id)
            .fetch_one(&self.house.pool)
            .await
            .unwrap();
        let path = format!("/workspaces/{}", leadline::lead::id::show("ws_", self.house.workspace.id));
        self.send("GET", &path, Call::new("GET", &path).key(&self.house.workspace.secret)).await;
        for method in ["PATCH", "PUT"] {
            for body in [json!({"name": "N"}), json!({"slug": slug}), json!({"slug": "x"})] {
                let call = Call::new(method, &path).raw(body.to_string().as_bytes());
                self.send(method, &path, call.key(&self.house.workspace.secret)).await;
            }
        }
    }
}
