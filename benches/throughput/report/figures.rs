//! What the rounds of the whole run measured, and what follows from it.
//!
//! Enters: stretches, as they are measured. Leaves: medians.
//!
//! **Invariant:** medians are over rounds; nothing is averaged across different kinds of load.

use crate::ground::proc::{Cpu, Memory, mib, per_item};
use crate::limit::Served;
use crate::load::Traffic;
use crate::ours::Stretch;
use crate::stats::{Times, largest, median};
use crate::targets::Line;

/// How load was put on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum How {
    /// As fast as so many connections go.
    Closed(usize),
    /// So many requests per second, which is such a share of the peak.
    Open { share: f64, rate: f64 },
}

/// One kind of load, put on in one way, in every round.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) traffic: Traffic,
    pub(crate) how: How,
    pub(crate) runs: Vec<Stretch>,
}

impl Cell {
    /// One figure of every run.
    pub(crate) fn each(&self, figure: impl Fn(&Stretch) -> f64) -> Vec<f64> {
        self.runs.iter().map(figure).collect()
    }

    /// Leads ended per second.
    pub(crate) fn ended_per_s(&self) -> f64 {
        median(&self.each(|run| run.ended_per_s))
    }

    /// The answers' times, and those from accept to commit.
    pub(crate) fn times(&self) -> [Times; 2] {
        let of = |times: fn(&Stretch) -> Times| Times::medians(&self.runs.iter().map(times).collect::<Vec<_>>());
        [of(|run| run.load.times), of(|run| run.commit)]
    }

    /// CPU seconds per million leads, by process.
    pub(crate) fn cpu(&self) -> Cpu {
        per_item(&self.runs.iter().map(|run| (&run.cpu, run.ended as f64)).collect::<Vec<_>>())
    }

    /// Bytes per lead: write-ahead log, RabbitMQ's writes.
    pub(crate) fn bytes(&self) -> [f64; 2] {
        let wal = median(&self.each(|run| run.wal / run.ended as f64));
        let rabbitmq: Option<Vec<f64>> = self.runs.iter().map(|run| Some(run.rabbitmq? / run.ended as f64)).collect();
        [wal, rabbitmq.map_or(f64::NAN, |each| median(&each))]
    }
}

/// What the rounds measured.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) h: Vec<Served>,
    pub(crate) p: Vec<f64>,
    pub(crate) p_cpu: Vec<(Cpu, usize)>,
    pub(crate) c: Vec<f64>,
    pub(crate) cells: Vec<Cell>,
    /// `wait` and the bare round trip, both at this many requests per second.
    pub(crate) wait: Vec<Times>,
    pub(crate) bare: Vec<Times>,
    pub(crate) wait_rate: Option<f64>,
    pub(crate) memory: Memory,
    /// What must hold besides the figures, and whether it does.
    pub(crate) checks: Vec<Line>,
}

impl Figures {
    /// Takes in one stretch.
    pub(crate) fn note(&mut self, traffic: Traffic, how: How, stretch: Stretch) {
        let cell = self.cells.iter_mut().find(|cell| cell.traffic == traffic && cell.how == how);
        match cell {
            Some(cell) => cell.runs.push(stretch),
            None => self.cells.push(Cell { traffic, how, runs: vec![stretch] }),
        }
    }

    /// The closed loop in which this kind of load got furthest.
    pub(crate) fn best(&self, traffic: Traffic) -> Option<&Cell> {
        let closed = self.cells.iter().filter(|cell| cell.traffic == traffic && matches!(cell.how, How::Closed(_)));
        closed.max_by(|a, b| a.ended_per_s().total_cmp(&b.ended_per_s()))
    }

    /// The most leads of a kind that ended per second.
    pub(crate) fn peak(&self, traffic: Traffic) -> f64 {
        self.best(traffic).map_or(f64::NAN, Cell::ended_per_s)
    }

    /// The rate of an open loop: decided once, by the peak as it stands then.
    pub(crate) fn rate(&self, traffic: Traffic, of_peak: f64) -> f64 {
        let decided = self.cells.iter().find_map(|cell| match cell.how {
            How::Open { share, rate } if cell.traffic == traffic && share == of_peak => Some(rate),
            _ => None,
        });
        decided.unwrap_or_else(|| of_peak * self.peak(traffic))
    }

    pub(crate) fn h_per_s(&self) -> Vec<f64> {
        self.h.iter().map(|served| served.load.per_s()).collect()
    }

    /// What a bare server and a bare loop would do together.
    pub(crate) fn l(&self) -> f64 {
        1.0 / (1.0 / median(&self.h_per_s()) + 1.0 / median(&self.p))
    }

    pub(crate) fn h_cpu(&self) -> Cpu {
        per_item(&self.h.iter().map(|h| (&h.cpu, h.load.ok() as f64)).collect::<Vec<_>>())
    }

    pub(crate) fn p_cpu(&self) -> Cpu {
        per_item(&self.p_cpu.iter().map(|(cpu, count)| (cpu, *count as f64)).collect::<Vec<_>>())
    }

    /// What the limit's parts cost together, as a share of what an async lead costs us: the ratio as it would be if both
    /// kept all cores busy. NaN when an engine's processes cannot be seen.
    pub(crate) fn cpu_ratio(&self) -> f64 {
        let ours = self.best(Traffic::Async).map(Cell::cpu).unwrap_or_default();
        let sum = |cpu: Cpu| if cpu.is_empty() { f64::NAN } else { cpu.values().sum::<f64>() };
        (sum(self.h_cpu()) + sum(self.p_cpu())) / sum(ours)
    }

    pub(crate) fn wait_times(&self) -> Times {
        Times::medians(&self.wait)
    }

    pub(crate) fn bare_times(&self) -> Times {
        Times::medians(&self.bare)
    }

    /// The largest share of one core that the generator took, in percent, under H and under Leadline.
    pub(crate) fn generator_shares(&self) -> [f64; 2] {
        let h = self.h.iter().map(|h| h.load.cpu_s / h.load.took_s);
        let ours = self.cells.iter().flat_map(|cell| &cell.runs).map(|run| run.load.cpu_s / run.load.took_s);
        [100.0 * largest(h), 100.0 * largest(ours)]
    }

    /// What the last stretches with so many connections reached, in one line.
    pub(crate) fn line_of(&self, connections: usize) -> String {
        let of_them = self.cells.iter().filter(|cell| cell.how == How::Closed(connections));
        let words = of_them.filter_map(|cell| {
            let rate = cell.runs.last()?.ended_per_s;
            Some(format!("  {} {rate:.0}/s", cell.traffic.name()))
        });
        format!("  {connections:>3} conn.:{}", words.collect::<String>())
    }

    /// The largest resident memory of the generator, in MiB.
    pub(crate) fn generator_mib(&self) -> f64 {
        largest(self.cells.iter().flat_map(|cell| &cell.runs).map(|run| mib(run.load.memory)))
    }

    /// The limit as far as this round has measured it, in one line.
    pub(crate) fn line(&self) -> String {
        let last = |name: &str, series: &[f64]| series.last().map_or(String::new(), |x| format!("  {name} {x:.0}/s"));
        [last("H", &self.h_per_s()), last("P", &self.p), last("C", &self.c)].concat()
    }
}
