//! What changed between two looks at the processes.
//!
//! Enters: the pages of all processes, with the time of the look. Leaves: a [`View`]: rates of what was counted since the look
//! before, and what stands now.
//!
//! **Invariant:** a counter that went back is that of a process started anew: what it shows is all there is.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, Utc};

use super::page::Page;
use super::quantile::quantile;
use super::view::{Engine, Member, Row, Shard, View};

/// Depths that are remembered of each queue: a look a column.
const REMEMBERED: usize = 256;

const QUEUES: [&str; 6] = ["s00", "s01", "s02", "s03", "wait", "dead"];
const MODES: [&str; 3] = ["async", "wait", "deferred"];
pub(super) const ANSWERS: [&str; 4] = ["accepted", "duplicate", "refused", "unavailable"];
pub(super) const ENDINGS: [&str; 5] = ["recorded", "deferred", "duplicate", "rejected", "parked"];

/// The processes, as they were at the last two looks.
#[derive(Debug)]
pub struct Watch {
    processes: Vec<Process>,
    depths: BTreeMap<&'static str, VecDeque<u64>>,
    seconds: f64,
    moment: DateTime<Utc>,
}

#[derive(Debug)]
struct Process {
    url: String,
    now: Result<Page, String>,
    /// The last page that could be had before.
    before: Option<(Page, f64)>,
    at: f64,
}

impl Watch {
    /// Nothing was looked at yet.
    #[must_use]
    pub fn new(urls: &[String]) -> Self {
        let process =
            |url: &String| Process { url: url.clone(), now: Err("not asked yet".to_owned()), before: None, at: 0.0 };
        Self {
            processes: urls.iter().map(process).collect(),
            depths: BTreeMap::new(),
            seconds: 0.0,
            moment: Utc::now(),
        }
    }

    /// Takes a look: a page, or why there is none, for each process in its order. `seconds` is of a clock that never goes
    /// back, `moment` the time of day.
    pub fn look(&mut self, seconds: f64, moment: DateTime<Utc>, pages: Vec<Result<String, String>>) {
        for (process, page) in self.processes.iter_mut().zip(pages) {
            let page = page.map(|text| Page::read(&text)).and_then(|page| {
                if page.is_empty() { Err("no metrics are served there".to_owned()) } else { Ok(page) }
            });
            if let Ok(last) = std::mem::replace(&mut process.now, page) {
                process.before = Some((last, process.at));
            }
            process.at = seconds;
        }
        (self.seconds, self.moment) = (seconds, moment);
        for queue in QUEUES {
            let depth = self.most("leadline_queue_messages", &[("queue", queue)]);
            let history = self.depths.entry(queue).or_default();
            if history.len() == REMEMBERED {
                history.pop_front();
            }
            history.push_back(depth.unwrap_or(0.0) as u64);
        }
    }

    /// What there is to be seen.
    #[must_use]
    pub fn view(&self) -> View {
        let rows = |metric: &str, label: &str, words: &[&str]| {
            let row = |mode: &str| {
                let rate = |word: &&str| self.rate(metric, &[("mode", mode), (label, *word)]);
                Row { mode: mode.to_owned(), rates: words.iter().map(rate).collect() }
            };
            MODES.map(row).to_vec()
        };
        View {
            moment: self.moment,
            answers: rows("leadline_answers_total", "answer", &ANSWERS),
            endings: rows("leadline_deliveries_total", "ending", &ENDINGS),
            direct: self.rate("leadline_direct_leads_total", &[]),
            answer: self.quantiles("leadline_answer_seconds_bucket"),
            commit: self.quantiles("leadline_accept_to_commit_seconds_bucket"),
            oldest: self.oldest(),
            in_flight: self.total("leadline_in_flight_requests", &[]),
            waiters: self.total("leadline_waiters", &[]),
            in_hand: self.total("leadline_deliveries_in_hand", &[]),
            parked: self.most("leadline_parked_leads", &[]),
            buried: self.most("leadline_buried_leads", &[("state", "waiting")]),
            engines: ["postgres", "rabbitmq"].map(|name| self.engine(name)).to_vec(),
            breakers: (self.total("leadline_breaker_open", &[]) as usize, self.having("leadline_breaker_open")),
            shards: QUEUES.map(|queue| self.shard(queue)).to_vec(),
            members: self.processes.iter().map(member).collect(),
        }
    }

    fn pages(&self) -> impl Iterator<Item = &Page> {
        self.processes.iter().filter_map(|process| process.now.as_ref().ok())
    }

    fn total(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.pages().filter_map(|page| page.sum(name, labels)).sum()
    }

    /// What every process says of the same thing, each as it last heard.
    fn most(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.pages().filter_map(|page| page.sum(name, labels)).reduce(f64::max)
    }

    fn having(&self, name: &str) -> usize {
        self.pages().filter(|page| page.sum(name, &[]).is_some()).count()
    }

    fn rate(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.processes.iter().map(|process| process.rate(name, labels)).sum()
    }

    /// The median and the 99th percentile of what was observed since the look before.
    fn quantiles(&self, name: &str) -> Option<(f64, f64)> {
        let mut buckets: BTreeMap<u64, f64> = BTreeMap::new();
        for process in &self.processes {
            let Ok(page) = &process.now else { continue };
            for series in page.of(name) {
                let bound: f64 = series.label("le").parse().unwrap_or(f64::INFINITY);
                let labels = [("le", series.label("le")), ("mode", series.label("mode"))];
                // Bounds are positive, and the bits of positive numbers are in their order.
                *buckets.entry(bound.to_bits()).or_default() += process.grown(name, &labels);
            }
        }
        let buckets: Vec<(f64, f64)> = buckets.into_iter().map(|(bits, count)| (f64::from_bits(bits), count)).collect();
        Some((quantile(&buckets, 0.5)?, quantile(&buckets, 0.99)?))
    }

    /// Seconds since the oldest lead that a worker holds was accepted; `None` when nobody tells.
    fn oldest(&self) -> Option<f64> {
        let name = "leadline_oldest_lead_accepted_timestamp_seconds";
        let now = self.moment.timestamp_millis() as f64 / 1000.0;
        let held = self.pages().flat_map(|page| page.of(name)).map(|series| series.value);
        held.map(|accepted| if accepted > 0.0 { (now - accepted).max(0.0) } else { 0.0 }).reduce(f64::max)
    }

    fn engine(&self, name: &str) -> Engine {
        let told: Vec<f64> =
            self.pages().filter_map(|page| page.sum("leadline_engine_up", &[("engine", name)])).collect();
        Engine { name: name.to_owned(), up: told.iter().filter(|up| **up > 0.0).count(), told: told.len() }
    }

    fn shard(&self, queue: &'static str) -> Shard {
        let history = self.depths.get(queue).map(|depths| depths.iter().copied().collect()).unwrap_or_default();
        Shard {
            queue: queue.to_owned(),
            depth: self.most("leadline_queue_messages", &[("queue", queue)]),
            consumers: self.most("leadline_queue_consumers", &[("queue", queue)]),
            history,
        }
    }
}

impl Process {
    /// By how much a counter grew since the look before.
    fn grown(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let (Ok(page), Some((before, _))) = (&self.now, &self.before) else { return 0.0 };
        let (now, before) = (page.sum(name, labels).unwrap_or(0.0), before.sum(name, labels).unwrap_or(0.0));
        if now < before { now } else { now - before }
    }

    fn rate(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        match &self.before {
            Some((_, at)) if self.at > *at => self.grown(name, labels) / (self.at - at),
            _ => 0.0,
        }
    }
}

fn member(process: &Process) -> Member {
    let page = process.now.as_ref().ok();
    let info = page.and_then(|page| page.of("leadline_build_info").next());
    let pool = |name: &str| page.is_some_and(|page| page.sum("leadline_pool_connections", &[("pool", name)]).is_some());
    let role = match (info.map(|info| info.label("role")).filter(|role| !role.is_empty()), pool("api"), pool("worker"))
    {
        (Some(role), ..) => role,
        (None, true, true) => "all",
        (None, true, false) => "api",
        (None, false, true) => "worker",
        (None, false, false) => "",
    };
    let used = page.and_then(|page| page.sum("leadline_pool_connections", &[("state", "used")]));
    Member {
        url: process.url.clone(),
        role: role.to_owned(),
        version: info.map(|info| info.label("version")).unwrap_or_default().to_owned(),
        answered: process.rate("leadline_answers_total", &[]),
        ended: process.rate("leadline_deliveries_total", &[]) + process.rate("leadline_direct_leads_total", &[]),
        connections: used,
        away: process.now.as_ref().err().cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(accepted: u32, depth: u32, oldest: f64) -> Result<String, String> {
        Ok(format!(
            "leadline_answers_total{{mode=\"async\",answer=\"accepted\"}} {accepted}\nleadline_breaker_open 0\n\
             leadline_queue_messages{{queue=\"s01\"}} {depth}\nleadline_engine_up{{engine=\"postgres\"}} 1\n\
             leadline_pool_connections{{pool=\"api\",state=\"used\"}} 2\n\
             leadline_oldest_lead_accepted_timestamp_seconds{{lane=\"shards\"}} {oldest}\n"
        ))
    }

    #[test]
    fn rates_are_what_was_counted_between_two_looks() {
        let urls = ["a".to_owned(), "b".to_owned()];
        let (mut watch, moment) = (Watch::new(&urls), DateTime::from_timestamp(1_700_000_100, 0).unwrap());
        watch.look(10.0, moment, vec![page(100, 7, 0.0), page(1000, 5, 0.0)]);
        assert_eq!(watch.view().answers[0].rates[0], 0.0);
        watch.look(12.0, moment, vec![page(150, 9, 1_700_000_090.0), page(1100, 8, 0.0)]);
        let view = watch.view();
        assert_eq!(view.answers[0].rates, [75.0, 0.0, 0.0, 0.0]);
        assert_eq!((view.shards[1].depth, view.shards[1].history.clone()), (Some(9.0), vec![7, 9]));
        assert_eq!((view.oldest, view.breakers, view.members[0].role.as_str()), (Some(10.0), (0, 2), "api"));
        assert_eq!((view.engines[0].up, view.engines[0].told, view.engines[1].told), (2, 2, 0));
    }

    #[test]
    fn a_process_that_started_anew_counts_from_nothing_and_one_that_is_away_not_at_all() {
        let (mut watch, moment) = (Watch::new(&["a".to_owned()]), Utc::now());
        watch.look(0.0, moment, vec![page(100, 0, 0.0)]);
        watch.look(1.0, moment, vec![page(30, 0, 0.0)]);
        assert_eq!(watch.view().answers[0].rates[0], 30.0);
        watch.look(2.0, moment, vec![Err("refused".to_owned())]);
        assert_eq!(
            (watch.view().answers[0].rates[0], watch.view().members[0].away.clone()),
            (0.0, Some("refused".to_owned()))
        );
        watch.look(4.0, moment, vec![page(90, 0, 0.0)]);
        assert_eq!(watch.view().answers[0].rates[0], 20.0);
        watch.look(5.0, moment, vec![Ok("<html>".to_owned())]);
        assert!(watch.view().members[0].away.is_some());
    }
}
