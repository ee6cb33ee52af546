//! How a long command gets on, by count: a bar on a terminal, a line now and then elsewhere, both on standard error.
//!
//! **Invariant:** nothing here is a result; those go to standard output.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use super::out::note;

const LINE_EVERY: Duration = Duration::from_secs(10);
const TEMPLATE: &str = "{bar:32} {percent:>3} %  {human_pos} of {human_len} {msg}, {per_sec}, {eta} left";

/// Tells how it gets on.
#[derive(Debug)]
pub(super) struct Progress {
    what: &'static str,
    all: u64,
    done: u64,
    bar: Option<ProgressBar>,
    line: Instant,
}

impl Progress {
    /// Begins; `all` is a guess that may be outdone.
    pub(super) fn begin(what: &'static str, all: u64) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(all).with_message(what);
            bar.set_style(ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { what, all, done: 0, bar, line: Instant::now() }
    }

    /// So many more are done.
    pub(super) fn add(&mut self, more: u64) {
        self.done += more;
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        } else if self.line.elapsed() >= LINE_EVERY {
            self.line = Instant::now();
            note(&format!("{} of about {} {}", self.done, self.all, self.what));
        }
    }

    /// Something to know.
    pub(super) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note(text)),
            None => note(text),
        }
    }

    /// Takes the bar away, so that the result stands alone; how many were done.
    pub(super) fn end(self) -> u64 {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.done
    }
}
