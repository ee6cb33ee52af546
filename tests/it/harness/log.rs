//! What the service under test says while it runs, kept apart per test.
//!
//! Every test has a runtime of one thread, so a subscriber set for that thread hears exactly the tasks
//! of its own test, although all tests share one process.
//!
//! **Invariant:** an ERROR line nobody announced fails the test that caused it, and no other.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Context;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Layer, Registry};

/// One log line.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// How grave.
    pub(crate) level: Level,
    /// Target, message and fields.
    pub(crate) text: String,
    ours: bool,
}

/// The lines of one test.
#[derive(Debug)]
pub(crate) struct Log {
    lines: Lines,
    _guard: DefaultGuard,
}

#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<Line>>>);

impl Log {
    /// Listens to this thread until dropped.
    pub(crate) fn listen() -> Self {
        let lines = Lines::default();
        let wanted = Targets::new().with_target("leadline", Level::INFO).with_default(Level::WARN);
        let guard = tracing::subscriber::set_default(Registry::default().with(lines.clone().with_filter(wanted)));
        Self { lines, _guard: guard }
    }

    /// Our own ERROR lines, without those that contain an announced text.
    pub(crate) fn errors(&self, announced: &[&str]) -> Vec<String> {
        let unexpected = |line: &&Line| {
            line.ours && line.level == Level::ERROR && !announced.iter().any(|text| line.text.contains(text))
        };
        self.all().iter().filter(unexpected).map(|line| line.text.clone()).collect()
    }

    /// Everything heard so far.
    pub(crate) fn all(&self) -> Vec<Line> {
        self.lines.0.lock().unwrap().clone()
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let target = event.metadata().target();
        let mut text = Text(target.to_owned());
        event.record(&mut text);
        let ours = target == "leadline" || target.starts_with("leadline::");
        self.0.lock().unwrap().push(Line { level: *event.metadata().level(), text: text.0, ours });
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}
