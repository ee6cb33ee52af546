//! The table for people, the figures for scripts, and the verdict.
//!
//! Enters: what the rounds measured. Leaves: lines on standard output, `target/bench/throughput.json`,
//! and whether every target is met.
//!
//! **Invariant:** a figure that was not measured meets no target; with `--only` no target is judged.

use serde_json::{Value, json};

use crate::args::Args;
use crate::limit::{Served, generator_share};
use crate::load::Load;
use crate::ours::Recorded;
use crate::proc::{Cpu, per_item};
use crate::scratch::folder;
use crate::stats::{median, spread};
use crate::{Outcome, server};

/// Recorded end to end, as a share of L.
const RATIO: f64 = 0.45;
/// `wait` p50 in bare round trips.
const WAIT: f64 = 2.5;
/// Resident memory of API and worker together.
const MEMORY_MIB: f64 = 128.0;

/// What the rounds measured.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) h: Vec<Served>,
    pub(crate) p: Vec<f64>,
    pub(crate) p_cpu: Vec<(Cpu, usize)>,
    pub(crate) c: Vec<f64>,
    pub(crate) ours: Vec<Recorded>,
    pub(crate) wait: Vec<f64>,
    pub(crate) wait_paced: Vec<f64>,
    pub(crate) bare_rtt: Vec<f64>,
    pub(crate) bare_rtt_paced: Vec<f64>,
    pub(crate) memory_mib: Option<f64>,
    /// What must hold besides the figures, and whether it does.
    pub(crate) checks: Vec<(bool, String)>,
}

impl Figures {
    fn h_per_s(&self) -> Vec<f64> {
        self.h.iter().map(|served| served.load.per_s()).collect()
    }

    fn recorded(&self) -> Vec<f64> {
        self.ours.iter().map(|recorded| recorded.per_s).collect()
    }

    fn l(&self) -> f64 {
        1.0 / (1.0 / median(&self.h_per_s()) + 1.0 / median(&self.p))
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    fn h_cpu(&self) -> Cpu {
        per_item(&self.h.iter().map(|h| (&h.cpu, h.load.ok() as f64)).collect::<Vec<_>>())
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of messages")]
    fn p_cpu(&self) -> Cpu {
        per_item(&self.p_cpu.iter().map(|(cpu, count)| (cpu, *count as f64)).collect::<Vec<_>>())
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
    fn ours_cpu(&self) -> Cpu {
        per_item(&self.ours.iter().map(|o| (&o.cpu, o.rows as f64)).collect::<Vec<_>>())
    }

    /// What the limit's parts cost together, as a share of what a lead costs us: the ratio as it would
    /// be if both kept all cores busy. NaN when an engine's processes cannot be seen.
    fn cpu_ratio(&self) -> f64 {
        let parts = [self.h_cpu(), self.p_cpu(), self.ours_cpu()];
        let [h, p, ours] = parts.map(|cpu| if cpu.is_empty() { f64::NAN } else { cpu.values().sum() });
        (h + p) / ours
    }

    fn loads(&self) -> impl Iterator<Item = (&'static str, &Load)> {
        let h = self.h.last().map(|h| ("H", &h.load));
        let ours = self.ours.last().map(|o| ("leadline", &o.load));
        h.into_iter().chain(ours)
    }

    /// The round just ended, in one line.
    pub(crate) fn line(&self, round: u32) -> String {
        let last = |name: &str, series: &[f64], unit: &str, digits: usize| {
            series.last().map_or(String::new(), |x| format!("  {name} {x:.digits$}{unit}"))
        };
        [
            format!("round {round}:"),
            last("H", &self.h_per_s(), "/s", 0),
            last("P", &self.p, "/s", 0),
            last("C", &self.c, "/s", 0),
            last("recorded", &self.recorded(), "/s", 0),
            last("wait p50", &self.wait, " ms", 2),
            last("bare round trip", &self.bare_rtt, " ms", 2),
        ]
        .concat()
    }
}

/// The figures, put together.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    args: &'a Args,
    figures: &'a Figures,
}

impl<'a> Report<'a> {
    /// A report of a run.
    pub(crate) fn new(args: &'a Args, figures: &'a Figures) -> Self {
        Self { args, figures }
    }

    /// Prints and writes everything; true when all targets are met.
    pub(crate) fn conclude(&self) -> Outcome<bool> {
        self.table();
        self.cpu();
        if self.args.only.is_some() {
            return Ok(judge(&self.figures.checks));
        }
        let path = folder()?.join("throughput.json");
        std::fs::write(&path, serde_json::to_string_pretty(&self.json())? + "\n")?;
        println!("\nfigures: target/bench/throughput.json");
        Ok(self.verdict())
    }

    fn table(&self) {
        let f = self.figures;
        println!("\n{:<44}{:>12}{:>10}", "median", "", "spread");
        row("H  bare HTTP server, same body", &f.h_per_s(), "/s", 0);
        row("P  publish, confirm, consume, insert", &f.p, "/s", 0);
        row("C  consume, insert (queue filled before)", &f.c, "/s", 0);
        row("L  = 1/(1/H + 1/P)", &[f.l()], "/s", 0);
        row("recorded end to end, HTTP to commit", &f.recorded(), "/s", 0);
        row("recorded / L", &[median(&f.recorded()) / f.l()], "", 3);
        row("wait p50, closed loop", &f.wait, " ms", 2);
        row("bare round trip p50, closed loop", &f.bare_rtt, " ms", 2);
        row("wait p50, 50 requests/s", &f.wait_paced, " ms", 2);
        row("bare round trip p50, 50/s", &f.bare_rtt_paced, " ms", 2);
        row("leadline's largest resident memory", &f.memory_mib.map_or(vec![], |m| vec![m]), " MiB", 1);
    }

    fn cpu(&self) {
        let f = self.figures;
        println!();
        let shares = [("H", f.h_cpu()), ("P", f.p_cpu()), ("leadline", f.ours_cpu())];
        for (name, cpu) in shares.iter().filter(|(_, cpu)| !cpu.is_empty()) {
            println!("CPU µs each, {name}: {}", microseconds(cpu));
        }
        if !f.cpu_ratio().is_nan() {
            println!(
                "CPU of H and P together / CPU of leadline: {:.3} (other load moves it less than the rates)",
                f.cpu_ratio()
            );
        }
        for (name, load) in f.loads() {
            let share = generator_share(load.cpu_s, load.took_s);
            println!("load generator under {name}: {share:.0} % of one core");
        }
        if let Some(last) = f.ours.last() {
            println!(
                "last round: {} rows, drain {:.2} s, answers p50 {:.1} ms p99 {:.1} ms, body {} bytes (H: {})",
                last.rows,
                last.drain_s,
                last.load.p50_ms,
                last.load.p99_ms,
                last.load.body_bytes,
                server::BODY.len()
            );
        }
        f.ours.iter().filter_map(|r| r.load.trouble()).for_each(|t| println!("attention: {t}"));
    }

    fn verdict(&self) -> bool {
        let f = self.figures;
        let (ratio, slower) = (median(&f.recorded()) / f.l(), median(&f.wait) / median(&f.bare_rtt));
        let memory = f.memory_mib.unwrap_or(f64::NAN);
        let refused = f.ours.iter().any(|recorded| recorded.load.trouble().is_some());
        let lines = [
            (ratio >= RATIO, format!("recorded / L {ratio:.3} (at least {RATIO})")),
            (slower <= WAIT, format!("wait p50 {slower:.2} bare round trips (at most {WAIT})")),
            (memory <= MEMORY_MIB, format!("resident memory {memory:.1} MiB (at most {MEMORY_MIB})")),
            (!refused, "every request answered 200".to_owned()),
        ];
        judge(&lines.into_iter().chain(f.checks.iter().cloned()).collect::<Vec<_>>())
    }

    fn json(&self) -> Value {
        let f = self.figures;
        let recorded = median(&f.recorded());
        json!({
            "h_per_s": round(median(&f.h_per_s())),
            "p_per_s": round(median(&f.p)),
            "c_per_s": round(median(&f.c)),
            "l_per_s": round(f.l()),
            "recorded_per_s": round(recorded),
            "ratio": round(recorded / f.l()),
            "wait_p50_ms": round(median(&f.wait)),
            "bare_rtt_p50_ms": round(median(&f.bare_rtt)),
            "wait_paced_p50_ms": round(median(&f.wait_paced)),
            "bare_rtt_paced_p50_ms": round(median(&f.bare_rtt_paced)),
            "rss_mib": f.memory_mib.map(round),
            "cpu_ratio": round(f.cpu_ratio()),
            "checks": f.checks.iter().map(|(met, what)| (what.clone(), json!(met))).collect::<serde_json::Map<_, _>>(),
            "rounds": self.args.rounds,
            "seconds": self.args.seconds,
            "connections": self.args.connections,
            "spread": {
                "h": round(spread(&f.h_per_s())), "p": round(spread(&f.p)), "c": round(spread(&f.c)),
                "recorded": round(spread(&f.recorded())), "wait": round(spread(&f.wait)),
                "bare_rtt": round(spread(&f.bare_rtt)),
            },
            "cpu_us_each": { "h": shown(&f.h_cpu()), "p": shown(&f.p_cpu()), "leadline": shown(&f.ours_cpu()) },
            "machine": {
                "cores": std::thread::available_parallelism().map_or(0, usize::from),
                "cpu": cpu_model(),
            },
            "date": chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            "commit": commit(),
        })
    }
}

fn row(name: &str, series: &[f64], unit: &str, digits: usize) {
    if series.is_empty() || median(series).is_nan() {
        return;
    }
    let figure = format!("{:.digits$}{unit}", median(series));
    let spread = match series.len() {
        1 => String::new(),
        _ => format!("{:.0} %", 100.0 * spread(series)),
    };
    println!("{name:<44}{figure:>12}{spread:>10}");
}

fn microseconds(cpu: &Cpu) -> String {
    let words: Vec<String> = cpu.iter().map(|(name, us)| format!("{name} {us:.1}")).collect();
    format!("{}; together {:.1}", words.join(", "), cpu.values().sum::<f64>())
}

fn shown(cpu: &Cpu) -> Value {
    cpu.iter().map(|(name, us)| (name.clone(), json!(round(*us)))).collect::<serde_json::Map<_, _>>().into()
}

fn judge(lines: &[(bool, String)]) -> bool {
    println!();
    for (met, line) in lines {
        println!("{} {line}", if *met { "met   " } else { "MISSED" });
    }
    lines.iter().all(|(met, _)| *met)
}

fn round(x: f64) -> f64 {
    (x * 1000.0).round() / 1000.0
}

fn cpu_model() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(": ")?.1.to_owned())
}

fn commit() -> Option<String> {
    let mut git = std::process::Command::new("git");
    git.args(["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"]);
    let output = git.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
