//! Lists of links through the API: filtered, sorted, paged both ways, counted.
//!
//! **Invariant:** cursors and pages never mix.

use serde_json::{Value, json};

use crate::http_setup::Front;
use crate::links::create;

fn keys(list: &Value) -> Vec<&str> {
    let keys = list.as_array().unwrap().iter();
    keys.map(|link| link["key"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn lists_are_filtered_sorted_and_paged() {
    let front = Front::start().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let domain = if n < 3 { "a.co" } else { "b.co" };
        let body = json!({"url": format!("https://x.y/50%_{n}"), "domain": domain, "key": format!("k{n}"),
            "tenantId": if n % 2 == 0 { "even" } else { "odd" }, "archived": n == 4});
        ids.push(create(&front, body).await["id"].as_str().unwrap().to_owned());
    }
    sqlx::query("UPDATE links SET clicks = 7, last_clicked = now() WHERE key = 'k1'")
        .execute(&front.rows)
        .await
        .unwrap();
    let [_, one, two, ..] = ids.as_slice() else { panic!("five links") };
    let rows = [
        (String::new(), vec!["k3", "k2", "k1", "k0"]),
        ("showArchived=true".to_owned(), vec!["k4", "k3", "k2", "k1", "k0"]),
        ("domain=A.co".to_owned(), vec!["k2", "k1", "k0"]),
        ("tenantId=odd".to_owned(), vec!["k3", "k1"]),
        ("search=50%25_2".to_owned(), vec!["k2"]),
        ("search=K3".to_owned(), vec!["k3"]),
        ("tagIds=t".to_owned(), vec![]),
        ("sortBy=clicks".to_owned(), vec!["k1", "k3", "k2", "k0"]),
        ("sortBy=lastClicked".to_owned(), vec!["k1", "k3", "k2", "k0"]),
        ("sortOrder=asc".to_owned(), vec!["k0", "k1", "k2", "k3"]),
        ("page=2&pageSize=3".to_owned(), vec!["k0"]),
        (format!("startingAfter={two}&pageSize=1"), vec!["k1"]),
        (format!("startingAfter={two}"), vec!["k1", "k0"]),
        (format!("endingBefore={one}&pageSize=1"), vec!["k2"]),
        (format!("endingBefore={one}"), vec!["k3", "k2"]),
    ];
    for (query, expected) in rows {
        let list = front.get(&format!("/links?{query}")).await.good();
        assert_eq!(keys(&list), expected, "{query}");
    }
    assert_eq!(front.get("/links/count?domain=a.co").await.good(), json!(3));
    front.finish().await;
}

#[tokio::test]
async fn the_ways_to_page_do_not_mix() {
    let front = Front::start().await;
    let made = create(&front, json!({"url": "https://x.y", "domain": "a.co"})).await;
    let one = made["id"].as_str().unwrap();
    let clashes = [
        (
            format!("startingAfter={one}&endingBefore={one}"),
            "You cannot use both startingAfter and endingBefore at the same time.",
        ),
        (
            format!("startingAfter={one}&sortBy=clicks"),
            "Cursor-based pagination only supports sorting by `createdAt`. Use offset-based pagination (page/pageSize) for other sort fields.",
        ),
        (
            format!("startingAfter={one}&page=2"),
            "You cannot use both page and startingAfter/endingBefore at the same time. Please use one pagination method.",
        ),
    ];
    for (query, expected) in clashes {
        let answer = front.get(&format!("/links?{query}")).await;
        assert_eq!(answer.refused(422, "unprocessable_entity"), expected);
    }
    front.finish().await;
}

#[tokio::test]
async fn a_list_that_nothing_can_match_refuses_what_any_list_refuses() {
    let front = Front::start().await;
    for nothing in ["tagId=t", "tagIds=t", "tagNames=t", "folderId=f", "domain=no%20domain"] {
        let answer = front.get(&format!("/links?{nothing}")).await;
        assert_eq!((answer.status.as_u16(), &answer.body), (200, &json!([])), "{nothing}");
        for (wrong, field) in [
            ("sortBy=%02", "sortBy"),
            ("sortOrder=up", "sortOrder"),
            ("page=0", "page"),
            ("pageSize=101", "pageSize"),
            ("startingAfter=nobody", "cursor"),
        ] {
            let answer = front.get(&format!("/links?{nothing}&{wrong}")).await;
            let message = answer.refused(422, "unprocessable_entity");
            assert!(message.contains(field), "{nothing}&{wrong}: {message}");
        }
    }
    front.finish().await;
}
