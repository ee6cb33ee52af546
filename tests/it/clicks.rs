//! Clicks through the API: counted once per visitor, answered to everybody.
//!
//! **Invariant:** whatever is answered carries the CORS headers.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::http_setup::{Answer, Front, send};

const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/120.0";
const JSON_FAULT: &str = "Invalid JSON format in request body. Please ensure the request body is a valid JSON object.";

/// Body; status, code, message.
const REFUSALS: &[(&str, u16, &str, &str)] = &[
    ("", 400, "bad_request", JSON_FAULT),
    ("[]", 422, "unprocessable_entity", "invalid_type: : Invalid input: expected object, received array"),
    ("{}", 422, "unprocessable_entity", "invalid_type: domain: domain is required."),
    (r#"{"domain":"a.co"}"#, 422, "unprocessable_entity", "invalid_type: key: key is required."),
    (r#"{"domain":"www.A.co","key":"nope"}"#, 404, "not_found", "Link not found for domain: a.co and key: nope."),
    (r#"{"domain":"a.co:80","key":"k"}"#, 404, "not_found", "Link not found for domain:  and key: k."),
];
const LINK: &str = r#"{"domain":"a.co","key":"k"}"#;

fn click(body: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder().method("POST").uri("/track/click");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_owned())).unwrap()
}

async fn visit(router: &Router, agent: &str) -> String {
    let answer = send(router, click(LINK, &[("user-agent", agent)])).await;
    let Answer { headers, body, .. } = answer;
    assert_eq!(headers["access-control-allow-origin"], "*");
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    let id = body["clickId"].as_str().unwrap();
    assert!(id.len() == 16 && id.bytes().all(|b| b.is_ascii_alphanumeric()));
    id.to_owned()
}

async fn counted(front: &Front) -> (i64, i64) {
    let stored = sqlx::query_scalar("SELECT count(*) FROM clicks").fetch_one(&front.rows).await;
    let counter = sqlx::query_scalar("SELECT sum(clicks)::bigint FROM links").fetch_one(&front.rows).await;
    (stored.unwrap(), counter.unwrap())
}

async fn with_link() -> Front {
    let front = Front::start().await;
    let body = r#"{"url":"https://x.y/a","domain":"a.co","key":"K"}"#;
    front.call("POST", "/links", body).await.good();
    front
}

#[tokio::test]
async fn a_visitor_has_one_click_per_hour_in_every_process() {
    let mut front = with_link().await;
    let other = front.another();
    let id = visit(&front.router, BROWSER).await;
    assert_eq!(visit(&front.router, BROWSER).await, id);
    assert_eq!(visit(&other, BROWSER).await, id);
    assert_ne!(visit(&other, "Mozilla/5.0 other").await, id);
    assert_eq!(counted(&front).await, (2, 2));
    let row: (String, String, Option<String>) = sqlx::query_as("SELECT url, ip, referrer FROM clicks WHERE id = $1")
        .bind(&id)
        .fetch_one(&front.rows)
        .await
        .unwrap();
    assert_eq!(row, ("https://x.y/a".to_owned(), "127.0.0.1".to_owned(), None));
    sqlx::query("UPDATE click_reuse SET expires_at = now()").execute(&front.rows).await.unwrap();
    assert_ne!(visit(&front.router, BROWSER).await, id);
    assert_eq!(counted(&front).await, (3, 3));
    assert_eq!(front.store.forget_visitors().await.unwrap(), 1);
    front.finish().await;
}

#[tokio::test]
async fn first_visits_at_once_are_one_click() {
    let mut front = with_link().await;
    let routers = [front.router.clone(), front.another()];
    let visits = (0..16).map(|n| visit(&routers[n % 2], BROWSER));
    let ids = futures_util::future::join_all(visits).await;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(counted(&front).await, (1, 1));
    front.finish().await;
}

#[tokio::test]
async fn a_link_made_anew_does_not_inherit_clicks() {
    let front = with_link().await;
    let id = visit(&front.router, BROWSER).await;
    let link = front.get("/links").await.good()[0]["id"].as_str().unwrap().to_owned();
    front.call("DELETE", &format!("/links/{link}"), "").await.good();
    let body = r#"{"url":"https://x.y/b","domain":"a.co","key":"k"}"#;
    front.call("POST", "/links", body).await.good();
    assert_ne!(visit(&front.router, BROWSER).await, id);
    front.finish().await;
}

#[tokio::test]
async fn programs_and_the_untracked_are_answered_and_never_stored() {
    let front = with_link().await;
    visit(&front.router, "curl/8.5.0").await;
    let asked = click(LINK, &[("user-agent", BROWSER), ("dub-no-track", "1")]);
    send(&front.router, asked).await.good();
    for uri in ["/track/click?bot=1", "/api/track/click?dub-no-track"] {
        let mut request = click(LINK, &[("user-agent", BROWSER)]);
        *request.uri_mut() = uri.parse().unwrap();
        send(&front.router, request).await.good();
    }
    assert_eq!(counted(&front).await, (0, 0));
    front.finish().await;
}

#[tokio::test]
async fn a_partner_link_names_its_partner() {
    let front = Front::start().await;
    let body =
        r#"{"url":"https://x.y","domain":"a.co","key":"k","programId":"prog","partnerId":"pn_1","tenantId":"t"}"#;
    front.call("POST", "/links", body).await.good();
    let mut answer = send(&front.router, click(LINK, &[])).await.good();
    assert!(answer.as_object_mut().unwrap().remove("clickId").is_some());
    let partner = json!({"id": "pn_1", "name": "pn_1", "image": "https://api.dub.co/og/avatar/pn_1", "tenantId": "t"});
    assert_eq!(answer, json!({"partner": partner, "discount": null}));
    front.finish().await;
}

#[tokio::test]
async fn only_allowed_host_names_may_send() {
    let front = with_link().await;
    let path = format!("/workspaces/{}", front.workspace.slug);
    let list = r#"{"allowedHostnames":["good.com","*.good.com"]}"#;
    front.call("PATCH", &path, list).await.good();
    for (headers, host) in [
        (vec![("referer", "https://evil.com/x")], "evil.com"),
        (vec![("origin", "https://evil.com")], "evil.com"),
        (vec![], "null"),
        (vec![("referer", "nonsense"), ("origin", "https://good.com")], "null"),
    ] {
        let answer = send(&front.router, click(LINK, &headers)).await;
        let expected = format!(
            "Request origin '{host}' is not included in the allowed hostnames for this workspace. Update your allowed hostnames here: https://app.dub.co/settings/tracking"
        );
        assert_eq!(answer.refused(403, "forbidden"), expected);
        assert_eq!(answer.headers["access-control-allow-origin"], "*");
    }
    for origin in ["https://www.good.com:8443", "https://a.good.com"] {
        send(&front.router, click(LINK, &[("origin", origin)])).await.good();
    }
    front.finish().await;
}

#[tokio::test]
async fn each_refusal_of_a_click_has_its_words() {
    let front = with_link().await;
    for (body, status, code, expected) in REFUSALS {
        let answer = send(&front.router, click(body, &[])).await;
        assert_eq!(answer.refused(*status, code), *expected, "{body}");
        assert_eq!(answer.headers["access-control-allow-methods"], "POST, OPTIONS");
    }
    let preflight = Request::builder().method("OPTIONS").uri("/api/track/click").body(Body::empty()).unwrap();
    let answer = send(&front.router, preflight).await;
    assert_eq!((answer.status.as_u16(), &answer.body), (204, &Value::Null));
    assert_eq!(answer.headers["access-control-allow-headers"], "Content-Type, Authorization");
    let wrong = Request::builder().uri("/track/click").body(Body::empty()).unwrap();
    let answer = send(&front.router, wrong).await;
    answer.refused(405, "bad_request");
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    front.finish().await;
}

#[tokio::test]
async fn an_oversized_body_is_refused_and_nothing_is_read_from_it() {
    let front = with_link().await;
    let answer = send(&front.router, click(&"x".repeat(10 << 20), &[])).await;
    answer.refused(413, "bad_request");
    assert_eq!(counted(&front).await, (0, 0));
    front.finish().await;
}
