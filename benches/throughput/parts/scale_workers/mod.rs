//! Rising load; workers are added one by one, and removed again when it falls: how long the queues are, how old the oldest
//! lead is, and whether anything was lost. `deploy/dev scale` runs it.
//!
//! It is a part of the benchmark and no bench of its own, because generator, diary, processes, ledger and plots are the same.
//!
//! One worker at full speed records all that the API on the same cores accepts, so each is slowed; by waiting and not by
//! computing, since cores are what one machine cannot add. A trigger lets every recording transaction wait, each for itself and
//! far longer than a disk does for its commit, and a worker has one lane and few leads in a transaction: so it does nothing most
//! of the time, and another one can do as much.
//! It is sent little ahead of its work, so that what piles up waits in the queues, where the next worker finds it. A link's
//! counter is locked until the commit, hence many links: what waits for the same row does not scale.
//!
//! **Invariant:** load and workers follow a plan that was fixed before; nothing that is read decides what happens next.

mod course;
mod steps;

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use serde_json::json;
use tokio::time::sleep_until;
use uuid::Uuid;

use crate::Outcome;
use crate::args::Args;
use crate::ground::{Ground, Seeds, folder_of};
use crate::load::{self, Job, Load, Traffic};
use crate::ours::{Layout, Ours};
use crate::report::{Panel, plot_over_time, rounded, save_in};
use crate::stats::largest;
use crate::targets::{self, Line, verdict};

use super::stretches::Tally;
use course::{Course, Moment, look};
use steps::{Step, steps};

/// How long a recording transaction waits.
const WAIT: Duration = Duration::from_millis(160);
/// Leads in a transaction.
const BATCH: u32 = 16;
const LINKS: usize = 20_000;
const CONNECTIONS: usize = 32;
/// Before it is measured what a worker can do, everything has run once.
const WARM_S: f64 = 0.5;
/// Where the results go, under `target`.
const PLACE: &str = "scale";

/// The settings of a slow worker.
fn slow() -> [(&'static str, String); 3] {
    [
        ("LEADLINE__WORKER__LANES", "1".to_owned()),
        ("LEADLINE__WORKER__BATCH", BATCH.to_string()),
        // Per shard: two batches in all.
        ("LEADLINE__WORKER__PREFETCH", (BATCH / 2).to_string()),
    ]
}

/// Measures, prints, draws, and says whether the targets are met.
pub(super) async fn run(args: &Args, ground: &Ground) -> Outcome<bool> {
    let seeds = Seeds::shaped("scale", LINKS, LINKS, false)?;
    ground.ours_base.settle(&seeds).await?;
    ground.ours_base.slow_down(WAIT).await?;
    let mut tally = Tally::default();
    let mut ours = Ours::start(ground, &args.amqp_url, Layout::Api).await?;
    ours.add_worker(&slow()).await?;
    let capacity = capacity(args, &ours, ground, &seeds, &mut tally).await?;
    let steps = steps(args.seconds());
    let last = steps.last().map_or(0.0, |step| step.to);
    eprintln!("one worker records {capacity:.0} leads/s; now {last:.0} s of load");
    let job = ours.job(&seeds, CONNECTIONS);
    let (began_at, began) = (Utc::now(), Instant::now());
    let (loads, changes, looks) = tokio::try_join!(
        send(&job, &steps, capacity, began),
        conduct(&mut ours, &steps, began),
        look(&ground.ours_queues, began, last),
    )?;
    loads.iter().for_each(|load| tally.note(Traffic::Async, load));
    let accepted = loads.iter().map(Load::ok).sum();
    ours.all_rows(Uuid::nil(), accepted, began_at.into()).await?;
    let course = Course::of(&looks, ground.ours_base.course(began_at).await?);
    tally.check(&ours).await?;
    ours.stop().await?;
    let run = Run { steps, changes, course, capacity };
    run.print();
    run.draw()?;
    let lines: Vec<Line> = run.judged().into_iter().chain(tally.lines()).collect();
    save_in(PLACE, "scale", args, run.json(began_at))?;
    println!("plot:    target/{PLACE}/scale.svg");
    if args.quick {
        println!("\na quick run is a look: only the books decide its exit status");
    }
    Ok(verdict(&lines) || (args.quick && tally.is_clean()))
}

/// Leads per second that one worker records while more than that are waiting.
async fn capacity(args: &Args, ours: &Ours<'_>, ground: &Ground, seeds: &Seeds, tally: &mut Tally) -> Outcome<f64> {
    // It cannot record more than a batch in each wait.
    let most = f64::from(BATCH) / WAIT.as_secs_f64();
    let job = Job { rate: 2.0 * most, ..ours.job(seeds, CONNECTIONS) };
    ours.fresh().await?;
    tally.run(ours, &Job { seconds: WARM_S, ..job.clone() }).await?;
    tally.check_and_empty(ours).await?;
    let began_at = Utc::now();
    tally.run(ours, &Job { seconds: args.seconds(), ..job }).await?;
    let course = Course::of(&[], ground.ours_base.course(began_at).await?);
    tally.check_and_empty(ours).await?;
    Ok(course.steady_per_s())
}

/// Every load from its first second to its last, each by a generator of its own.
async fn send(job: &Job, steps: &[Step], capacity: f64, began: Instant) -> Outcome<Vec<Load>> {
    let stretches = steps.chunk_by(|one, next| one.load == next.load).filter_map(|same| {
        let (first, last) = (same.first()?, same.last()?);
        let job = Job { rate: first.load * capacity, seconds: last.to - first.from, ..job.clone() };
        let due = began + Duration::from_secs_f64(first.from);
        Some(async move {
            sleep_until(due.into()).await;
            load::run(&job).await
        })
    });
    try_join_all(stretches).await
}

/// Adds and removes workers; returns from which second on there were how many.
async fn conduct(ours: &mut Ours<'_>, steps: &[Step], began: Instant) -> Outcome<Vec<(f64, usize)>> {
    let mut workers = 1;
    let mut changes = vec![(0.0, workers)];
    for step in steps {
        sleep_until((began + Duration::from_secs_f64(step.from)).into()).await;
        if step.workers == workers {
            continue;
        }
        while workers < step.workers {
            ours.add_worker(&slow()).await?;
            workers += 1;
        }
        while workers > step.workers {
            ours.remove_worker().await?;
            workers -= 1;
        }
        let at = began.elapsed().as_secs_f64();
        eprintln!("  {at:>5.1} s: {workers} workers");
        changes.push((at, workers));
    }
    Ok(changes)
}

/// What there is to tell.
struct Run {
    steps: Vec<Step>,
    changes: Vec<(f64, usize)>,
    course: Course,
    capacity: f64,
}

impl Run {
    /// Each step with the moment of its end.
    fn ends(&self) -> impl Iterator<Item = (&Step, Moment)> {
        self.steps.iter().filter_map(|step| Some((step, self.course.end_of(step.from, step.to)?)))
    }

    fn print(&self) {
        println!(
            "\none slow worker records {:.0} leads/s; messages, leads and ages at the end of each step\n\n\
             {:>7}{:>9}{:>9}{:>12}{:>10}{:>8}{:>10}",
            self.capacity, "from s", "sent/s", "workers", "recorded/s", "messages", "leads", "oldest s"
        );
        let mut before = 1;
        for (step, Moment { messages, leads, oldest, .. }) in self.ends() {
            let Step { from, to, load, workers } = *step;
            let (sent, recorded) = (load * self.capacity, self.course.recorded_per_s(from, to));
            let remark = match workers.cmp(&before) {
                std::cmp::Ordering::Greater => "  one worker more",
                std::cmp::Ordering::Less => "  one worker less",
                std::cmp::Ordering::Equal if load > workers as f64 => "  more than they can record",
                std::cmp::Ordering::Equal => "",
            };
            println!(
                "{from:>7.0}{sent:>9.0}{workers:>9}{recorded:>12.0}{messages:>10}{leads:>8}{oldest:>10.2}{remark}"
            );
            before = workers;
        }
    }

    fn draw(&self) -> Outcome<()> {
        let flat = |from: f64, to: f64, height: f64| [(from, height), (to, height)];
        let last = self.steps.last().map_or(0.0, |step| step.to);
        let sent = self.steps.iter().flat_map(|step| flat(step.from, step.to, step.load * self.capacity));
        let ends = self.changes.iter().skip(1).map(|(at, _)| *at).chain([last]);
        let able = self.changes.iter().zip(ends);
        let able = able.flat_map(|((from, workers), to)| flat(*from, to, *workers as f64 * self.capacity));
        let seconds = (1..=last as u32).map(f64::from);
        let recorded = seconds.map(|second| (second, self.course.recorded_per_s(second - 1.0, second)));
        let of = |figure: fn(&Moment) -> f64| self.course.moments.iter().map(|m| (m.at, figure(m))).collect::<Vec<_>>();
        let panels = [
            Panel {
                what: "leads per second",
                lines: vec![
                    ("sent", sent.collect()),
                    ("what so many workers can record", able.collect()),
                    ("recorded", recorded.collect()),
                ],
            },
            Panel {
                what: "waiting",
                lines: vec![
                    ("messages ready in the queues", of(|m| f64::from(m.messages))),
                    ("leads not recorded yet", of(|m| m.leads as f64)),
                ],
            },
            Panel { what: "seconds", lines: vec![("age of the oldest lead not recorded yet", of(|m| m.oldest))] },
        ];
        let plural = |workers: usize| if workers == 1 { "1 worker".to_owned() } else { format!("{workers} workers") };
        let events: Vec<_> = self.changes.iter().map(|(at, workers)| (*at, plural(*workers))).collect();
        let title = "load that rises and falls; slow workers, one more when they fall behind, one less when fewer do";
        plot_over_time(&folder_of(PLACE)?.join("scale.svg"), title, &panels, &events)
    }

    /// Whether workers that came brought the age down, and it stayed down when they went.
    fn judged(&self) -> Vec<Line> {
        let ends: Vec<(&Step, Moment)> = self.ends().collect();
        let pairs = || ends.iter().zip(ends.iter().skip(1));
        let added = pairs().filter(|((before, _), (step, _))| step.workers > before.workers);
        let added = largest(added.map(|((_, before), (_, after))| after.oldest / before.oldest));
        let highest = largest(ends.iter().map(|(_, end)| end.oldest));
        let fewer = pairs().skip_while(|((before, _), (step, _))| step.workers >= before.workers);
        let fewer = largest(fewer.map(|(_, (_, end))| end.oldest / highest));
        vec![targets::WORKER_ADDED.judge(added), targets::WORKER_GONE.judge(fewer)]
    }

    fn json(&self, began_at: DateTime<Utc>) -> serde_json::Value {
        let steps = self.ends().map(|(step, end)| {
            json!({
                "from_s": rounded(step.from), "to_s": rounded(step.to), "workers": step.workers,
                "sent_per_s": rounded(step.load * self.capacity),
                "recorded_per_s": rounded(self.course.recorded_per_s(step.from, step.to)),
                "messages": end.messages, "leads_waiting": end.leads, "oldest_s": rounded(end.oldest),
            })
        });
        let moments = self.course.moments.iter();
        let moments = moments.map(|m| json!([rounded(m.at), m.messages, m.leads, rounded(m.oldest)]));
        json!({
            "began": began_at, "one_worker_per_s": rounded(self.capacity), "steps": steps.collect::<Vec<_>>(),
            "moments_s_messages_leads_oldest_s": moments.collect::<Vec<_>>(),
        })
    }
}
