//! A view on a screen of any size.
//!
//! Enters: a [`View`], a buffer. Leaves: cells. A wide screen has both tables side by side; a low one does without blank
//! lines, then without some of the processes.
//!
//! **Invariant:** pure: the same view on the same size gives the same cells.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline, Widget};

use super::super::moment::length;
use super::view::{Member, Row, Shard, View};
use super::watch::{ANSWERS, ENDINGS};

/// From here on both tables stand side by side.
const WIDE: u16 = 130;
const BAD: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const HEAD: Style = Style::new().add_modifier(Modifier::BOLD);

/// Draws a view.
pub fn draw(view: &View, area: Rect, buffer: &mut Buffer) {
    let wide = area.width >= WIDE;
    let modes = |rows: &[Row]| u16::try_from(rows.len()).unwrap_or(0) + 1;
    let (answers, endings) = (modes(&view.answers), modes(&view.endings));
    let tables = if wide { answers.max(endings) } else { answers + endings };
    let queues = u16::try_from(view.shards.len()).unwrap_or(0) + 1;
    let processes = u16::try_from(view.members.len()).unwrap_or(0) + 1;
    let blank = u16::from(2 + tables + 1 + 2 + 1 + queues + processes <= area.height);
    let rows = [2, tables, blank, 2, blank, queues].map(Constraint::Length);
    let [head, numbers, _, now, _, depths, members] =
        Layout::vertical(rows.into_iter().chain([Constraint::Min(0)])).areas(area);
    Paragraph::new(top_lines(view)).render(head, buffer);
    let (answered, ended) = (table("answered/s", &ANSWERS, &view.answers), table("ended/s", &ENDINGS, &view.endings));
    if wide {
        let [left, right] = Layout::horizontal([Constraint::Length(60), Constraint::Min(0)]).areas(numbers);
        Paragraph::new(answered).render(left, buffer);
        Paragraph::new(ended).render(right, buffer);
    } else {
        Paragraph::new([answered, ended].concat()).render(numbers, buffer);
    }
    Paragraph::new(now_lines(view)).render(now, buffer);
    draw_queues(&view.shards, depths, buffer);
    Paragraph::new(member_lines(&view.members, members)).render(members, buffer);
}

fn top_lines(view: &View) -> Vec<Line<'static>> {
    let up = view.members.iter().filter(|member| member.away.is_none()).count();
    let mut versions: Vec<&str> =
        view.members.iter().map(|member| member.version.as_str()).filter(|v| !v.is_empty()).collect();
    versions.sort_unstable();
    versions.dedup();
    let title = format!(
        "leadline {}  {up} of {} processes  {}  q ends",
        versions.join(" and "),
        view.members.len(),
        view.moment.format("%H:%M:%S UTC")
    );
    let mut words = view.engines_said();
    words.push(view.breaker_said());
    let spans = words
        .into_iter()
        .flat_map(|(word, well)| [Span::styled(word, if well { Style::new() } else { BAD }), "   ".into()]);
    vec![Line::styled(title, HEAD), Line::from_iter(spans)]
}

fn table(name: &str, columns: &[&str], rows: &[Row]) -> Vec<Line<'static>> {
    let cells = |first: &str, cells: &mut dyn Iterator<Item = String>| {
        cells.fold(format!("{first:10}"), |line, cell| format!("{line}{cell:>12}"))
    };
    let head = cells(name, &mut columns.iter().map(|column| (*column).to_owned()));
    let mut lines = vec![Line::styled(head, HEAD)];
    lines.extend(rows.iter().map(|row| Line::raw(cells(&row.mode, &mut row.rates.iter().map(|rate| count(*rate))))));
    lines
}

/// What stands now.
fn now_lines(view: &View) -> Vec<Line<'static>> {
    let pair = |pair: Option<(f64, f64)>| {
        pair.map_or_else(|| "-".to_owned(), |(half, most)| format!("{} p99 {}", short(half), short(most)))
    };
    let or_dash = |number: Option<f64>| number.map_or_else(|| "-".to_owned(), count);
    let oldest = view.oldest.map_or_else(|| "-".to_owned(), length);
    let first = format!("answer p50 {}   commit p50 {}   oldest {oldest}", pair(view.answer), pair(view.commit));
    let buried = view.buried.is_some_and(|buried| buried > 0.0);
    let second = format!(
        "in flight {}   waiters {}   in hand {}   direct {}/s   parked {}   ",
        count(view.in_flight),
        count(view.waiters),
        count(view.in_hand),
        count(view.direct),
        or_dash(view.parked)
    );
    let graves = Span::styled(format!("buried {}", or_dash(view.buried)), if buried { BAD } else { Style::new() });
    vec![Line::raw(first), Line::from_iter([Span::raw(second), graves])]
}

fn draw_queues(shards: &[Shard], area: Rect, buffer: &mut Buffer) {
    let lines = area.rows().zip(std::iter::once(None).chain(shards.iter().map(Some)));
    // One scale for all, so that a queue that is deep looks so.
    let most = shards.iter().flat_map(|shard| &shard.history).copied().max().unwrap_or(0).max(1);
    for (line, shard) in lines {
        let [words, curve] = Layout::horizontal([Constraint::Length(34), Constraint::Min(0)]).areas(line);
        let Some(shard) = shard else {
            Paragraph::new(Line::styled(format!("{:10}{:>12}{:>12}", "queue", "ready", "consumers"), HEAD))
                .render(words, buffer);
            continue;
        };
        let or_dash = |number: Option<f64>| number.map_or_else(|| "-".to_owned(), count);
        let dead = shard.queue == "dead" && shard.depth.is_some_and(|depth| depth > 0.0);
        let text = format!("{:10}{:>12}{:>12}", shard.queue, or_dash(shard.depth), or_dash(shard.consumers));
        Paragraph::new(Line::styled(text, if dead { BAD } else { Style::new() })).render(words, buffer);
        let shown = shard.history.len().saturating_sub(curve.width.into());
        Sparkline::default().data(shard.history.iter().skip(shown).copied()).max(most).render(curve, buffer);
    }
}

fn member_lines(members: &[Member], area: Rect) -> Vec<Line<'static>> {
    if area.height == 0 {
        return Vec::new();
    }
    let width = members.iter().map(|member| member.url.len()).max().unwrap_or(0).clamp(7, 44);
    let head =
        format!("{:width$} {:6} {:>11} {:>11} {:>11}", "process", "role", "answered/s", "ended/s", "connections");
    let room = usize::from(area.height).saturating_sub(1);
    let hidden = members.len().saturating_sub(room);
    let shown = if hidden > 0 { room.saturating_sub(1) } else { room };
    let line = |member: &Member| {
        let url: String = member.url.chars().take(width).collect();
        match &member.away {
            Some(why) => Line::styled(format!("{url:width$} {why}"), BAD),
            None => Line::raw(format!(
                "{url:width$} {:6} {:>11} {:>11} {:>11}",
                member.role,
                count(member.answered),
                count(member.ended),
                member.connections.map_or_else(|| "-".to_owned(), count)
            )),
        }
    };
    // Those that cannot be asked come first: they must not be among the hidden.
    let mut order: Vec<&Member> = members.iter().collect();
    order.sort_by_key(|member| member.away.is_none());
    let mut lines = vec![Line::styled(head, HEAD)];
    lines.extend(order.into_iter().take(shown).map(line));
    if hidden > 0 {
        lines.push(Line::styled(format!("and {} more", members.len() - shown), DIM));
    }
    lines
}

/// A number in few places: `0`, `0.4`, `12`, `8 930`, `1 961 342`.
pub(super) fn count(number: f64) -> String {
    if number > 0.0 && number < 9.95 && number.fract() > 0.0 {
        return format!("{number:.1}");
    }
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

/// Seconds in few places: `0.4 ms`, `25 ms`, `1.2 s`.
pub(super) fn short(seconds: f64) -> String {
    match seconds {
        s if s < 0.0095 => format!("{:.1} ms", s * 1000.0),
        s if s < 0.9995 => format!("{:.0} ms", s * 1000.0),
        s => length(s),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_little_room() {
        let counts = [0.0, 0.42, 3.0, 12.4, 8930.0, 1_961_342.0].map(count);
        assert_eq!(counts, ["0", "0.4", "3", "12", "8 930", "1 961 342"]);
        assert_eq!([0.0004, 0.025, 1.25, 150.0].map(short), ["0.4 ms", "25 ms", "1.2 s", "2 min 30 s"]);
    }
}
