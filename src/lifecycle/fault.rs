//! Planned faults at named places: where a chaos run makes a process die or stall.
//!
//! Built only with the feature `faults`, which nothing but the chaos suite asks for; otherwise a point is
//! an empty function. `LEADLINE_FAULT` holds plans, separated by commas: `place=kill@N` (a real SIGKILL
//! at the N-th pass), `place=stall:SECONDS@N` (once), `place=kill:TEXT` (whenever these bytes are read).
//!
//! **Invariant:** a binary built without the feature holds no place that anybody could reach.

#[cfg(feature = "faults")]
pub(crate) use planned::{is_planned, payload, point};

/// Whether anything is planned at this place, for what has to be made ready first; never.
#[cfg(not(feature = "faults"))]
#[inline]
pub(crate) const fn is_planned(_place: &'static str) -> bool {
    false
}

/// A named place; nothing happens here.
#[cfg(not(feature = "faults"))]
#[inline]
pub(crate) async fn point(_place: &'static str) {}

/// A named place that has just read bytes; nothing happens here.
#[cfg(not(feature = "faults"))]
#[inline]
pub(crate) fn payload(_place: &'static str, _bytes: &[u8]) {}

#[cfg(feature = "faults")]
mod planned {
    use std::process::Command;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    /// A fault belongs to the process that it ends, so this is the one static of the house.
    static PLANS: OnceLock<Vec<Plan>> = OnceLock::new();

    #[derive(Debug)]
    struct Plan {
        place: String,
        action: Action,
        at: u64,
        passes: AtomicU64,
    }

    #[derive(Debug, PartialEq)]
    enum Action {
        Kill,
        KillOn(Vec<u8>),
        Stall(Duration),
    }

    /// Whether anything is planned at this place, for what has to be made ready first.
    pub(crate) fn is_planned(place: &'static str) -> bool {
        plans().iter().any(|plan| plan.place == place)
    }

    /// Passes a named place, and does what was planned for this pass.
    pub(crate) async fn point(place: &'static str) {
        for plan in plans().iter().filter(|plan| plan.place == place) {
            if matches!(plan.action, Action::KillOn(_)) || plan.passes.fetch_add(1, Ordering::Relaxed) + 1 != plan.at {
                continue;
            }
            match plan.action {
                Action::Kill | Action::KillOn(_) => die(place),
                Action::Stall(time) => {
                    tracing::warn!(place, ?time, "planned stall");
                    tokio::time::sleep(time).await;
                }
            }
        }
    }

    /// Passes a named place that has just read bytes, and dies of those it was told to die of.
    pub(crate) fn payload(place: &'static str, bytes: &[u8]) {
        for plan in plans().iter().filter(|plan| plan.place == place) {
            if let Action::KillOn(text) = &plan.action
                && bytes.windows(text.len().max(1)).any(|window| window == text.as_slice())
            {
                die(place);
            }
        }
    }

    /// SIGKILL, by a shell, since a process cannot send it to itself without unsafe code.
    fn die(place: &'static str) {
        tracing::warn!(place, "planned death");
        let killed = Command::new("/bin/sh").args(["-c", "kill -9 $PPID"]).status();
        tracing::error!(place, ?killed, "still alive");
        loop {
            std::thread::park();
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a planned fault is no configuration of the product")]
    fn plans() -> &'static [Plan] {
        PLANS.get_or_init(|| std::env::var("LEADLINE_FAULT").map(|text| read(&text)).unwrap_or_default())
    }

    fn read(text: &str) -> Vec<Plan> {
        text.split(',').filter_map(plan).collect()
    }

    fn plan(text: &str) -> Option<Plan> {
        let (place, action) = text.trim().split_once('=')?;
        let (action, at) = action.rsplit_once('@').unwrap_or((action, "1"));
        let action = match action.split_once(':') {
            None if action == "kill" => Action::Kill,
            Some(("kill", bytes)) if !bytes.is_empty() => Action::KillOn(bytes.as_bytes().to_vec()),
            Some(("stall", seconds)) => Action::Stall(Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?),
            _ => return None,
        };
        Some(Plan { place: place.to_owned(), action, at: at.parse().ok()?, passes: AtomicU64::new(0) })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn plans_are_read_and_nonsense_is_none() {
            let plans = read("a.b=kill@3, c.d=stall:1.5,e.f=kill:poison,g,h=nap,i=kill@x");
            let seen: Vec<_> = plans.iter().map(|p| (p.place.as_str(), &p.action, p.at)).collect();
            let stall = Action::Stall(Duration::from_millis(1500));
            let poison = Action::KillOn(b"poison".to_vec());
            assert_eq!(seen, [("a.b", &Action::Kill, 3), ("c.d", &stall, 1), ("e.f", &poison, 1)]);
        }
    }
}
