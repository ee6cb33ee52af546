//! `leadline queues`: what waits, as the engines tell it.
//!
//! **Invariant:** numbers are planted in queues and tables, and read as they are printed.

use serde_json::{Value, json};
use uuid::Uuid;

use super::import::ran;
use super::typed::at_house;
use crate::harness::Harness;

#[tokio::test]
async fn what_waits_is_counted_where_it_waits() {
    let mut house = Harness::without_worker().await;
    for queue in ["s02", "s02", "dead"] {
        house.queues.publish_bytes(queue, b"nonsense", Some(&Uuid::now_v7().to_string()), None).await;
    }
    let parked = "INSERT INTO parked_leads (workspace_id, id, customer_external_id, message, parked_at, expires_at)
         VALUES (gen_random_uuid(), gen_random_uuid(), 'x', '', now() - interval '3 minutes', now() + interval '1 hour')";
    sqlx::query(parked).execute(&house.pool).await.unwrap();
    let told = ran(at_house(&house, &["queues", "--json"])).await.with(0);
    let of = |queue: &str| {
        let queues = told["queues"].as_array().unwrap();
        queues.iter().find(|row| row["queue"] == queue).unwrap().clone()
    };
    assert_eq!((&of("s02")["ready"], &of("dead")["ready"], &of("wait")["ready"]), (&json!(2), &json!(1), &json!(0)));
    assert_eq!((&of("s02")["unacknowledged"], &of("s02")["consumers"]), (&Value::Null, &json!(0)));
    assert_eq!(of("s02")["name"], house.queues.name("s02"));
    assert_eq!(
        (&told["ready"], &told["parked"], &told["buried"], &told["workers"]),
        (&json!(3), &json!(1), &json!(0), &json!(0))
    );
    let text = ran(at_house(&house, &["queues"])).await;
    assert_eq!(text.code, Some(0), "{}", text.err);
    let line = |name: &str| text.out.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert_eq!(line("s02").split_whitespace().collect::<Vec<_>>(), ["s02", "2", "-", "0"]);
    assert_eq!(line("all").split_whitespace().collect::<Vec<_>>(), ["all", "3", "-", "-"]);
    assert!(line("parked").contains("the oldest 3 min"), "{}", text.out);
    sqlx::query("DELETE FROM parked_leads").execute(&house.pool).await.unwrap();
    house.announced.buried = 3;
    house.finish().await;
}

#[tokio::test]
async fn one_engine_tells_what_it_knows_while_the_other_is_away() {
    let house = Harness::without_worker().await;
    let mut command = at_house(&house, &["queues"]);
    command.env("AMQP_URL", "amqp://guest:guest@127.0.0.1:1/%2f");
    let told = ran(command).await;
    assert_eq!((told.code, told.err.lines().count()), (Some(1), 1), "{}", told.err);
    assert!(
        told.out.contains("parked") && !told.out.contains("s00") && told.err.contains("RabbitMQ"),
        "{}{}",
        told.out,
        told.err
    );
    let mut command = at_house(&house, &["queues"]);
    command.env("DATABASE_URL", "postgres://127.0.0.1:1/x");
    let told = ran(command).await;
    assert_eq!(told.code, Some(1));
    assert!(
        told.out.contains("s00") && !told.out.contains("parked") && told.err.contains("PostgreSQL"),
        "{}{}",
        told.out,
        told.err
    );
    house.finish().await;
}
