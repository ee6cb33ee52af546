//! The run: set-up, interleaved rounds, clean-up.
//!
//! Rounds go through all parts in turn instead of one part at a time, so that a machine that slows
//! down slows down for all of them.
//!
//! **Invariant:** databases and queues made here are removed, also after a failure or Ctrl-C.

use std::time::Duration;

use crate::args::{Args, Part};
use crate::bare::{Bare, Plan};
use crate::limit::Limit;
use crate::load::Load;
use crate::ours::Ours;
use crate::proc::{self, Watched};
use crate::queues::Queues;
use crate::report::{Figures, Report};
use crate::scratch::{Scratch, Seeds};
use crate::{Outcome, backlog, stats, tenants};

/// `wait` requests per second in the paced half of the latency measurement.
const PACE: f64 = 50.0;

/// Everything a run stands on.
struct Ground {
    seeds: Seeds,
    bare_base: Scratch,
    bare_queues: Queues,
    ours_base: Scratch,
    ours_queues: Queues,
}

/// Measures, prints, and says whether every target is met.
pub(crate) fn run(args: &Args) -> Outcome<bool> {
    if args.database_url.is_empty() || args.amqp_url.is_empty() {
        return Err("DATABASE_URL and AMQP_URL must name the engines; `deploy/dev bench` sets them".into());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let ground = Ground::prepare(args).await?;
        if matches!(args.only, Some(Part::Backlog | Part::Tenants)) {
            return ground.special(args).await;
        }
        let measured = tokio::select! {
            measured = ground.measure(args) => measured,
            _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
        };
        let cleared = ground.clear().await;
        let figures = measured?;
        cleared?;
        Report::new(args, &figures).conclude()
    })
}

impl Ground {
    async fn prepare(args: &Args) -> Outcome<Self> {
        let seeds = Seeds::new("bench")?;
        let bare_base = Scratch::create(&args.database_url, "bare", &seeds).await?;
        let ours_base = match Scratch::create(&args.database_url, "ours", &seeds).await {
            Ok(base) => base,
            Err(error) => {
                bare_base.remove().await?;
                return Err(error);
            }
        };
        Ok(Self {
            seeds,
            bare_base,
            bare_queues: Queues::new(&args.amqp_url, "bare"),
            ours_base,
            ours_queues: Queues::new(&args.amqp_url, "ours"),
        })
    }

    /// The parts that are runs of their own.
    async fn special(&self, args: &Args) -> Outcome<bool> {
        let part = async {
            let engines = self.engines_after_declaring().await?;
            let on = (&self.ours_base, &self.ours_queues, &self.seeds);
            if args.only == Some(Part::Tenants) {
                return tenants::run(args, on, engines).await;
            }
            let bare = Bare { scratch: &self.bare_base, queues: &self.bare_queues, seeds: &self.seeds };
            backlog::run(args, &bare, on, engines).await
        };
        let met = tokio::select! {
            met = part => met,
            _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
        };
        self.clear().await?;
        met
    }

    async fn engines_after_declaring(&self) -> Outcome<Vec<(String, Watched)>> {
        self.bare_queues.declare().await?;
        self.engines().await
    }

    async fn clear(&self) -> Outcome<()> {
        let ended = [
            self.bare_queues.remove().await,
            self.ours_queues.remove().await,
            self.bare_base.remove().await,
            self.ours_base.remove().await,
        ];
        ended.into_iter().collect()
    }

    /// All rounds, then the checks of what Leadline leaves behind.
    async fn measure(&self, args: &Args) -> Outcome<Figures> {
        let seconds = f64::from(args.seconds);
        let mut figures = Figures::default();
        let engines = self.engines_after_declaring().await?;
        let bare = Bare { scratch: &self.bare_base, queues: &self.bare_queues, seeds: &self.seeds };
        println!("set-up");
        let limit =
            if args.wants(Part::H) { Some(Limit::start(&self.seeds, args.connections, 1.5).await?) } else { None };
        let plan = if args.wants(Part::P) || args.wants(Part::C) { Some(bare.sweep().await?) } else { None };
        let mut ours = if args.wants(Part::Ours) || args.wants(Part::Wait) {
            Some(self.start_ours(args, engines.clone()).await?)
        } else {
            None
        };
        for round in 1..=args.rounds {
            if let Some(limit) = &limit {
                figures.h.push(limit.measure(seconds / 2.0).await?);
            }
            if let Some((plan, rate)) = plan {
                self.bare_loop(args, &bare, (plan, rate * seconds / 2.0), &engines, &mut figures).await?;
            }
            if let Some(ours) = ours.as_ref().filter(|_| args.wants(Part::Ours)) {
                figures.ours.push(ours.measure(seconds).await?);
            }
            if let Some(ours) = ours.as_ref().filter(|_| args.wants(Part::Wait)) {
                latencies(ours, &bare, seconds / 3.0, &mut figures).await?;
            }
            println!("{}", figures.line(round));
        }
        if let Some(ours) = &mut ours {
            figures.memory_mib = Some(ours.memory_mib());
            let stopped = ours.stop().await.err().map_or("leadline stopped cleanly".to_owned(), |e| e.to_string());
            figures.checks.push((stopped.ends_with("cleanly"), stopped));
            figures.checks.push((ours.check_diary().await?, "the diary's books balance".to_owned()));
        }
        Ok(figures)
    }

    async fn bare_loop(
        &self,
        args: &Args,
        bare: &Bare<'_>,
        (plan, count): (Plan, f64),
        engines: &[(String, Watched)],
        figures: &mut Figures,
    ) -> Outcome<()> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of messages")]
        let count = count as usize;
        if args.wants(Part::P) {
            let watched: Vec<(String, Watched)> =
                engines.iter().cloned().chain([("bare loop".to_owned(), Watched::One(std::process::id()))]).collect();
            let before = proc::cpu(&watched);
            figures.p.push(bare.through(plan, count).await?);
            figures.p_cpu.push((proc::between(&before, &proc::cpu(&watched)), count));
        }
        if args.wants(Part::C) {
            figures.c.push(bare.drain(plan, count).await?);
        }
        Ok(())
    }

    async fn start_ours(&self, args: &Args, engines: Vec<(String, Watched)>) -> Outcome<Ours<'_>> {
        let on = (&self.ours_base, &self.ours_queues, &self.seeds);
        let ours = Ours::start(on, &args.amqp_url, args.connections, args.split, engines).await?;
        let warm = ours.measure(1.0).await?;
        println!("  leadline is ready; warm-up recorded {} leads", warm.rows);
        Ok(ours)
    }

    /// The engines' processes, as far as they run here and may be looked at.
    async fn engines(&self) -> Outcome<Vec<(String, Watched)>> {
        let rabbit = self.bare_queues.port().and_then(proc::listener);
        let postgres = proc::parent(self.bare_base.backend().await?);
        let rabbit = rabbit.map(|pid| ("rabbitmq".to_owned(), Watched::One(pid)));
        let postgres = postgres.map(|pid| ("postgres".to_owned(), Watched::Family(pid)));
        Ok(rabbit.into_iter().chain(postgres).collect())
    }
}

/// `wait` answers and bare round trips, each in a closed loop and paced, side by side.
async fn latencies(ours: &Ours<'_>, bare: &Bare<'_>, seconds: f64, figures: &mut Figures) -> Outcome<()> {
    let answered = |load: Load| match load.trouble() {
        Some(trouble) => Err(format!("wait requests {trouble}")),
        None => Ok(load.p50_ms),
    };
    let settle = Duration::from_millis(200);
    tokio::time::sleep(settle).await;
    figures.bare_rtt.push(stats::median(&bare.round_trips(seconds, 0.0).await?));
    tokio::time::sleep(settle).await;
    figures.wait.push(answered(ours.wait(seconds, 0.0).await?)?);
    figures.bare_rtt_paced.push(stats::median(&bare.round_trips(seconds / 2.0, PACE).await?));
    figures.wait_paced.push(answered(ours.wait(seconds / 2.0, PACE).await?)?);
    Ok(())
}
