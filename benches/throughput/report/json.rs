//! The figures for machines.
//!
//! **Invariant:** every figure of the table stands here too; what was not measured is null.

use serde_json::{Map, Value, json};

use crate::ground::proc::Cpu;
use crate::load::Traffic;
use crate::stats::{Times, median};
use crate::targets::Line;

use super::{Cell, Costs, Figures, How, of_series, rounded};

/// Everything the whole run measured.
pub(super) fn whole(f: &Figures) -> Value {
    let l = f.l();
    json!({
        "h_per_s": of_series(&f.h_per_s()),
        "p_per_s": of_series(&f.p),
        "c_per_s": of_series(&f.c),
        "l_per_s": rounded(l),
        "async_of_l": rounded(f.peak(Traffic::Async) / l),
        "mix_of_l": rounded(f.peak(Traffic::Mix) / l),
        "cpu_ratio": rounded(f.cpu_ratio()),
        "cpu_s_per_million": { "h": by_name(&f.h_cpu()), "p": by_name(&f.p_cpu()) },
        "load": f.cells.iter().map(cell).collect::<Vec<_>>(),
        "wait_beside_bare": {
            "rate_per_s": f.wait_rate.map(rounded),
            "wait_ms": times(f.wait_times()),
            "bare_round_trip_ms": times(f.bare_times()),
        },
        "memory_mib": by_name(&f.memory),
        "generator_percent_of_a_core": f.generator_shares().map(rounded),
        "checks": checks(&f.checks),
    })
}

/// One kind of load, put on in one way.
pub(crate) fn cell(cell: &Cell) -> Value {
    let costs = Costs::of(cell);
    let mut object = json!({
        "traffic": cell.traffic.name(),
        "accepted_per_s": rounded(costs.accepted),
        "recorded_per_s": rounded(costs.ended),
        "spread": rounded(costs.spread),
        "answer_ms": times(costs.answer),
        "accept_to_commit_ms": times(costs.commit),
        "transaction_ms": rounded(median(&cell.each(|run| run.batches.transaction_ms))),
        "cpu_s_per_million": by_name(&costs.cpu),
        "wal_bytes_per_lead": rounded(costs.wal),
        "rabbitmq_bytes_per_lead": rounded(costs.rabbitmq),
        "leads_per_transaction": rounded(costs.recorded_at_once),
        "requests_per_look_up": rounded(costs.resolved_at_once),
    });
    if let Some(object) = object.as_object_mut() {
        match cell.how {
            How::Closed(connections) => object.insert("connections".to_owned(), json!(connections)),
            How::Open { share, rate } => {
                object.insert("share_of_peak".to_owned(), rounded(share));
                object.insert("rate_per_s".to_owned(), rounded(rate))
            }
        };
    }
    object
}

fn times(times: Times) -> Value {
    json!({ "p50": rounded(times.p50), "p99": rounded(times.p99), "p99_9": rounded(times.p999) })
}

fn by_name(figures: &Cpu) -> Value {
    figures.iter().map(|(name, figure)| (name.clone(), rounded(*figure))).collect::<Map<_, _>>().into()
}

fn checks(lines: &[Line]) -> Value {
    lines.iter().map(|(met, what)| (what.clone(), json!(met))).collect::<Map<_, _>>().into()
}
