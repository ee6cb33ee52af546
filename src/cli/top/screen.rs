//! The terminal that `top` draws on.
//!
//! **Invariant:** whatever ends the command, the terminal is given back as it was.

use std::io::{self, Stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::draw::draw;
use super::view::View;

/// How long the reader of keys may be deaf to the end.
const DEAF: Duration = Duration::from_millis(100);

/// What somebody at the terminal did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    /// Wants to leave.
    Quit,
    /// Has another size now.
    Resized,
}

/// The terminal, taken over.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    done: mpsc::UnboundedReceiver<Done>,
    over: Arc<AtomicBool>,
}

impl Screen {
    /// Takes the terminal over.
    pub(super) fn take() -> io::Result<Self> {
        enable_raw_mode()?;
        let over = Arc::new(AtomicBool::new(false));
        let taken = execute!(io::stdout(), EnterAlternateScreen)
            .and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        let terminal = taken.inspect_err(|_| give_back())?;
        let (told, done) = mpsc::unbounded_channel();
        let ended = Arc::clone(&over);
        drop(spawn_blocking(move || listen(&told, &ended)));
        Ok(Self { terminal, done, over })
    }

    /// Draws a view.
    pub(super) fn show(&mut self, view: &View) -> io::Result<()> {
        self.terminal.draw(|frame| draw(view, frame.area(), frame.buffer_mut())).map(|_| ())
    }

    /// What is done next. Cancel-safe.
    pub(super) async fn done(&mut self) -> Done {
        self.done.recv().await.unwrap_or(Done::Quit)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        give_back();
    }
}

fn give_back() {
    // Both are tried, and nobody is left to tell if the terminal is gone.
    drop(execute!(io::stdout(), LeaveAlternateScreen));
    drop(disable_raw_mode());
}

fn listen(told: &mpsc::UnboundedSender<Done>, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let event = match event::poll(DEAF) {
            Ok(false) => continue,
            Ok(true) => event::read(),
            Err(error) => Err(error),
        };
        let done = match event {
            Ok(Event::Key(key)) if key.kind == KeyEventKind::Press => {
                let control = key.modifiers.contains(KeyModifiers::CONTROL);
                let quit =
                    matches!((key.code, control), (KeyCode::Char('q') | KeyCode::Esc, _) | (KeyCode::Char('c'), true));
                quit.then_some(Done::Quit)
            }
            Ok(Event::Resize(..)) => Some(Done::Resized),
            Ok(_) => None,
            Err(_) => Some(Done::Quit),
        };
        if done.is_some_and(|done| told.send(done).is_err() || done == Done::Quit) {
            return;
        }
    }
}
