//! `top`: what running processes do, as it changes.
//!
//! Enters: the addresses of their metrics. Leaves: a screen on a terminal, a line per look elsewhere, one page with `--once`.
//!
//! ```text
//!  /metrics of each ─▶ page ─▶ watch (two looks) ─▶ view ─▶ draw ─▶ screen, or text
//! ```
//!
//! **Invariant:** nothing is asked but `/metrics`: looking never costs an engine anything.

mod page;
mod quantile;
mod view;
mod watch;
mod draw;
mod screen;

use std::io::{self, IsTerminal};
use std::time::Duration;

use chrono::Utc;
use futures_util::future::join_all;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use reqwest::Client;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::args::TopArgs;
use super::error::{CliError, cause};
use super::moment::length;
use super::out::Out;
use super::serve::Signals;
use crate::config::Config;
use draw::{count, short};
use screen::{Done, Screen};

pub use draw::draw;
pub use view::{Engine, Member, Row, Shard, View};
pub use watch::Watch;

/// Of the page that is printed where there is no screen.
const WIDTH: u16 = 100;
/// A process that takes longer is called away.
const PATIENCE: Duration = Duration::from_secs(5);

/// `top`; returns the exit code.
///
/// # Errors
/// [`CliError`] when a URL is none, or the terminal cannot be used.
pub(super) async fn top(config: &Config, args: TopArgs, out: Out) -> Result<u8, CliError> {
    if out.json {
        return Err(CliError::said("top is for people; /metrics is for machines"));
    }
    let urls = if args.url.is_empty() { vec![format!("http://{}", config.http.metrics_listen)] } else { args.url };
    let looker = Looker::new(&urls, args.interval)?;
    let mut watch = Watch::new(&urls);
    if args.once {
        looker.look(&mut watch).await;
        tokio::time::sleep(args.interval).await;
        looker.look(&mut watch).await;
        out.line(&text(&watch.view(), WIDTH))?;
        return Ok(0);
    }
    if io::stdout().is_terminal() {
        on_screen(&looker, &mut watch, args.interval).await?;
    } else {
        in_lines(&looker, &mut watch, args.interval, out).await?;
    }
    Ok(0)
}

/// A view as lines of text, as high as it has to be.
#[must_use]
pub fn text(view: &View, width: u16) -> String {
    let processes = u16::try_from(view.members.len()).unwrap_or(u16::MAX / 2);
    let area = Rect::new(0, 0, width, 24_u16.saturating_add(processes));
    let mut buffer = Buffer::empty(area);
    draw(view, area, &mut buffer);
    let cells = buffer.content().chunks(width.max(1).into());
    let lines =
        cells.map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>().trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

async fn on_screen(looker: &Looker, watch: &mut Watch, pause: Duration) -> Result<(), CliError> {
    let mut signals = Signals::listen()?;
    let mut screen = Screen::take()?;
    let mut every = interval(pause);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = signals.next() => return Ok(()),
            done = screen.done() => match done {
                Done::Quit => return Ok(()),
                Done::Resized => screen.show(&watch.view())?,
            },
            _ = every.tick() => {
                looker.look(watch).await;
                screen.show(&watch.view())?;
            }
        }
    }
}

async fn in_lines(looker: &Looker, watch: &mut Watch, pause: Duration, out: Out) -> Result<(), CliError> {
    let mut signals = Signals::listen()?;
    let mut every = interval(pause);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looker.look(watch).await;
    every.tick().await;
    loop {
        tokio::select! {
            _ = signals.next() => return Ok(()),
            _ = every.tick() => {
                looker.look(watch).await;
                out.line(&line(&watch.view()))?;
            }
        }
    }
}

/// A view in one line.
fn line(view: &View) -> String {
    let all = |rows: &[Row]| count(rows.iter().flat_map(|row| &row.rates).sum());
    let mut words = vec![
        view.moment.format("%H:%M:%S").to_string(),
        format!("answered {}/s", all(&view.answers)),
        format!("ended {}/s", all(&view.endings)),
        format!("ready {}", count(view.depth())),
    ];
    words.extend(view.oldest.map(|oldest| format!("oldest in hand {}", length(oldest))));
    words.extend(view.answer.map(|(_, most)| format!("answer p99 {}", short(most))));
    words.extend(view.engines_said().into_iter().map(|(word, _)| word));
    words.push(view.breaker_said().0);
    let away = view.members.iter().filter(|member| member.away.is_some()).count();
    words.extend((away > 0).then(|| format!("{away} of {} processes do not answer", view.members.len())));
    words.join(", ")
}

/// Asks the processes.
struct Looker {
    client: Client,
    urls: Vec<String>,
    since: Instant,
}

impl Looker {
    fn new(urls: &[String], pause: Duration) -> Result<Self, CliError> {
        for url in urls {
            if !matches!(url::Url::parse(url).as_ref().map(url::Url::scheme), Ok("http" | "https")) {
                return Err(CliError::said(format!("{url} is no address such as http://127.0.0.1:9090")));
            }
        }
        let patience = PATIENCE.min(pause.max(Duration::from_secs(1)));
        let client =
            Client::builder().timeout(patience).build().map_err(|error| CliError::Http(urls.join(", "), error))?;
        let page = |url: &String| format!("{}/metrics", url.trim_end_matches('/').trim_end_matches("/metrics"));
        Ok(Self { client, urls: urls.iter().map(page).collect(), since: Instant::now() })
    }

    async fn look(&self, watch: &mut Watch) {
        let pages = join_all(self.urls.iter().map(|url| self.page(url))).await;
        watch.look(self.since.elapsed().as_secs_f64(), Utc::now(), pages);
    }

    async fn page(&self, url: &str) -> Result<String, String> {
        let plain = |error: reqwest::Error| cause(&error);
        let answer = self.client.get(url).header("accept", "text/plain;version=0.0.4").send().await.map_err(plain)?;
        if !answer.status().is_success() {
            return Err(format!("answers {}", answer.status()));
        }
        answer.text().await.map_err(plain)
    }
}
