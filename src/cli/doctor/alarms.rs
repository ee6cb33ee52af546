//! Limits of memory and disk, which RabbitMQ tells only through its management plugin.
//!
//! **Invariant:** without that plugin they are called not checked.

use super::super::error::CliError;
use super::super::management::{Management, Member};
use super::finding::{Area, Finding};

const AREA: Area = Area::Rabbitmq;
/// The write-ahead log of quorum queues grows to half of this before it is written away.
const DISK_LEAST: u64 = 1 << 30;

/// Without a URL there is nobody to ask.
pub(super) fn unknown() -> Finding {
    Finding::unchecked(AREA, "limits", "memory watermark and disk_free_limit: AMQP does not tell them").mend(
        "RabbitMQ blocks all publishers when it is out of either",
        "leadline doctor --management http://HOST:15672 (rabbitmq-plugins enable rabbitmq_management), or on its machine: \
         rabbitmq-diagnostics status",
    )
}

/// Asks every node of the cluster.
pub(super) async fn look(management: Result<Management, CliError>) -> Vec<Finding> {
    let asked = async { management?.members().await };
    match asked.await {
        Ok(members) => members.iter().flat_map(judge).collect(),
        Err(error) => {
            vec![Finding::unchecked(AREA, "limits", format!("memory watermark and disk_free_limit: {error}")).mend(
                "RabbitMQ blocks all publishers when it is out of either",
                "the URL of the management plugin, and a user with its tag: rabbitmqctl set_user_tags USER monitoring",
            )]
        }
    }
}

fn judge(member: &Member) -> Vec<Finding> {
    let name = &member.name;
    if !member.running {
        return vec![Finding::wrong(AREA, "cluster", format!("{name} is not running")).mend(
            "queues live on a majority of nodes: with one less they may stop at the next loss",
            format!("start it; if it will not come back: rabbitmqctl forget_cluster_node {name}, and add another"),
        )];
    }
    let mut findings = Vec::new();
    if let (Some(used), Some(limit)) = (member.mem_used, member.mem_limit) {
        let what = format!("{name} uses {} of {} memory", mib(used), mib(limit));
        let why = "above the watermark RabbitMQ blocks all publishers";
        let cure = "more memory, or vm_memory_high_watermark.relative = 0.6 in rabbitmq.conf (at once: rabbitmqctl \
                    set_vm_memory_high_watermark 0.6)";
        findings.push(match (member.mem_alarm, used > limit / 5 * 4) {
            (true, _) => Finding::wrong(AREA, "memory", what).mend(why, cure),
            (false, true) => Finding::warning(AREA, "memory", what).mend(why, cure),
            (false, false) => Finding::ok(AREA, "memory", what),
        });
    }
    findings.push(match (member.disk_free.as_u64(), member.disk_free_limit.as_u64()) {
        (Some(free), Some(limit)) => disk(member, free, limit),
        _ => Finding::warning(AREA, "disk", format!("{name} does not watch its disk")).mend(
            "RabbitMQ stops in the middle of a write when the disk is full, instead of blocking publishers before",
            "disk_free_limit.absolute = 2GB in rabbitmq.conf; its log says why it cannot watch",
        ),
    });
    findings
}

fn disk(member: &Member, free: u64, limit: u64) -> Finding {
    let what = format!("{} has {} of disk free, and blocks publishers below {}", member.name, mib(free), mib(limit));
    if member.disk_free_alarm {
        return Finding::wrong(AREA, "disk", what).mend(
            "nothing can be queued until there is more",
            "free some; the queues need a worker to become shorter",
        );
    }
    if limit < DISK_LEAST {
        return Finding::warning(AREA, "disk", what).mend(
            "the write-ahead log alone may grow by 512 MiB: the disk may be full before the limit is noticed",
            "disk_free_limit.absolute = 2GB in rabbitmq.conf (at once: rabbitmqctl set_disk_free_limit 2GB)",
        );
    }
    if free < limit.saturating_mul(2) {
        return Finding::warning(AREA, "disk", what)
            .mend("below the limit RabbitMQ blocks all publishers", "free some, or a larger disk");
    }
    Finding::ok(AREA, "disk", what)
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;
    use serde_json::{Value, json};

    fn levels(change: Value) -> Vec<(&'static str, Level)> {
        let mut member = json!({
            "name": "rabbit@a", "running": true, "mem_used": 100_u64 << 20, "mem_limit": 1000_u64 << 20, "mem_alarm": false,
            "disk_free": 9_u64 << 30, "disk_free_limit": 2_u64 << 30, "disk_free_alarm": false,
        });
        if let (Value::Object(member), Value::Object(change)) = (&mut member, change) {
            member.extend(change);
        }
        let member: Member = serde_json::from_value(member).unwrap();
        judge(&member).iter().map(|finding| (finding.check, finding.level)).collect()
    }

    #[test]
    fn alarms_and_limits_are_judged() {
        assert_eq!(levels(json!({})), [("memory", Level::Ok), ("disk", Level::Ok)]);
        assert_eq!(levels(json!({"mem_alarm": true}))[0], ("memory", Level::Wrong));
        assert_eq!(levels(json!({"mem_used": 900_u64 << 20}))[0], ("memory", Level::Warning));
        assert_eq!(levels(json!({"disk_free_alarm": true}))[1], ("disk", Level::Wrong));
        assert_eq!(levels(json!({"disk_free_limit": 50_000_000}))[1], ("disk", Level::Warning));
        assert_eq!(levels(json!({"disk_free": 3_u64 << 30}))[1], ("disk", Level::Warning));
        assert_eq!(levels(json!({"disk_free": "disk_free_monitoring_disabled"}))[1], ("disk", Level::Warning));
        assert_eq!(levels(json!({"running": false})), [("cluster", Level::Wrong)]);
    }
}
