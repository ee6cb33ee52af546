//! The work itself: who does it, what waits for it, what needs a person.
//!
//! **Invariant:** every number is of this moment; what needs two looks to be judged says so.

use super::super::open;
use super::finding::{Area, Finding};
use super::rabbitmq::Depths;
use crate::broker::Queue;
use crate::config::Config;
use crate::store::{Behind, SchemaState, Store, UnderWay, schema_state};

const AREA: Area = Area::Work;

/// Looks at tables and queues; at tables only where they can be worked with.
pub(super) async fn look(config: &Config, writable: bool, depths: &Depths) -> Vec<Finding> {
    let mut findings = queues(config, depths);
    if writable {
        findings.extend(match tables(config).await {
            Some((behind, under_way)) => judge(&behind, &under_way),
            None => vec![
                Finding::unchecked(AREA, "tables", "workers, parked and buried leads: the tables cannot be read")
                    .mend("leads may wait for somebody", "mend what is wrong with PostgreSQL first"),
            ],
        });
    }
    findings
}

async fn tables(config: &Config) -> Option<(Behind, UnderWay)> {
    let store: Store = open::raw_store(config).await.ok()?;
    if schema_state(&store).await.ok()? == SchemaState::Behind {
        return None;
    }
    Some((store.behind().await.ok()?, store.under_way(None).await.ok()?))
}

fn queues(config: &Config, depths: &Depths) -> Vec<Finding> {
    let mut findings = Vec::new();
    let most = config.broker.queue_max_length;
    for (queue, depth) in depths {
        let (name, ready) = (queue.as_str(), depth.ready);
        if *queue == Queue::Dead {
            findings.extend((ready > 0).then(|| dead(ready, depth.consumers)));
            continue;
        }
        if depth.consumers == 0 && ready > 0 {
            findings.push(
                Finding::wrong(AREA, "consumers", format!("{ready} messages wait in {name}, and nobody consumes it"))
                    .mend(
                        "accepted leads are recorded by nobody",
                        "start a worker: leadline worker. If one runs, its log says why it does not consume",
                    ),
            );
        }
        if ready >= most / 5 * 4 {
            findings.push(
                Finding::warning(AREA, "depth", format!("{name} holds {ready} messages of {most} at most")).mend(
                    "a full queue refuses: its customers' leads are answered 503",
                    "more workers (leadline worker on other machines), or find what slows them: leadline_batch_seconds",
                ),
            );
        }
    }
    if findings.is_empty() && !depths.is_empty() {
        findings.push(Finding::ok(AREA, "queues", "no queue is left alone, nearly full or dead"));
    }
    findings
}

fn dead(ready: u32, consumers: u32) -> Finding {
    let what = format!("{ready} messages are in the dead queue");
    let why = "RabbitMQ gave them up or could not route them; until a worker has buried them nobody can replay them";
    if consumers == 0 {
        let cure = "start a worker: it buries them; then `leadline buried list --waiting`";
        return Finding::wrong(AREA, "dead", what).mend(why, cure);
    }
    Finding::warning(AREA, "dead", what)
        .mend(why, "look again in a minute: a worker buries them. If they stay, its log says why; `leadline buried list --waiting`")
}

fn judge(behind: &Behind, under_way: &UnderWay) -> Vec<Finding> {
    let mut findings = vec![match behind.workers {
        0 => Finding::warning(AREA, "workers", "no worker has reported to PostgreSQL lately")
            .mend("without one, leads that are accepted stay in their queues", "leadline worker"),
        workers => Finding::ok(AREA, "workers", format!("{workers} workers report to PostgreSQL")),
    }];
    if behind.overdue > 0 {
        let what = format!("{} parked leads should have ended five minutes ago", behind.overdue);
        findings.push(Finding::wrong(AREA, "parked", what).mend(
            "they end only when a worker sweeps, and when all workers have come that far: one of them may be frozen",
            "leadline worker, if none runs; else restart the one whose log is silent. `leadline queues` says how many report",
        ));
    }
    let waiting = under_way.buried - under_way.replayed;
    findings.push(match waiting {
        0 => Finding::ok(AREA, "buried", "no buried lead waits for a person"),
        _ => Finding::warning(AREA, "buried", format!("{waiting} buried messages were never replayed")).mend(
            "each is an accepted lead that nobody counts",
            "leadline buried list --waiting says why; when the cause is mended: leadline buried replay --all, or leadline buried \
             discard ID --yes",
        ),
    });
    findings
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;
    use crate::broker::Depth;

    fn levels(findings: &[Finding]) -> Vec<(&'static str, Level)> {
        findings.iter().map(|finding| (finding.check, finding.level)).collect()
    }

    #[test]
    fn queues_are_judged_by_what_waits_and_who_comes() {
        let config = crate::config::load(None).unwrap();
        let of = |queue, ready, consumers| {
            let depths = Depths::from([(queue, Depth { ready, consumers })]);
            levels(&queues(&config, &depths))
        };
        assert_eq!(of(Queue::Shard(1), 0, 0), [("queues", Level::Ok)]);
        assert_eq!(of(Queue::Shard(1), 5, 1), [("queues", Level::Ok)]);
        assert_eq!(of(Queue::Wait, 5, 0), [("consumers", Level::Wrong)]);
        assert_eq!(of(Queue::Wait, 1_900_000, 2), [("depth", Level::Warning)]);
        assert_eq!(of(Queue::Dead, 1, 1), [("dead", Level::Warning)]);
        assert_eq!(of(Queue::Dead, 1, 0), [("dead", Level::Wrong)]);
        assert!(queues(&config, &Depths::new()).is_empty());
    }

    #[test]
    fn tables_are_judged_by_what_should_have_ended() {
        let mut behind =
            Behind { workers: 2, newest_accepted: None, newest_age: None, oldest_parked: None, overdue: 0 };
        let mut under_way = UnderWay { parked: 3, parked_since: None, buried: 5, replayed: 5, suspects: 0 };
        assert_eq!(levels(&judge(&behind, &under_way)), [("workers", Level::Ok), ("buried", Level::Ok)]);
        (behind.workers, behind.overdue, under_way.replayed) = (0, 1, 4);
        let found = levels(&judge(&behind, &under_way));
        assert_eq!(found, [("workers", Level::Warning), ("parked", Level::Wrong), ("buried", Level::Warning)]);
    }
}
