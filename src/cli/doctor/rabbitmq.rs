//! The nodes of `broker.url`: reached, let in, what stands there, what we may do, whether publishers are blocked.
//!
//! **Invariant:** what stands on the broker is told by the broker; a queue that is missing is not made.

use std::collections::BTreeMap;

use super::finding::{Area, Finding};
use crate::broker::{BrokerError, Depth, Greeting, Node, Queue, Visit};
use crate::config;

const AREA: Area = Area::Rabbitmq;
const OLDEST: [u32; 2] = [3, 10];
/// From here on a replica applies no entry that the leader has not confirmed (Ra 2.15.2,
/// <https://github.com/rabbitmq/rabbitmq-server/pull/13326>).
const CONSISTENT: [u32; 3] = [4, 0, 7];

/// Depths by queue; empty when no node let us in.
pub(super) type Depths = BTreeMap<Queue, Depth>;

/// Looks every node over, and what stands there on the first that lets us in.
pub(super) async fn look(config: &config::Broker) -> (Depths, Vec<Finding>) {
    let nodes = match Node::all(config) {
        Ok(nodes) => nodes,
        Err(error) => return (Depths::new(), vec![address(&error)]),
    };
    let (mut depths, mut findings, mut looked) = (Depths::new(), Vec::new(), false);
    for node in &nodes {
        match node.greet().await {
            Ok(greeting) => findings.push(version(node, &greeting, nodes.len())),
            Err(error) => {
                findings.push(unreached(node, &error));
                continue;
            }
        }
        match node.visit().await {
            Ok(visit) if looked => visit.close().await,
            Ok(visit) => {
                looked = true;
                let (found, more) = topology(node, &visit).await;
                depths = found;
                findings.extend(more);
                findings.extend(rights(node, &visit, &depths).await);
                visit.close().await;
            }
            Err(error) => findings.push(unreached(node, &error)),
        }
    }
    (depths, findings)
}

fn address(error: &BrokerError) -> Finding {
    Finding::wrong(AREA, "address", error.to_string()).mend(
        "no process starts with it",
        "AMQP_URL=amqp://USER:PASSWORD@HOST:5672/%2f ('/' in a virtual host and '@', ':' in a password are written %2f, %40, %3A)",
    )
}

fn version(node: &Node, greeting: &Greeting, nodes: usize) -> Finding {
    let Greeting { product, version } = greeting;
    let what = format!("{} is {product} {version}", node.name());
    let numbers: Vec<u32> = version.split(['.', '-', '+']).map_while(|number| number.parse().ok()).collect();
    if product != "RabbitMQ" {
        return Finding::warning(AREA, "version", what).mend(
            "the promise leans on RabbitMQ's quorum queues and their confirms; nobody has tested it on another broker",
            "use RabbitMQ 3.10 or newer",
        );
    }
    if numbers.len() < OLDEST.len() {
        return Finding::unchecked(AREA, "version", what)
            .mend("3.10 is the oldest that will do", "rabbitmqctl version");
    }
    if numbers.as_slice() < OLDEST.as_slice() {
        return Finding::wrong(AREA, "version", what).mend(
            "before 3.10 dead letters of quorum queues are moved at most once, so they can be lost",
            "update it to 3.10 or newer, one minor version after the other",
        );
    }
    if nodes > 1 && numbers.as_slice() < CONSISTENT.as_slice() {
        return Finding::warning(AREA, "version", what).mend(
            "before 4.0.7 a replica can apply entries that no majority has, when nodes die together: leads may then stay in the \
             queue until worker.renew_after, and in the worst case be lost",
            "update all nodes to 4.0.7 or newer, one minor version after the other",
        );
    }
    Finding::ok(AREA, "version", what)
}

fn unreached(node: &Node, error: &BrokerError) -> Finding {
    let ((user, _), name, vhost) = (node.login(), node.name(), node.vhost());
    let cure = match error {
        BrokerError::Refused(_) => format!(
            "if the password is wrong: rabbitmqctl change_password '{user}' …, or the right one into AMQP_URL\n\
             if the virtual host is missing: rabbitmqctl add_vhost '{vhost}', or the right one behind the last / of AMQP_URL\n\
             if the user has no rights there: rabbitmqctl set_permissions -p '{vhost}' '{user}' '.*' '.*' '.*'"
        ),
        BrokerError::Untrusted { .. } | BrokerError::File { .. } => {
            "correct broker.ca_file, broker.cert_file, broker.key_file or the server's certificate".to_owned()
        }
        BrokerError::Stranger(_) => "name RabbitMQ's AMQP port in AMQP_URL: 5672, or 5671 for amqps://".to_owned(),
        _ => "is it running, and is this its address? rabbitmq-diagnostics check_port_listener 5672 on its machine says so; \
              then look at its log"
            .to_owned(),
    };
    let what = format!("{name}, virtual host {vhost}, does not let us in as {user}: {error}");
    Finding::wrong(AREA, "node", what).mend(
        "while no node serves, leads are recorded straight into PostgreSQL, and follow-ups of unknown customers get 503",
        cure,
    )
}

/// What stands there, against topology v1.
async fn topology(node: &Node, visit: &Visit) -> (Depths, Vec<Finding>) {
    let (mut depths, mut missing, mut findings) = (Depths::new(), Vec::new(), Vec::new());
    for exchange in [visit.topology().exchange(), visit.topology().dead_exchange()] {
        match visit.has_exchange(&exchange).await {
            Ok(true) => findings.extend(standing(node, visit.redeclare_exchange(&exchange).await, &exchange)),
            Ok(false) => missing.push(exchange),
            Err(error) => findings.push(unasked(node, &exchange, &error)),
        }
    }
    for queue in Queue::ALL {
        let name = visit.topology().queue_name(queue);
        match visit.depth(queue).await {
            Ok(Some(depth)) => {
                depths.insert(queue, depth);
                findings.extend(standing(node, visit.redeclare_queue(queue).await, &name));
            }
            Ok(None) => missing.push(name),
            Err(error) => findings.push(unasked(node, &name, &error)),
        }
    }
    match missing.len() {
        0 if findings.is_empty() => {
            findings.push(Finding::ok(AREA, "topology", "exchanges and queues stand as they should"));
        }
        0 => {}
        _ if depths.is_empty() => findings.push(
            Finding::warning(AREA, "topology", format!("nothing of the topology stands in {} yet", node.vhost())).mend(
                "nothing can be queued before it does",
                "the first API or worker that starts makes it: leadline worker. If one runs, it uses another virtual host or \
                 broker.prefix",
            ),
        ),
        _ => findings.push(Finding::wrong(AREA, "topology", format!("missing: {}", missing.join(", "))).mend(
            "what is sent to a missing queue lands among the dead and is buried; without its exchange nothing is confirmed",
            "restart one API or worker: it makes what is missing. `leadline buried replay` what was buried meanwhile",
        )),
    }
    (depths, findings)
}

/// Whether something has our arguments.
fn standing(node: &Node, declared: Result<(), BrokerError>, name: &str) -> Option<Finding> {
    match declared {
        Ok(()) => None,
        Err(error @ BrokerError::Mismatch { .. }) => Some(Finding::wrong(AREA, "topology", error.to_string()).mend(
            "no API or worker starts, and those that run do not come back after a lost connection; with other limits leads may \
             be dropped or dead-lettered",
            format!(
                "if it is empty (`leadline queues`): rabbitmqctl delete_queue -p '{}' '{name}', then restart a process, which \
                 makes it anew. If broker.queue_max_length was changed: change it back",
                node.vhost()
            ),
        )),
        Err(BrokerError::Refused(said)) => Some(right(node, "configure", name, &said)),
        Err(error) => Some(unasked(node, name, &error)),
    }
}

fn unasked(node: &Node, name: &str, error: &BrokerError) -> Finding {
    Finding::unchecked(AREA, "topology", format!("{name}: {error}")).mend(
        "it may be missing, or have other arguments",
        format!("look at the log of {}, and run this again", node.name()),
    )
}

/// Whether we may do what APIs and workers do. Publishing is asked for at last: a broker that blocks ends the visit there.
async fn rights(node: &Node, visit: &Visit, depths: &Depths) -> Vec<Finding> {
    let (exchange, mut findings) = (visit.topology().exchange(), Vec::new());
    for queue in depths.keys() {
        let name = visit.topology().queue_name(*queue);
        findings.extend(refused(node, "read", &name, visit.may_consume(*queue).await.map(|()| None)));
    }
    findings.extend(refused(node, "configure and read", "amq.gen-", visit.may_listen().await.map(|()| None)));
    for to in ["", exchange.as_str()] {
        let name = if to.is_empty() { "amq.default" } else { to };
        if to.is_empty() || !depths.is_empty() {
            findings.extend(refused(node, "write", name, visit.may_publish(to).await));
        }
        if findings.iter().any(|finding| finding.check == "alarm") {
            return findings;
        }
    }
    if findings.is_empty() && !depths.is_empty() {
        let (user, _) = node.login();
        findings.push(Finding::ok(AREA, "rights", format!("{user} may configure, write and read what it has to")));
        findings.push(Finding::ok(AREA, "alarm", "publishers are not blocked"));
    }
    findings
}

fn refused(node: &Node, kind: &'static str, name: &str, asked: Result<Option<String>, BrokerError>) -> Option<Finding> {
    match asked {
        Ok(None) => None,
        Ok(Some(reason)) => Some(Finding::wrong(AREA, "alarm", format!("RabbitMQ blocks publishers: {reason}")).mend(
            "nothing can be queued: leads are recorded straight into PostgreSQL, and follow-ups of unknown customers get 503",
            "rabbitmq-diagnostics alarms says on which node. Memory: rabbitmqctl set_vm_memory_high_watermark 0.6, or more \
             memory. Disk: free some, or a smaller disk_free_limit if there is enough",
        )),
        Err(BrokerError::Refused(said)) => Some(right(node, kind, name, &said)),
        Err(error) => Some(
            Finding::unchecked(AREA, "rights", format!("whether we may {kind} {name}: {error}"))
                .mend("a right that is missing stops every process at its start", "run this again"),
        ),
    }
}

fn right(node: &Node, kind: &str, name: &str, said: &str) -> Finding {
    let ((user, _), vhost) = (node.login(), node.vhost());
    Finding::wrong(AREA, "rights", format!("{user} may not {kind} {name}: {said}")).mend(
        "a process that needs it does not start, or loses its channel again and again",
        format!("rabbitmqctl set_permissions -p '{vhost}' '{user}' '.*' '.*' '.*' (configure, write, read; narrower: names that \
                 begin with broker.prefix and leads.v1, and amq\\.)"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;

    #[test]
    fn versions_are_compared_as_numbers() {
        let config = config::load(None).unwrap().broker;
        let node = Node::all(&config).unwrap().remove(0);
        let level = |product: &str, number: &str, nodes| {
            version(&node, &Greeting { product: product.to_owned(), version: number.to_owned() }, nodes).level
        };
        assert_eq!(level("RabbitMQ", "3.9.29", 1), Level::Wrong);
        for good in ["3.10.8", "4.0.5", "3.13.7-rc.1"] {
            assert_eq!(level("RabbitMQ", good, 1), Level::Ok, "{good}");
            assert_eq!(level("RabbitMQ", good, 3), Level::Warning, "{good}");
        }
        for consistent in ["4.0.7", "4.1.0", "4.10.0-rc.1", "5.0"] {
            assert_eq!(level("RabbitMQ", consistent, 3), Level::Ok, "{consistent}");
        }
        assert_eq!(level("RabbitMQ", "unknown", 3), Level::Unchecked);
        assert_eq!(level("LavinMQ", "2.0.0", 1), Level::Warning);
    }
}
