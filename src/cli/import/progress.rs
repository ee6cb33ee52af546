//! How an import gets on: a bar on a terminal, a line now and then elsewhere, both on standard error.
//!
//! Enters: how far the file is answered. Leaves: what share that is, how many leads a second, how long it will
//! take still.
//!
//! **Invariant:** nothing here is a result; those go to standard output.

use std::io::{self, IsTerminal};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use super::super::out::note;
use super::state::Totals;

const LINE_EVERY: Duration = Duration::from_secs(10);
const NOTE_EVERY: Duration = Duration::from_secs(5);
const TEMPLATE: &str = "{bar:32} {percent:>3} %  {msg}  {eta} left";
/// Where the length is not known.
const ENDLESS: &str = "{spinner}  {msg}";

/// Tells how it gets on.
#[derive(Debug)]
pub(super) struct Progress {
    name: String,
    bar: Option<ProgressBar>,
    bytes: Option<u64>,
    begun: Begun,
    last: Mutex<Last>,
}

/// Where it stood when this process began.
#[derive(Debug)]
struct Begun {
    at: Instant,
    byte: u64,
    leads: u64,
}

#[derive(Debug)]
struct Last {
    line: Instant,
    note: Option<Instant>,
}

impl Progress {
    /// Begins, or goes on where an import before came to.
    pub(super) fn begin(name: &str, bytes: Option<u64>, byte: u64, totals: Totals) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = bytes.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
            let style = ProgressStyle::with_template(if bytes.is_some() { TEMPLATE } else { ENDLESS });
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_position(byte);
            bar.reset_eta();
            bar
        });
        let begun = Begun { at: Instant::now(), byte, leads: leads(totals) };
        let last = Mutex::new(Last { line: Instant::now(), note: None });
        Self { name: name.to_owned(), bar, bytes, begun, last }
    }

    /// So much of the file is answered.
    pub(super) fn moved(&self, byte: u64, totals: Totals) {
        let seconds = self.begun.at.elapsed().as_secs_f64().max(0.001);
        let rate = leads(totals).saturating_sub(self.begun.leads) as f64 / seconds;
        let text = format!("{} leads, {rate:.0}/s, {} refused", leads(totals), totals.refused);
        if let Some(bar) = &self.bar {
            bar.set_position(byte);
            bar.set_message(text);
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.line.elapsed() >= LINE_EVERY {
            last.line = Instant::now();
            let left = self.bytes.map(|bytes| share(&self.begun, bytes, byte, seconds)).unwrap_or_default();
            note(&format!("{}: {text}{left}", self.name));
        }
    }

    /// Something to know, unless something was said just now.
    pub(super) fn note(&self, text: &str) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.note.is_none_or(|at| at.elapsed() >= NOTE_EVERY) {
            last.note = Some(Instant::now());
            self.say(text);
        }
    }

    /// Something to know in any case.
    pub(super) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note(text)),
            None => note(text),
        }
    }

    /// Takes the bar away, so that the result stands alone.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn leads(totals: Totals) -> u64 {
    totals.accepted + totals.refused
}

/// `, 34 %, 52 s left`.
fn share(begun: &Begun, bytes: u64, byte: u64, seconds: f64) -> String {
    let percent = byte.saturating_mul(100).checked_div(bytes).unwrap_or(100);
    let rate = byte.saturating_sub(begun.byte) as f64 / seconds;
    let left = bytes.saturating_sub(byte) as f64 / rate.max(1.0);
    format!(", {percent} %, {left:.0} s left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_by_what_this_process_did() {
        let begun = Begun { at: Instant::now(), byte: 1000, leads: 9 };
        assert_eq!(share(&begun, 4000, 2000, 5.0), ", 50 %, 10 s left");
        assert_eq!(share(&begun, 0, 0, 1.0), ", 100 %, 0 s left");
    }
}
