//! `leadline top`: captures of the screen, drawn from what real processes said of themselves, and a look at running ones.
//!
//! `tests/captures/top` holds metrics pages of an API and, later, a worker, and the screens that they make, taken
//! for a second apart. With `UPDATE_CAPTURES=1` real processes are recorded and drawn anew.
//!
//! **Invariant:** a screen is compared cell by cell.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chrono::DateTime;
use leadline::cli::top::{Watch, draw};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::json;
use tokio::task::spawn_blocking;

use super::import::ran;
use super::typed::{at_house, command};
use crate::harness::Harness;
use crate::harness::eventually::eventually;
use crate::harness::track::{lead, with};

fn captures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures/top")
}

/// The looks that are taken, a second apart.
const LOOKS: u32 = 8;

/// Looks at an API, at a worker that comes late, and at a process that is gone.
fn recorded() -> Watch {
    let urls = ["http://api:9090", "http://worker:9090", "http://gone:9090"].map(str::to_owned);
    let mut watch = Watch::new(&urls);
    for n in 1..=LOOKS {
        let page = |name: &str| {
            fs::read_to_string(captures().join(format!("{name}.{n}.prom"))).map_err(|_| "connection refused".to_owned())
        };
        let moment = DateTime::from_timestamp(1_795_000_000, 0).unwrap();
        watch.look(f64::from(n), moment, vec![page("api"), page("worker"), Err("connection refused".to_owned())]);
    }
    watch
}

fn screen(watch: &Watch, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(&watch.view(), frame.area(), frame.buffer_mut())).unwrap();
    let cells = terminal.backend().buffer().content();
    let line =
        |row: &[ratatui::buffer::Cell]| row.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned();
    cells.chunks(width.into()).map(line).collect::<Vec<_>>().join("\n") + "\n"
}

/// Records the pages of an API whose queues fill, and of the worker that empties them.
async fn record() {
    let mut house = Harness::without_worker().await;
    let click = house.click().await;
    if captures().exists() {
        fs::remove_dir_all(captures()).unwrap();
    }
    fs::create_dir_all(captures()).unwrap();
    let mut sent = 0;
    for n in 1..=LOOKS {
        if n == LOOKS - 1 {
            house.add_worker().await;
        }
        for customer in 0..20 * n {
            let mode = match (house.workers.is_empty(), customer % 4) {
                (true, 3) | (false, 2) => "deferred",
                (false, 3) => "wait",
                _ => "async",
            };
            let body =
                with(lead(&click, "Sign Up", &format!("c{n}-{}", customer - customer % 7)), json!({"mode": mode}));
            house.track(&body).await.ok();
        }
        sent += 20 * n;
        let queued = if house.workers.is_empty() { sent } else { 0 };
        eventually("the API to know how deep the queues are", async || match depth(&house).await {
            told if told == f64::from(queued) => Ok(()),
            told => Err(told),
        })
        .await;
        for (name, services) in [("api", &house.apis), ("worker", &house.workers)] {
            for service in services {
                fs::write(captures().join(format!("{name}.{n}.prom")), house.scrape(service).await).unwrap();
            }
        }
    }
    house.finish().await;
}

/// Messages in all queues, as the API last heard.
async fn depth(house: &Harness) -> f64 {
    let page = house.scrape(&house.apis[0]).await;
    let lines = page.lines().filter(|line| line.starts_with("leadline_queue_messages{"));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

#[tokio::test]
async fn the_screen_is_as_it_was_captured() {
    let anew = std::env::var_os("UPDATE_CAPTURES").is_some();
    if anew {
        record().await;
    }
    let watch = recorded();
    for (width, height) in [(80, 24), (200, 50)] {
        let (path, drawn) = (captures().join(format!("{width}x{height}.txt")), screen(&watch, width, height));
        if anew {
            fs::write(&path, &drawn).unwrap();
        }
        let captured = fs::read_to_string(&path).unwrap();
        assert!(drawn == captured, "{}: UPDATE_CAPTURES=1 writes it anew; now it is\n{drawn}", path.display());
        assert!(drawn.lines().all(|line| line.chars().count() <= width.into()));
    }
}

#[test]
fn no_screen_is_too_small() {
    let watch = recorded();
    for (width, height) in [(1, 1), (10, 3), (40, 12), (80, 10), (129, 24), (130, 24)] {
        assert_eq!(screen(&watch, width, height).lines().count(), usize::from(height));
    }
}

#[tokio::test]
async fn running_processes_are_seen() {
    let house = Harness::start().await;
    let click = house.click().await;
    for customer in ["ann", "bob"] {
        house.track(&lead(&click, "Sign Up", customer)).await.ok();
    }
    let urls = [house.apis[0].metrics, house.workers[0].metrics].map(|address| format!("http://{address}"));
    let words =
        ["top", "--once", "--interval", "100ms", "--url", &urls[0], "--url", &urls[1], "--url", "http://127.0.0.1:1"];
    let seen = eventually("a look at both within a second", || async {
        let seen = ran(command(&words)).await;
        assert_eq!((seen.code, seen.err.as_str()), (Some(0), ""));
        if seen.out.contains("2 of 3 processes") { Ok(seen) } else { Err(seen.out) }
    })
    .await;
    for part in ["postgres up", "rabbitmq up", "breaker closed", "s03", "Connection refused"] {
        assert!(seen.out.contains(part), "{part} is not in\n{}", seen.out);
    }
    for (url, role) in urls.iter().zip(["api", "worker"]) {
        let line = seen.out.lines().find(|line| line.starts_with(url.as_str())).unwrap();
        assert_eq!(line.split_whitespace().nth(1), Some(role), "{line}");
    }
    let refused = ran(command(&["top", "--once", "--url", "nowhere"])).await;
    assert!(refused.code == Some(1) && refused.err.contains("nowhere is no address"), "{}", refused.err);
    house.finish().await;
}

#[tokio::test]
async fn without_a_terminal_a_look_is_a_line() {
    let house = Harness::start().await;
    let url = format!("http://{}", house.workers[0].metrics);
    let mut child = at_house(&house, &["top", "--interval", "100ms", "--url", &url]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let fits = |line: &String| line.contains("ended 0/s") && line.contains("postgres up, rabbitmq");
    let (said, pid) =
        // A look that got no page within a second says so, and another follows.
        (spawn_blocking(move || lines.by_ref().map(Result::unwrap).take(60).filter(fits).take(3).count()), child.id());
    assert_eq!(said.await.unwrap(), 3, "of sixty lines");
    assert!(Command::new("kill").args(["-INT", &pid.to_string()]).status().unwrap().success());
    let ended = spawn_blocking(move || child.wait().unwrap()).await.unwrap();
    assert_eq!(ended.code(), Some(0));
    house.finish().await;
}

#[tokio::test]
async fn a_terminal_is_given_back() {
    let house = Harness::start().await;
    let url = format!("http://{}", house.apis[0].metrics);
    let typed = format!("stty cols 80 rows 24; {} top --interval 100ms --url {url}", env!("CARGO_BIN_EXE_leadline"));
    let mut script = Command::new("script");
    script.args(["-qefc", &typed, "/dev/null"]).env("TERM", "xterm-256color");
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let seen = spawn_blocking(move || {
        let (mut seen, mut chunk, mut typed) = (Vec::new(), [0; 4096], false);
        loop {
            let read = screen.read(&mut chunk).unwrap_or(0);
            if read == 0 {
                return String::from_utf8_lossy(&seen).into_owned();
            }
            seen.extend_from_slice(&chunk[..read]);
            if !typed && String::from_utf8_lossy(&seen).contains("answered/s") {
                keys.write_all(b"q").unwrap();
                typed = true;
            }
        }
    });
    let seen = seen.await.unwrap();
    let code = spawn_blocking(move || child.wait().unwrap()).await.unwrap().code();
    assert_eq!(code, Some(0), "{seen}");
    let (taken, given) = (seen.find("\x1b[?1049h"), seen.rfind("\x1b[?1049l"));
    assert!(taken.is_some() && given > taken, "{seen:?}");
    house.finish().await;
}
