//! Three plots, as SVG: latency against rate, leads recorded per second against number of workers, anything against time.
//!
//! Enters: cells of open loops; one series per number of workers; panels of lines. Leaves: files under `target`.
//!
//! **Invariant:** a point is a figure that was measured; nothing is drawn through what is missing.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::{
    BLACK, ChartBuilder, Circle, DrawingArea, ErrorBar, IntoDrawingArea, IntoLogRange, LineSeries, RGBColor,
    SVGBackend, SeriesLabelPosition, Text, WHITE,
};
use plotters::style::Color;

use crate::Outcome;
use crate::ground::folder;
use crate::load::Traffic;
use crate::stats::{Times, largest, median};

use super::{Cell, How};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const COLOURS: [RGBColor; 3] = [RGBColor(27, 120, 180), RGBColor(230, 130, 20), RGBColor(190, 40, 60)];
const FONT: (&str, u32) = ("sans-serif", 16);

/// A panel per kind of load.
pub(super) fn latency(cells: &[Cell]) -> Outcome<()> {
    let path = folder()?.join("latency.svg");
    let root = SVGBackend::new(&path, (1320, 860)).into_drawing_area();
    root.fill(&WHITE)?;
    let root = root.titled("time to the answer against rate, open loop, timed from when each was due", FONT)?;
    for (panel, traffic) in root.split_evenly((2, 3)).iter().zip(Traffic::ALL) {
        let points: Vec<(f64, Times)> = cells.iter().filter(|cell| cell.traffic == traffic).filter_map(point).collect();
        if !points.is_empty() {
            latency_of(panel, &traffic.name(), &points)?;
        }
    }
    Ok(root.present()?)
}

fn point(cell: &Cell) -> Option<(f64, Times)> {
    match cell.how {
        How::Open { rate, .. } => {
            let [answer, _commit] = cell.times();
            (answer.p50 > 0.0).then_some((rate, answer))
        }
        How::Closed(_) => None,
    }
}

fn latency_of(panel: &Area<'_>, name: &str, points: &[(f64, Times)]) -> Outcome<()> {
    let most = 1.1 * largest(points.iter().map(|(rate, _)| *rate));
    let slowest = 1.5 * largest(points.iter().map(|(_, times)| times.p999));
    let fastest = 0.5 / largest(points.iter().map(|(_, times)| 1.0 / times.p50));
    let mut chart = ChartBuilder::on(panel);
    let chart = chart.caption(name, FONT).margin(10).x_label_area_size(40).y_label_area_size(55);
    let mut chart = chart.build_cartesian_2d(0.0..most, (fastest..slowest).log_scale())?;
    chart.configure_mesh().x_desc("leads per second").y_desc("ms").draw()?;
    let figures: [fn(&Times) -> f64; 3] = [|times| times.p50, |times| times.p99, |times| times.p999];
    for ((label, figure), colour) in ["p50", "p99", "p99.9"].into_iter().zip(figures).zip(COLOURS) {
        let line = points.iter().map(|(rate, times)| (*rate, figure(times)));
        let drawn = chart.draw_series(LineSeries::new(line.clone(), colour.stroke_width(2)))?;
        drawn.label(label).legend(move |at| Circle::new(at, 4, colour.filled()));
        chart.draw_series(line.map(|at| Circle::new(at, 4, colour.filled())))?;
    }
    let legend = &mut chart.configure_series_labels();
    legend.position(SeriesLabelPosition::UpperLeft).border_style(BLACK).background_style(WHITE.mix(0.8)).draw()?;
    Ok(())
}

/// What was recorded with so many workers and as many APIs, run by run.
pub(crate) type Rates = (usize, Vec<f64>);

/// Medians with everything that was measured as bars, a line per load; at most as many as there are colours.
pub(crate) fn workers(series: &[(String, Vec<Rates>)]) -> Outcome<()> {
    let path = folder()?.join("workers.svg");
    let root = SVGBackend::new(&path, (820, 520)).into_drawing_area();
    root.fill(&WHITE)?;
    let points = || series.iter().flat_map(|(_, points)| points);
    let most = 1.15 * largest(points().flat_map(|(_, rates)| rates).copied());
    let widest = largest(points().map(|(workers, _)| *workers as f64)) + 1.0;
    let mut chart = ChartBuilder::on(&root);
    let chart = chart.caption("leads recorded per second, so many APIs and workers on one machine", FONT);
    let chart = chart.margin(10).x_label_area_size(40).y_label_area_size(70);
    let mut chart = chart.build_cartesian_2d(0.0..widest, 0.0..most)?;
    chart.configure_mesh().x_desc("workers, and as many APIs").y_desc("leads per second").draw()?;
    for ((label, points), colour) in series.iter().zip(COLOURS) {
        let line = points.iter().map(|(workers, rates)| (*workers as f64, median(rates)));
        let drawn = chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
        drawn.label(label).legend(move |at| Circle::new(at, 4, colour.filled()));
        chart.draw_series(points.iter().map(|(workers, rates)| {
            let (low, high) = (-largest(rates.iter().map(|rate| -rate)), largest(rates.iter().copied()));
            ErrorBar::new_vertical(*workers as f64, low, median(rates), high, colour.filled(), 10)
        }))?;
    }
    let legend = &mut chart.configure_series_labels();
    legend.position(SeriesLabelPosition::LowerLeft).border_style(BLACK).background_style(WHITE.mix(0.8)).draw()?;
    Ok(root.present()?)
}

/// What is drawn against the same seconds as its neighbours.
#[derive(Debug)]
pub(crate) struct Panel<'a> {
    /// What the numbers are.
    pub(crate) what: &'a str,
    /// At most as many lines as there are colours, each with its name.
    pub(crate) lines: Vec<(&'a str, Vec<(f64, f64)>)>,
}

/// Panels one below the other, and in each of them what happened, at the second when it did.
pub(crate) fn over_time(path: &Path, title: &str, panels: &[Panel<'_>], events: &[(f64, String)]) -> Outcome<()> {
    let height = 300 * u32::try_from(panels.len())?;
    let root = SVGBackend::new(path, (1100, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let root = root.titled(title, FONT)?;
    let seconds = panels.iter().flat_map(|panel| &panel.lines).flat_map(|(_, line)| line).map(|(at, _)| *at);
    let last = largest(seconds);
    for (area, panel) in root.split_evenly((panels.len(), 1)).iter().zip(panels) {
        panel_of(area, panel, last, events)?;
    }
    Ok(root.present()?)
}

fn panel_of(area: &Area<'_>, panel: &Panel<'_>, last: f64, events: &[(f64, String)]) -> Outcome<()> {
    let most = largest(panel.lines.iter().flat_map(|(_, line)| line).map(|(_, figure)| *figure));
    let top = (1.2 * most).max(0.1);
    let mut chart = ChartBuilder::on(area);
    let chart = chart.margin(10).x_label_area_size(40).y_label_area_size(70);
    let mut chart = chart.build_cartesian_2d(0.0..last, 0.0..top)?;
    chart.configure_mesh().x_desc("seconds").y_desc(panel.what).draw()?;
    for (at, what) in events {
        chart.draw_series(LineSeries::new([(*at, 0.0), (*at, top)], BLACK.mix(0.4)))?;
        chart.draw_series([Text::new(what.clone(), (*at, top), FONT)])?;
    }
    for ((label, line), colour) in panel.lines.iter().zip(COLOURS) {
        let drawn = chart.draw_series(LineSeries::new(line.iter().copied(), colour.stroke_width(2)))?;
        drawn.label(*label).legend(move |at| Circle::new(at, 4, colour.filled()));
    }
    let legend = &mut chart.configure_series_labels();
    legend.position(SeriesLabelPosition::UpperRight).border_style(BLACK).background_style(WHITE.mix(0.8)).draw()?;
    Ok(())
}
