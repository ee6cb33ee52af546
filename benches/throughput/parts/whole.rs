//! The whole run: H, P, C, Leadline under every kind of load, and `wait` beside the bare round trip.
//!
//! Rounds go through all of it in turn instead of one thing at a time, so that a machine that slows down
//! slows down for all. The rates of the open loops are shares of what the first round's closed loops
//! reached, and the same in every round.
//!
//! **Invariant:** what `--only` or `--modes` leave out is not measured, and then no target is judged.

use crate::Outcome;
use crate::args::{Args, Part};
use crate::ground::Ground;
use crate::ground::proc::{self, Watched};
use crate::limit::{Bare, Limit, Plan};
use crate::load::{Job, Traffic};
use crate::ours::Ours;
use crate::report::{self, Figures, How};

use super::layout;
use super::stretches::{PLENTY, Tally};

/// Seconds of each variant of H in the set-up.
const TRIED_S: f64 = 0.8;
/// Share of the `wait` peak at which it is held against the bare round trip.
const WAIT_SHARE: f64 = 0.2;

/// Measures, prints, and says whether every target is met.
pub(super) async fn run(args: &Args, ground: &Ground) -> Outcome<bool> {
    let mut run = Run { args, ground, bare: Bare::on(ground), figures: Figures::default(), tally: Tally::default() };
    eprintln!("set-up");
    let limit = match args.wants(Part::H) {
        true => Some(Limit::start(&ground.seeds, &args.connections(), TRIED_S).await?),
        false => None,
    };
    let plan = match args.wants(Part::P) || args.wants(Part::C) {
        true => Some(run.bare.sweep(args.quick).await?),
        false => None,
    };
    let mut ours = match args.wants(Part::Ours) || args.wants(Part::Wait) {
        true => Some(run.start().await?),
        false => None,
    };
    for round in 1..=args.rounds() {
        eprintln!("round {round} of {}", args.rounds());
        if let Some(limit) = &limit {
            run.figures.h.push(limit.measure(args.seconds()).await?);
        }
        if let Some(plan) = plan {
            run.bare_loop(plan).await?;
        }
        eprintln!("{}", run.figures.line());
        if let Some(ours) = &ours {
            run.closed(ours).await?;
            if args.wants(Part::Wait) && args.traffic().contains(&Traffic::Wait) {
                run.wait(ours).await?;
            }
            if args.wants(Part::Ours) {
                run.open(ours).await?;
            }
        }
    }
    let Run { mut figures, tally, .. } = run;
    if let Some(ours) = &mut ours {
        figures.memory = ours.memory();
        figures.memory.insert("generator".to_owned(), figures.generator_mib());
        let stopped = ours.stop().await.err().map_or("leadline stopped cleanly".to_owned(), |e| e.to_string());
        figures.checks = tally.lines();
        figures.checks.push((stopped.ends_with("cleanly"), stopped));
    }
    report::conclude(args, &figures).map(|met| if args.quick { tally.is_clean() } else { met })
}

struct Run<'a> {
    args: &'a Args,
    ground: &'a Ground,
    bare: Bare<'a>,
    figures: Figures,
    tally: Tally,
}

impl<'a> Run<'a> {
    /// Starts Leadline and lets every path of it run once.
    async fn start(&mut self) -> Outcome<Ours<'a>> {
        let ours = Ours::start(self.ground, &self.args.amqp_url, layout(self.args)).await?;
        ours.fresh().await?;
        let warm = Job { traffic: Traffic::Mix, ..ours.job(&self.ground.seeds, 64) };
        self.tally.run(&ours, &warm).await?;
        self.tally.check(&ours).await?;
        eprintln!("  leadline is ready and warm");
        Ok(ours)
    }

    async fn bare_loop(&mut self, (plan, rate): (Plan, f64)) -> Outcome<()> {
        let count = (rate * self.args.seconds()) as usize;
        if self.args.wants(Part::P) {
            let own = [("bare loop".to_owned(), Watched::One(std::process::id()))];
            let watched: Vec<_> = self.ground.engines.watched().into_iter().chain(own).collect();
            let before = proc::cpu(&watched);
            self.figures.p.push(self.bare.through(plan, count).await?);
            self.figures.p_cpu.push((proc::between(&before, &proc::cpu(&watched)), count));
        }
        if self.args.wants(Part::C) {
            self.figures.c.push(self.bare.drain(plan, count).await?);
        }
        Ok(())
    }

    /// Every kind of load with every number of connections, as fast as it goes.
    async fn closed(&mut self, ours: &Ours<'_>) -> Outcome<()> {
        let kinds = self.args.traffic();
        for connections in self.args.connections() {
            for traffic in &kinds {
                let job = Job { seconds: self.args.seconds(), traffic: *traffic, ..self.job(ours, connections) };
                // Follow-ups need the rows of the deferred leads before them.
                if *traffic != Traffic::FollowUp || !kinds.contains(&Traffic::Deferred) {
                    ours.fresh().await?;
                }
                if *traffic == Traffic::FollowUp && !kinds.contains(&Traffic::Deferred) {
                    let before = Job { traffic: Traffic::Deferred, ..job.clone() };
                    self.tally.run(ours, &before).await?;
                }
                let stretch = self.tally.run(ours, &job).await?;
                if *traffic != Traffic::Deferred || !kinds.contains(&Traffic::FollowUp) {
                    self.tally.check(ours).await?;
                }
                self.figures.note(*traffic, How::Closed(connections), stretch);
            }
            eprintln!("{}", self.figures.line_of(connections));
        }
        Ok(())
    }

    /// Every kind of load at fixed rates, the same in every round.
    async fn open(&mut self, ours: &Ours<'_>) -> Outcome<()> {
        for traffic in self.args.traffic() {
            for share in self.args.shares() {
                let rate = self.figures.rate(traffic, *share);
                let job = Job { seconds: self.args.seconds(), traffic, rate, ..self.job(ours, PLENTY) };
                ours.fresh().await?;
                if traffic == Traffic::FollowUp {
                    let count = (rate * self.args.seconds()).ceil() as u64;
                    self.tally.defer(ours, &job, count).await?;
                }
                let stretch = self.tally.run(ours, &job).await?;
                self.tally.check(ours).await?;
                self.figures.note(traffic, How::Open { share: *share, rate }, stretch);
            }
        }
        Ok(())
    }

    /// `wait` beside the bare round trip, both at the same rate.
    async fn wait(&mut self, ours: &Ours<'_>) -> Outcome<()> {
        let rate = *self.figures.wait_rate.get_or_insert(WAIT_SHARE * self.figures.peak(Traffic::Wait));
        let seconds = 2.0 * self.args.seconds();
        ours.fresh().await?;
        self.figures.bare.push(self.bare.round_trips(seconds, rate).await?);
        let job = Job { seconds, traffic: Traffic::Wait, rate, ..self.job(ours, PLENTY) };
        self.figures.wait.push(self.tally.run(ours, &job).await?.load.times);
        self.tally.check(ours).await
    }

    fn job(&self, ours: &Ours<'_>, connections: usize) -> Job {
        ours.job(&self.ground.seeds, connections)
    }
}
