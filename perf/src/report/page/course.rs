//! Figures over the time of the run.

use std::fmt::Write;

use super::chart::Chart;
use super::markup::Table;
use super::scale::Scale;
use crate::report::Second;
use crate::report::number::{figure, maybe};

/// Most points of a line and rows of its table. A longer run is told by the worst second of each equal stretch.
const MAX_POINTS: usize = 240;
/// Units of a plot inside, both ways: it is stretched to the place it has.
const UNITS: f64 = 1000.0;
/// Shorter delays are shown here, ms.
const LEAST_MS: f64 = 0.01;

/// A line: its name, its style, its value in a second.
type Series = (&'static str, &'static str, fn(&Second) -> Option<f64>);

/// The run in at most [`MAX_POINTS`] stretches, and how many seconds each has.
fn condense(timeline: &[Second]) -> (Vec<Second>, usize) {
    let stretch = timeline.len().div_ceil(MAX_POINTS).max(1);
    let worst = |group: &[Second]| {
        let largest = |read: fn(&Second) -> f64| group.iter().map(read).fold(f64::NEG_INFINITY, f64::max);
        Second {
            at: group[0].at,
            up: [largest(|s| s.up[0]), largest(|s| s.up[1]), largest(|s| s.up[2])],
            down: [largest(|s| s.down[0]), largest(|s| s.down[1]), largest(|s| s.down[2])],
            bridge_cpu_percent: group.iter().filter_map(|s| s.bridge_cpu_percent).reduce(f64::max),
            idle_percent: group.iter().map(|s| s.idle_percent).fold(f64::INFINITY, f64::min),
            interruptions: group.iter().map(|s| s.interruptions).sum(),
        }
    };
    (timeline.chunks(stretch).map(worst).collect(), stretch)
}

/// All charts over the time, and one table for them.
pub(super) fn course(timeline: &[Second]) -> String {
    if timeline.is_empty() {
        return "<p>Nothing was measured by the second.</p>\n".into();
    }
    let (points, stretch) = condense(timeline);
    let up: [Series; 3] = [
        ("max", "up thin", |s| Some(s.up[2])),
        ("p99", "up", |s| Some(s.up[1])),
        ("p50", "up strong", |s| Some(s.up[0])),
    ];
    let down: [Series; 3] = [
        ("max", "down thin", |s| Some(s.down[2])),
        ("p99", "down", |s| Some(s.down[1])),
        ("p50", "down strong", |s| Some(s.down[0])),
    ];
    let delays = points.iter().flat_map(|s| s.up.into_iter().chain(s.down));
    // One scale for both directions, so that they can be compared at a glance.
    let ms = Scale::log(delays, LEAST_MS);
    let cpu = Scale::linear(points.iter().filter_map(|s| s.bridge_cpu_percent));
    let idle = Scale::Linear { from: 0.0, to: 100.0 };
    let mut out = String::from("<div class=\"pair\">\n");
    out += &lines(&points, "course-up", "Added, caller → model", "ms (log)", ms, &up);
    out += &lines(&points, "course-down", "Added, model → caller", "ms (log)", ms, &down);
    if points.iter().any(|s| s.bridge_cpu_percent.is_some()) {
        let series: [Series; 1] = [("bridge", "plain strong", |s| s.bridge_cpu_percent)];
        out += &lines(&points, "course-cpu", "CPU of the bridge", "% of one core", cpu, &series);
    }
    let series: [Series; 1] = [("idle", "plain strong", |s| Some(s.idle_percent))];
    out += &lines(&points, "course-idle", "Idle", "% of the machine", idle, &series);
    out += "</div>\n";
    if stretch > 1 {
        let _ = writeln!(out, "<p class=\"note\">Each point is the worst of {stretch} seconds.</p>");
    }
    out + &table(&points).folded()
}

fn table(points: &[Second]) -> Table {
    let columns = [
        "up p50",
        "up p99",
        "up max",
        "down p50",
        "down p99",
        "down max",
        "bridge %",
        "idle %",
        "interruptions",
    ];
    let mut table = Table::new("Over the run, delays in ms", "second", &columns);
    for s in points {
        let delays = s.up.into_iter().chain(s.down).map(figure);
        let load = [maybe(s.bridge_cpu_percent), figure(s.idle_percent), s.interruptions.to_string()];
        table.row(&s.at.to_string(), delays.chain(load));
    }
    table
}

fn lines(points: &[Second], id: &str, title: &str, unit: &str, upward: Scale, series: &[Series]) -> String {
    let last = points.last().map_or(0, |s| s.at).max(1) as f64;
    let first = points.first().map_or(0, |s| s.at) as f64;
    let mut description = format!("Over {last} seconds.");
    let mut legend = String::new();
    let chart = |description| Chart {
        id,
        title,
        description,
        across: Scale::Linear { from: first.min(last - 1.0), to: last },
        upward,
        units: ("seconds", unit),
        above: 8.0,
        height: 150.0,
    };
    let frame = chart("");
    let mut inside = format!(
        "<svg viewBox=\"0 0 {UNITS} {UNITS}\" preserveAspectRatio=\"none\" x=\"0\" y=\"{}\" width=\"100%\" height=\"{}\">\n",
        frame.above, frame.height
    );
    for (name, style, read) in series {
        let mut path = String::new();
        let mut pen = 'M';
        for second in points {
            let Some(value) = read(second).filter(|v| v.is_finite()) else {
                pen = 'M';
                continue;
            };
            let (x, y) = (frame.across.at(second.at as f64), 1.0 - upward.at(value));
            let _ = write!(path, "{pen}{:.1} {:.1}", x * UNITS, y * UNITS);
            pen = 'L';
        }
        let _ = writeln!(inside, "<path class=\"line {style}\" d=\"{path}\"/>");
        let values = || points.iter().filter_map(read);
        let (low, high) = (values().reduce(f64::min), values().reduce(f64::max));
        let _ = write!(description, " {name} between {} and {}.", maybe(low), maybe(high));
        let _ = write!(
            legend,
            "<span><svg class=\"key\" aria-hidden=\"true\"><path class=\"line {style}\" d=\"M0 6L22 6\"/></svg>{name}</span>"
        );
    }
    inside += "</svg>";
    let legend = if series.len() > 1 { format!("<p class=\"legend\">{legend}</p>\n") } else { String::new() };
    chart(&description).html(&legend, &inside, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_is_told_by_its_worst_seconds() {
        let second = |at: u64| Second {
            at,
            up: [0.1, 0.2, if at == 301 { 9.0 } else { 0.3 }],
            idle_percent: if at == 5 { 1.0 } else { 50.0 },
            interruptions: 1,
            ..Second::default()
        };
        let timeline: Vec<Second> = (0..600).map(second).collect();
        let (points, stretch) = condense(&timeline);
        assert_eq!((points.len(), stretch), (200, 3));
        assert_eq!(points[100].up[2], 9.0);
        assert_eq!(points[1].idle_percent, 1.0);
        assert_eq!(points.iter().map(|s| s.interruptions).sum::<u64>(), 600);
        assert_eq!(condense(&timeline[..240]).1, 1);
    }
}
