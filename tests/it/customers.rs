//! Customers through the API: listed, shown, changed, deleted.
//!
//! **Invariant:** after a deletion nothing personal is left in any table.

use leadline::lead::id;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::http_setup::Front;

const MISSING: &str = "Customer not found. Make sure you're using the correct customer ID (e.g. `cus_3TagGjzRzmsFJdH8od2BNCsc`) or external ID (has to be prefixed with `ext_`).";

async fn given(front: &Front, external_id: &str, name: Option<&str>, email: Option<&str>) -> String {
    let id = Uuid::now_v7();
    sqlx::query("INSERT INTO customers (workspace_id, external_id, id, name, email) VALUES ($1, $2, $3, $4, $5)")
        .bind(front.workspace.id)
        .bind(external_id)
        .bind(id)
        .bind(name)
        .bind(email)
        .execute(&front.rows)
        .await
        .unwrap();
    id::show(id::CUSTOMER, id)
}

fn names(list: &Value) -> Vec<&str> {
    let list = list.as_array().unwrap().iter();
    list.map(|customer| customer["externalId"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_customer_is_found_by_both_names() {
    let front = Front::start().await;
    let id = given(&front, "a/b c", None, None).await;
    let found = front.get(&format!("/customers/{id}")).await.good();
    for path in ["/customers/ext_a/b%20c", "/api/customers/ext_a%2Fb%20c"] {
        assert_eq!(front.get(path).await.good(), found, "{path}");
    }
    let name = found["name"].as_str().unwrap();
    assert_eq!(name.split(' ').count(), 3, "{name}");
    assert_eq!(
        found,
        json!({"id": id, "name": name, "email": null, "avatar": null, "externalId": "a/b c", "stripeCustomerId": null,
            "country": null, "sales": 0, "saleAmount": 0, "createdAt": found["createdAt"], "firstSaleAt": null,
            "subscriptionCanceledAt": null})
    );
    let expanded = front.get(&format!("/customers/{id}?includeExpandedFields=true")).await.good();
    assert_eq!((&expanded["link"], &expanded["programId"]), (&Value::Null, &Value::Null));
    given(&front, "ext_x", None, Some("x@y.co")).await;
    let doubly = front.get("/customers/ext_ext_x").await.good();
    assert_eq!((&doubly["externalId"], &doubly["name"]), (&json!("ext_x"), &json!("x@y.co")));
    for path in ["/customers/ext_x", "/customers/cus_1", "/customers/ext_%00", "/customers/ext_"] {
        assert_eq!(front.get(path).await.refused(404, "not_found"), MISSING, "{path}");
    }
    front.finish().await;
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let front = Front::start().await;
    let mut ids = Vec::new();
    for (external, name, email) in [("u0", "Ann", "ann@a.co"), ("u1", "Bob", "bob@a.co"), ("u2", "Ann B", "b2@a.co")] {
        ids.push(given(&front, external, Some(name), Some(email)).await);
    }
    let rows = [
        ("pageSize=100&sortBy=createdAt&sortOrder=desc".to_owned(), vec!["u2", "u1", "u0"]),
        ("sortOrder=asc&pageSize=2".to_owned(), vec!["u0", "u1"]),
        ("page=2&pageSize=2".to_owned(), vec!["u0"]),
        ("email=bob@a.co&externalId=u2".to_owned(), vec!["u1"]),
        ("externalId=u2&search=zzz".to_owned(), vec!["u2"]),
        ("externalId=u2&page=2".to_owned(), vec![]),
        ("search=ann".to_owned(), vec!["u2", "u0"]),
        ("search=ann@a.co".to_owned(), vec!["u0"]),
        ("linkId=link_x".to_owned(), vec![]),
        (format!("startingAfter={}", ids[2]), vec!["u1", "u0"]),
        (format!("startingAfter={}", ids[0]), vec![]),
        (format!("endingBefore={}&pageSize=1", ids[0]), vec!["u1"]),
    ];
    for (query, expected) in rows {
        let list = front.get(&format!("/customers?{query}")).await.good();
        assert_eq!(names(&list), expected, "{query}");
    }
    for (query, expected) in [
        ("startingAfter=cus_x", "Invalid cursor: the provided ID does not exist."),
        (
            "sortBy=name",
            "invalid_value: sortBy: Invalid option: expected one of \"createdAt\"|\"saleAmount\"|\"firstSaleAt\"|\"subscriptionCanceledAt\"",
        ),
    ] {
        let answer = front.get(&format!("/customers?{query}")).await;
        assert_eq!(answer.refused(422, "unprocessable_entity"), expected);
    }
    front.finish().await;
}

#[tokio::test]
async fn a_customer_is_changed_field_by_field() {
    let front = Front::start().await;
    given(&front, "u0", Some("Ann"), Some("ann@a.co")).await;
    given(&front, "u1", None, None).await;
    let change = r#"{"name":null,"avatar":"pic","externalId":" u9 ","country":"US","stripeCustomerId":"cus_x"}"#;
    let changed = front.call("PATCH", "/customers/ext_u0", change).await.good();
    assert_eq!((&changed["name"], &changed["avatar"]), (&json!("ann@a.co"), &json!("pic")));
    assert_eq!((&changed["externalId"], &changed["country"]), (&json!("u9"), &Value::Null));
    let rows = [
        (r#"{"externalId":"u1"}"#, 409, "conflict", "A customer with this external ID already exists."),
        (r#"{"email":"no"}"#, 422, "unprocessable_entity", "invalid_format: email: Invalid email address"),
        (r#"{"name":"a\u0000"}"#, 422, "unprocessable_entity", "custom: name: Text must not contain NUL characters"),
        (
            r#"{"name":7}"#,
            422,
            "unprocessable_entity",
            "invalid_type: name: Invalid input: expected string, received number",
        ),
    ];
    for (body, status, code, expected) in rows {
        let answer = front.call("PATCH", "/customers/ext_u9", body).await;
        assert_eq!(answer.refused(status, code), expected, "{body}");
    }
    front.finish().await;
}

#[tokio::test]
async fn a_deleted_customer_leaves_its_keys_and_nothing_personal() {
    let front = Front::start().await;
    let id = given(&front, "u0", Some("Ann"), Some("ann@a.co")).await;
    let workspace = front.workspace.id;
    let message = |external: &str| {
        json!({"v": 1, "id": Uuid::now_v7(), "workspace_id": workspace, "customer_external_id": external, "event_name": "e",
            "customer_name": "Ann", "customer_email": "ann@a.co", "customer_avatar": "pic", "metadata": "{}"})
        .to_string()
        .into_bytes()
    };
    for external in ["u0", "u1"] {
        sqlx::query("INSERT INTO leads (workspace_id, id, customer_external_id, event_key, event_name, mode, ending, quantity, follow_up, metadata, accepted_at) VALUES ($1, $2, $3, 'e', 'e', 'async', 'recorded', 1, false, '{\"ann\":1}', now())")
            .bind(workspace).bind(Uuid::now_v7()).bind(external).execute(&front.rows).await.unwrap();
        sqlx::query("INSERT INTO parked_leads (workspace_id, id, customer_external_id, message, expires_at) VALUES ($1, $2, $3, $4, now())")
            .bind(workspace).bind(Uuid::now_v7()).bind(external).bind(message(external)).execute(&front.rows).await.unwrap();
        for known in [Some(workspace), None] {
            sqlx::query(
                "INSERT INTO buried_leads (id, identity, workspace_id, reason, message) VALUES ($1, $2, $3, 'r', $4)",
            )
            .bind(Uuid::now_v7())
            .bind(Uuid::now_v7().to_string())
            .bind(known)
            .bind(message(external))
            .execute(&front.rows)
            .await
            .unwrap();
        }
    }
    let gone = front.call("DELETE", "/customers/ext_u0", "").await.good();
    assert_eq!(gone, json!({"id": id}));
    for (method, path) in [("GET", "/customers/ext_u0"), ("DELETE", "/customers/ext_u0")] {
        assert_eq!(front.call(method, path, "").await.refused(404, "not_found"), MISSING);
    }
    assert_eq!(front.get("/customers").await.good(), json!([]));
    let personal = "SELECT (SELECT count(*) FROM leads WHERE metadata IS NOT NULL)
        + (SELECT count(*) FROM parked_leads WHERE encode(message, 'escape') ~ 'Ann|metadata|avatar')
        + (SELECT count(*) FROM buried_leads WHERE encode(message, 'escape') ~ 'Ann|metadata|avatar')";
    let left: i64 = sqlx::query_scalar(personal).fetch_one(&front.rows).await.unwrap();
    assert_eq!(left, 4, "what is left is the other customer's");
    let keys: i64 =
        sqlx::query_scalar("SELECT count(*) FROM leads WHERE customer_external_id = 'u0' AND event_key = 'e'")
            .fetch_one(&front.rows)
            .await
            .unwrap();
    assert_eq!(keys, 1);
    front.finish().await;
}
