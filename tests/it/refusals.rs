//! Every refusal of the track routes: exact status, code and message.
//!
//! **Invariant:** a refusal leaves nothing in a queue and nothing in a table.

use serde_json::{Value, json};

use crate::harness::Harness;
use crate::harness::client::{Answer, Call};
use crate::harness::given;
use crate::harness::track::{lead, somebody, with};

const JSON: &str = "Invalid JSON format in request body. Please ensure the request body is a valid JSON object.";
const BEARER: &str =
    "Misconfigured authorization header. Did you forget to add 'Bearer '? Learn more: https://d.to/auth";
const PERSONAL: &str = "Workspace ID not found. Did you forget to include a `workspaceId` query parameter? It looks like you might be using personal API keys, we also recommend refactoring to workspace API keys: https://d.to/keys";
const EMAIL: &str = "invalid_format: customerEmail: Invalid email address";
const MODE: &str = "invalid_value: mode: Invalid option: expected one of \"async\"|\"wait\"|\"deferred\"";
const METADATA: &str = "custom: metadata: Metadata must be less than 10,000 characters when stringified";

/// Fields put into a good body, and the complaint about them.
fn bad_fields() -> Vec<(Value, String)> {
    let too_long =
        |path: &str, max: usize| format!("too_big: {path}: Too big: expected string to have <={max} characters");
    let not_text =
        |path: &str, kind: &str| format!("invalid_type: {path}: Invalid input: expected string, received {kind}");
    let nul = |path: &str| format!("custom: {path}: Text must not contain NUL characters");
    let plain = [
        (json!({"eventName": "  "}), "too_small: eventName: eventName is required"),
        (json!({"customerEmail": "ada"}), EMAIL),
        (json!({"customerEmail": ""}), EMAIL),
        (json!({"mode": "later"}), MODE),
        (json!({"mode": null}), MODE),
        (json!({"mode": 1}), MODE),
        (json!({"eventQuantity": "1"}), "invalid_type: eventQuantity: Invalid input: expected number, received string"),
        (json!({"eventQuantity": 1.5}), "invalid_type: eventQuantity: Invalid input: expected int, received number"),
        (json!({"eventQuantity": 0}), "too_small: eventQuantity: Too small: expected number to be >0"),
        (json!({"eventQuantity": -1}), "too_small: eventQuantity: Too small: expected number to be >0"),
        (json!({"eventQuantity": 101}), "too_big: eventQuantity: Too big: expected number to be <=100"),
        (json!({"eventQuantity": 1e300}), "too_big: eventQuantity: Too big: expected number to be <=100"),
        (json!({"metadata": []}), "invalid_type: metadata: Invalid input: expected record, received array"),
        (json!({"metadata": "x"}), "invalid_type: metadata: Invalid input: expected record, received string"),
        (json!({"metadata": {"a": "x".repeat(9993)}}), METADATA),
    ];
    let mut rows: Vec<(Value, String)> =
        plain.into_iter().map(|(fields, message)| (fields, message.to_owned())).collect();
    for (path, value, kind) in [
        ("clickId", json!(7), "number"),
        ("clickId", json!({}), "object"),
        ("eventName", json!(null), "null"),
        ("eventName", json!(true), "boolean"),
        ("customerExternalId", json!([]), "array"),
        ("customerName", json!(1), "number"),
        ("customerEmail", json!(1), "number"),
        ("customerAvatar", json!(false), "boolean"),
    ] {
        rows.push((json!({path: value}), not_text(path, kind)));
    }
    for (path, max) in [("eventName", 255), ("customerName", 100)] {
        rows.push((json!({path: "x".repeat(max + 1)}), too_long(path, max)));
        rows.push((json!({path: "😀".repeat(max / 2 + 1)}), too_long(path, max)));
    }
    for path in ["clickId", "eventName", "customerExternalId", "customerName", "customerAvatar"] {
        rows.push((json!({path: "a\u{0}b"}), nul(path)));
    }
    rows.push((json!({"metadata": {"a": [{"b": "\u{0}"}]}}), nul("metadata")));
    rows.push((json!({"metadata": {"\u{0}": 1}}), nul("metadata")));
    rows
}

async fn untouched(house: &Harness) {
    assert_eq!(house.queues.total().await, 0, "a refusal was published");
    for table in ["leads", "customers", "parked_leads", "buried_leads"] {
        assert_eq!(house.count(table).await, 0, "a refusal left a row in {table}");
    }
}

#[tokio::test]
async fn track_lead_refuses_bad_fields_one_by_one() {
    let house = Harness::without_worker().await;
    let click = house.click().await;
    let mut rows = bad_fields();
    rows.push((
        json!({"customerExternalId": "x".repeat(256)}),
        "too_big: customerExternalId: Too big: expected string to have <=255 characters".to_owned(),
    ));
    for (fields, message) in rows {
        let body = with(lead(&click, "Sign Up", "c"), fields);
        house.track(&body).await.refused(422, "unprocessable_entity", &message);
    }
    for body in
        [json!({"clickId": click, "eventName": "e"}), json!({"eventName": "e", "customerId": " ", "externalId": null})]
    {
        house.track(&body).await.refused(400, "bad_request", "customerExternalId is required");
    }
    let missing = "invalid_type: eventName: Invalid input: expected string, received undefined";
    house.track(&json!({})).await.refused(422, "unprocessable_entity", missing);
    untouched(&house).await;
    house.finish().await;
}

#[tokio::test]
async fn track_lead_client_refuses_bad_fields_one_by_one() {
    let house = Harness::without_worker().await;
    let click = house.click().await;
    let mut rows = bad_fields();
    rows.push((
        json!({"customerExternalId": "x".repeat(101)}),
        "too_big: customerExternalId: Too big: expected string to have <=100 characters".to_owned(),
    ));
    rows.push((
        json!({"customerExternalId": " "}),
        "too_small: customerExternalId: customerExternalId is required".to_owned(),
    ));
    for (fields, message) in rows {
        let body = with(lead(&click, "Sign Up", "c"), fields);
        cors(page(&house, &body).await.refused(422, "unprocessable_entity", &message));
    }
    for (body, path) in [
        (json!({"eventName": "e", "customerExternalId": "c"}), "clickId"),
        (json!({"clickId": "", "eventName": "e", "externalId": "c"}), "customerExternalId"),
    ] {
        let message = format!("invalid_type: {path}: Invalid input: expected string, received undefined");
        cors(page(&house, &body).await.refused(422, "unprocessable_entity", &message));
    }
    untouched(&house).await;
    house.finish().await;
}

async fn page(house: &Harness, body: &Value) -> Answer {
    house.call(Call::post("/track/lead/client", body).key(&house.workspace.publishable)).await
}

#[track_caller]
fn cors(answer: Answer) -> Answer {
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{}", answer.body);
    answer
}

#[tokio::test]
async fn bodies_that_are_no_object_are_refused_on_every_track_route() {
    let house = Harness::without_worker().await;
    let not_json: [&[u8]; 7] = [
        b"",
        b"{",
        b"nonsense",
        b"{}{}",
        b"{\"eventName\":\"\xff\"}",
        br#"{"eventName":"\ud800"}"#,
        br#"{"eventName":"a","eventName":"b"}"#,
    ];
    let not_objects: [(&[u8], &str); 5] =
        [(b"[]", "array"), (b"null", "null"), (b"\"x\"", "string"), (b"1", "number"), (b"true", "boolean")];
    for (path, key) in [
        ("/track/lead", &house.workspace.secret),
        ("/track/lead/client", &house.workspace.publishable),
        ("/track/click", &house.workspace.secret),
    ] {
        let send = |body: &[u8]| Call::new("POST", path).raw(body).key(key);
        for body in not_json {
            house.call(send(body)).await.refused(400, "bad_request", JSON);
        }
        for (body, kind) in not_objects {
            let message = format!("invalid_type: : Invalid input: expected object, received {kind}");
            house.call(send(body)).await.refused(422, "unprocessable_entity", &message);
        }
        house.call(Call::new("POST", path).key(key)).await.refused(400, "bad_request", JSON);
    }
    untouched(&house).await;
    house.finish().await;
}

#[tokio::test]
async fn keys_that_open_nothing_are_refused() {
    let house = Harness::without_worker().await;
    let body = lead(&house.click().await, "Sign Up", "c");
    let revoked = given::key(&house.pool, house.workspace.id, "secret", "ll_").await;
    sqlx::query("UPDATE api_keys SET revoked_at = now() WHERE hint LIKE '%' || $1")
        .bind(&revoked[revoked.len() - 4..])
        .execute(&house.pool)
        .await
        .unwrap();
    let (secret, publishable) = (house.workspace.secret.clone(), house.workspace.publishable.clone());
    let server = [
        (None, 401, "unauthorized", "Missing Authorization header."),
        (Some(secret.clone()), 400, "bad_request", BEARER),
        (Some(format!("bearer {secret}")), 400, "bad_request", BEARER),
        (Some("Bearer foo".to_owned()), 404, "not_found", PERSONAL),
        (Some("Bearer ll_000000000000000000000000".to_owned()), 401, "unauthorized", "Unauthorized: Invalid API key."),
        (Some("Bearer dub_00000000000000000000000".to_owned()), 401, "unauthorized", "Unauthorized: Invalid API key."),
        (Some(format!("Bearer {publishable}")), 401, "unauthorized", "Unauthorized: Invalid API key."),
        (Some(format!("Bearer {revoked}")), 401, "unauthorized", "Unauthorized: Invalid API key."),
    ];
    let client = [
        (None, 401, "unauthorized", "Missing publishable key."),
        (Some(publishable), 400, "bad_request", "Invalid or missing publishable key."),
        (Some(format!("Bearer {secret}")), 400, "bad_request", "Invalid or missing publishable key."),
        (Some("Bearer ll_pk_000000000000000000000000".to_owned()), 401, "unauthorized", "Invalid publishable key."),
    ];
    let rows = server
        .into_iter()
        .map(|row| ("/track/lead", row))
        .chain(client.into_iter().map(|row| ("/track/lead/client", row)));
    for (path, (header, status, code, message)) in rows {
        let mut call = Call::post(path, &body);
        if let Some(header) = header {
            call = call.header("authorization", &header);
        }
        let answer = house.call(call).await.refused(status, code, message);
        assert_eq!(answer.header("access-control-allow-origin").is_some(), path.ends_with("client"), "{path}");
    }
    untouched(&house).await;
    house.finish().await;
}

#[tokio::test]
async fn clicks_and_links_that_bring_nobody_are_refused() {
    let house = Harness::start().await;
    let foreign = given::workspace(&house.pool).await;
    let foreign = given::link(&house.pool, &foreign).await;
    let [disabled, gone] =
        [given::link(&house.pool, &house.workspace).await, given::link(&house.pool, &house.workspace).await];
    let mut rows =
        vec![("0123456789abcdef".to_owned(), "Click event not found for clickId: 0123456789abcdef".to_owned())];
    for (link, text) in
        [(&foreign, "does not belong to the workspace"), (&disabled, "is disabled, lead not tracked"), (&gone, "")]
    {
        let click = given::click(&house.pool, link).await;
        let message = if text.is_empty() {
            format!("Link not found for clickId: {click}")
        } else {
            format!("Link {} for clickId {click} {text}", link.shown())
        };
        rows.push((click, message));
    }
    sqlx::query("UPDATE links SET disabled_at = now() WHERE id = $1")
        .bind(disabled.id)
        .execute(&house.pool)
        .await
        .unwrap();
    sqlx::query("DELETE FROM links WHERE id = $1").bind(gone.id).execute(&house.pool).await.unwrap();
    for (click, message) in rows {
        for mode in ["async", "wait", "deferred"] {
            let body = with(lead(&click, "Sign Up", &somebody()), json!({"mode": mode}));
            house.track(&body).await.refused(404, "not_found", &message);
        }
        let body = lead(&click, "Sign Up", &somebody());
        let call = Call::post("/track/lead/client", &body).key(&house.workspace.publishable);
        house.call(call).await.refused(404, "not_found", &message);
    }
    untouched(&house).await;
    house.finish().await;
}

#[tokio::test]
async fn hosts_that_are_not_allowed_are_refused() {
    let house = Harness::start().await;
    let refused = |host: &str| {
        format!(
            "Request origin '{host}' is not included in the allowed hostnames for this workspace. Update your allowed hostnames here: https://app.dub.co/settings/tracking"
        )
    };
    sqlx::query("UPDATE workspaces SET allowed_hostnames = '{shop.example,*.deep.example}'")
        .execute(&house.pool)
        .await
        .unwrap();
    let body = lead(&house.click().await, "Sign Up", &somebody());
    let click = json!({"domain": house.link.domain, "key": house.link.key});
    let rows = [
        ("origin", "https://evil.example", Some("evil.example")),
        ("origin", "https://deep.example", Some("deep.example")),
        ("referer", "https://evil.example/shop.example", Some("evil.example")),
        ("x-nothing", "x", Some("null")),
        ("origin", "https://www.shop.example:8443", None),
        ("referer", "https://a.b.deep.example/x", None),
    ];
    for (header, value, refusal) in rows {
        let lead = Call::post("/track/lead/client", &body).key(&house.workspace.publishable).header(header, value);
        let click = Call::post("/track/click", &click).header(header, value);
        let lead = house.track_as(&house.workspace, 0, lead, &body).await;
        if let Some(host) = refusal {
            cors(lead.refused(403, "forbidden", &refused(host)));
            cors(house.call(click).await.refused(403, "forbidden", &refused(host)));
        } else {
            cors(lead.ok());
            cors(house.call(click).await.ok());
        }
    }
    house.finish().await;
}

#[tokio::test]
async fn track_click_refuses_what_no_link_has() {
    let house = Harness::without_worker().await;
    let (domain, key) = (house.link.domain.clone(), house.link.key.clone());
    let fault = |body: Value, message: &str| (body, 422, "unprocessable_entity", message.to_owned());
    let missing = |body: Value, message: &str| (body, 404, "not_found", message.to_owned());
    let domainless = "invalid_type: domain: domain is required.";
    let keyless = "invalid_type: key: key is required.";
    let no_string =
        |path: &str, kind: &str| format!("invalid_type: {path}: Invalid input: expected string, received {kind}");
    let rows = [
        fault(json!({}), domainless),
        fault(json!({"domain": 1, "key": key}), domainless),
        fault(json!({"domain": "nodots", "key": key}), domainless),
        fault(json!({"domain": domain}), keyless),
        fault(json!({"domain": domain, "key": null}), keyless),
        fault(json!({"domain": domain, "key": key, "url": 1}), &no_string("url", "number")),
        fault(json!({"domain": domain, "key": key, "referrer": []}), &no_string("referrer", "array")),
        fault(json!({"domain": domain, "key": "a\u{0}"}), "custom: key: Text must not contain NUL characters"),
        missing(
            json!({"domain": domain, "key": "nothing"}),
            &format!("Link not found for domain: {domain} and key: nothing."),
        ),
        missing(json!({"domain": "localhost:3000", "key": "x"}), "Link not found for domain:  and key: x."),
    ];
    for (body, status, code, message) in rows {
        cors(house.call(Call::post("/track/click", &body)).await.refused(status, code, &message));
    }
    assert_eq!(house.count("clicks").await, 0);
    house.finish().await;
}

#[tokio::test]
async fn a_page_may_ask_before_it_tracks_a_click() {
    let house = Harness::without_worker().await;
    let preflight = house.call(Call::new("OPTIONS", "/track/click")).await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (204, Some("*")));
    house.finish().await;
}
