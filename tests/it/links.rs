//! Links through the API: created, changed, found, listed, deleted, refused.
//!
//! **Invariant:** each refusal is compared with the contract's exact words.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::http_setup::{Front, send};

const JSON_FAULT: &str = "Invalid JSON format in request body. Please ensure the request body is a valid JSON object.";

type Refusal = (&'static str, &'static str, &'static str, u16, &'static str, &'static str);

/// Method, path, body; status, code, message.
const REFUSALS: &[Refusal] = &[
    ("POST", "/links", "", 400, "bad_request", JSON_FAULT),
    (
        "POST",
        "/links",
        "{}",
        422,
        "unprocessable_entity",
        "invalid_type: url: Invalid input: expected string, received undefined",
    ),
    ("POST", "/links", r#"{"url":""}"#, 400, "bad_request", "Missing destination URL"),
    ("POST", "/links", r#"{"url":"x"}"#, 422, "unprocessable_entity", "Invalid destination URL"),
    (
        "POST",
        "/links",
        r#"{"url":"https://x.y","domain":"a.co","key":"K"}"#,
        409,
        "conflict",
        "Duplicate key: This short link already exists.",
    ),
    (
        "POST",
        "/links",
        r#"{"url":"https://x.y","domain":"a.co","externalId":"e"}"#,
        409,
        "conflict",
        "A link with this externalId already exists in this workspace.",
    ),
    (
        "POST",
        "/links",
        r#"{"url":"https://x.y","domain":"a.co","key":"a b"}"#,
        422,
        "unprocessable_entity",
        "Invalid key.",
    ),
    ("PATCH", "/links/ext_e", r#"{"expiresAt":"soon"}"#, 422, "unprocessable_entity", "Invalid expiration date."),
    ("PATCH", "/links/ext_nobody", "{}", 404, "not_found", "Link not found."),
    ("GET", "/links/nonsense", "", 404, "not_found", "Link not found."),
    (
        "GET",
        "/links/info",
        "",
        400,
        "bad_request",
        "You must provide a domain and a key or a linkId or an externalId to retrieve a link.",
    ),
    (
        "GET",
        "/links/info?externalId=nobody",
        "",
        400,
        "bad_request",
        "Invalid externalId. Did you forget to prefix it with `ext_`?",
    ),
    ("GET", "/links/info?externalId=ext_nobody", "", 404, "not_found", "Link not found."),
    (
        "GET",
        "/links?showArchived=yes",
        "",
        422,
        "unprocessable_entity",
        "invalid_value: showArchived: Invalid option: expected one of \"true\"|\"false\"",
    ),
    (
        "GET",
        "/links?search=%00",
        "",
        422,
        "unprocessable_entity",
        "custom: search: Text must not contain NUL characters",
    ),
    (
        "GET",
        "/links?startingAfter=link_x",
        "",
        422,
        "unprocessable_entity",
        "Invalid cursor: the provided ID does not exist.",
    ),
    (
        "GET",
        "/links?page=1001",
        "",
        422,
        "unprocessable_entity",
        "Page is too big (cannot be more than 1000), recommend using cursor-based pagination instead.",
    ),
    ("DELETE", "/links", "", 405, "bad_request", "This method is not allowed on this resource."),
];

pub(crate) async fn create(front: &Front, body: Value) -> Value {
    front.call("POST", "/links", &body.to_string()).await.good()
}

#[tokio::test]
async fn a_link_is_created_found_changed_and_deleted() {
    let front = Front::start().await;
    let made = create(
        &front,
        json!({"url": "https://x.y/a", "domain": "Go.Acme.com", "key": "Promo", "externalId": "ext_e/1", "tenantId": "t",
            "programId": "p", "partnerId": "q", "trackConversion": true, "expiresAt": "2030-01-01T00:00:00Z",
            "title": "T", "comments": "C", "utm_source": "news", "unknown": {"a": 1}}),
    )
    .await;
    assert_eq!(made["domain"], "go.acme.com");
    assert_eq!(made["shortLink"], "https://go.acme.com/Promo");
    assert_eq!(made["url"], "https://x.y/a?utm_source=news");
    assert_eq!(made["externalId"], "e/1");
    assert_eq!(made["expiresAt"], "2030-01-01T00:00:00.000Z");
    assert_eq!((&made["description"], &made["disabledAt"]), (&Value::Null, &Value::Null));
    let id = made["id"].as_str().unwrap();
    for path in [
        format!("/links/{id}"),
        format!("/api/links/{id}"),
        "/links/ext_e/1".to_owned(),
        "/links/ext_e%2F1".to_owned(),
        format!("/links/info?linkId={id}"),
        "/links/info?externalId=ext_e/1".to_owned(),
        "/api/links/info?domain=GO.acme.com&key=promo".to_owned(),
    ] {
        assert_eq!(front.get(&path).await.good(), made, "{path}");
    }
    let change = r#"{"title":null,"archived":true,"disabledAt":"2026-01-01","key":"promo","utm_source":null}"#;
    let changed = front.call("PATCH", "/links/ext_e/1", change).await.good();
    assert_eq!(changed["id"], made["id"]);
    assert_eq!((&changed["title"], &changed["archived"]), (&Value::Null, &json!(true)));
    assert_eq!(changed["disabledAt"], "2026-01-01T00:00:00.000Z");
    assert_eq!((&changed["key"], &changed["url"]), (&json!("promo"), &json!("https://x.y/a")));
    let again = front.call("PUT", &format!("/links/{id}"), r#"{"disabledAt":null}"#).await.good();
    assert_eq!(again["disabledAt"], Value::Null);
    assert_eq!(again["comments"], "C");
    let gone = front.call("DELETE", &format!("/links/{id}"), "").await.good();
    assert_eq!(gone, json!({"id": id}));
    let missing = front.get(&format!("/links/{id}")).await;
    assert_eq!(missing.refused(404, "not_found"), "Link not found.");
    front.finish().await;
}

#[tokio::test]
async fn a_key_is_made_where_none_is_given_and_the_first_domain_is_the_default() {
    let front = Front::start().await;
    let nowhere = front.call("POST", "/links", r#"{"url":"https://x.y"}"#).await;
    assert!(nowhere.refused(422, "unprocessable_entity").starts_with("This workspace has no domain yet."));
    create(&front, json!({"url": "https://x.y", "domain": "a.co"})).await;
    create(&front, json!({"url": "https://x.y", "domain": "b.co"})).await;
    let made = create(&front, json!({"url": "x.y/z"})).await;
    assert_eq!(made["domain"], "a.co");
    let key = made["key"].as_str().unwrap();
    assert!(key.len() == 7 && key.bytes().all(|b| b.is_ascii_alphanumeric()), "{key}");
    let root = create(&front, json!({"url": "https://x.y", "key": "_root"})).await;
    assert_eq!(root["shortLink"], "https://a.co");
    let path = format!("/links/{}", root["id"].as_str().unwrap());
    let kept = front.call("DELETE", &path, "").await;
    assert!(kept.refused(403, "forbidden").starts_with("You can't delete a custom domain link."));
    front.finish().await;
}

#[tokio::test]
async fn each_refusal_of_a_link_has_its_words() {
    let front = Front::start().await;
    let first = create(&front, json!({"url": "https://x.y", "domain": "a.co", "key": "k", "externalId": "e"})).await;
    let id = first["id"].as_str().unwrap();
    for (method, path, body, status, code, expected) in REFUSALS.iter().copied() {
        let answer = front.call(method, path, body).await;
        assert_eq!(answer.refused(status, code), expected, "{method} {path} {body}");
    }
    let info = front.get("/links/info").await;
    assert_eq!(info.body["error"]["doc_url"], "https://dub.co/docs/api-reference/endpoint/retrieve-a-link");
    let stranger = front.stranger().await;
    let foreign = |method: &str, path: &str, body: &str| {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("authorization", format!("Bearer {stranger}"));
        request.body(Body::from(body.to_owned())).unwrap()
    };
    for request in [foreign("GET", &format!("/links/{id}"), ""), foreign("DELETE", &format!("/links/{id}"), "")] {
        let answer = send(&front.router, request).await;
        let said = answer.refused(401, "unauthorized");
        assert!(said.starts_with("Link does not belong to workspace ws_"), "{said}");
    }
    let squat = foreign("POST", "/links", r#"{"url":"https://x.y","domain":"a.co"}"#);
    let answer = send(&front.router, squat).await;
    assert_eq!(answer.refused(403, "forbidden"), "Domain does not belong to workspace.");
    front.finish().await;
}

#[tokio::test]
async fn a_free_domain_is_not_registered_where_that_is_switched_off() {
    let front = Front::with(|config| config.http.register_domains = false).await;
    let body = r#"{"url":"https://x.y","domain":"a.co","key":"k"}"#;
    let refused = front.call("POST", "/links", body).await;
    assert_eq!(refused.refused(403, "forbidden"), "Domain does not belong to workspace.");
    front.store.add_domain(front.workspace.id, "a.co").await.unwrap();
    front.call("POST", "/links", body).await.good();
    let moved = front.call("PATCH", "/links/ext_none", "{}").await;
    moved.refused(404, "not_found");
    front.finish().await;
}

#[tokio::test]
async fn a_refused_link_registers_no_domain() {
    let front = Front::start().await;
    create(&front, json!({"url": "https://x.y", "domain": "a.co", "externalId": "e"})).await;
    let body = r#"{"url":"https://x.y","domain":"new.co","externalId":"e"}"#;
    front.call("POST", "/links", body).await.refused(409, "conflict");
    let domains = front.store.domains(front.workspace.id).await.unwrap();
    assert_eq!(domains.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["a.co"]);
    front.finish().await;
}
