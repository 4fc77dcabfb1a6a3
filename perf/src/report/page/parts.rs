//! What the whole delay of a direction is made of, as a bar of parts.

use std::fmt::Write;

use super::chart::Chart;
use super::scale::Scale;
use crate::report::number::{figure, maybe};
use crate::report::{Direction, Report};

/// Height of a bar and of the gap above it, where its name stands, px.
const BAR: f64 = 18.0;
const GAP: f64 = 30.0;

/// A direction's parts: name, style, ms.
fn parts(direction: &Direction) -> [(&'static str, &'static str, f64); 3] {
    [
        ("look-ahead", "first", direction.look_ahead_ms),
        ("jitter wait", "second", direction.jitter_wait_ms.unwrap_or_default()),
        ("added, p50", "third", direction.added.p50),
    ]
}

/// One bar for each direction, on one scale. The table with the same figures stands below it on the page.
pub(super) fn bars(report: &Report) -> String {
    let directions = [("Caller → model", "up", &report.up), ("Model → caller", "down", &report.down)];
    let sum = |d: &Direction| parts(d).iter().map(|p| p.2).sum::<f64>();
    if directions.iter().all(|d| sum(d.2) == 0.0) {
        return String::new();
    }
    let mut description = String::new();
    for (name, _, d) in directions {
        let (ahead, target, added) = (figure(d.look_ahead_ms), maybe(d.jitter_wait_ms), figure(d.added.p50));
        let _ = write!(description, "{name}: look-ahead {ahead}, jitter wait {target}, added {added} ms. ");
    }
    let height = (GAP + BAR) * directions.len() as f64 + 10.0;
    let across = Scale::linear(directions.map(|d| sum(d.2)));
    let mut inside = String::new();
    for (row, (name, side, direction)) in directions.into_iter().enumerate() {
        let top = row as f64 * (GAP + BAR) + GAP;
        let mut from = 0.0;
        for (part, style, ms) in parts(direction) {
            let (x, width) = (across.at(from) * 100.0, (across.at(from + ms) - across.at(from)) * 100.0);
            from += ms;
            let _ = writeln!(
                inside,
                "<rect class=\"bar {side} {style}\" x=\"{x:.2}%\" width=\"{width:.2}%\" y=\"{top:.1}\" height=\"{BAR}\">\
                 <title>{part}: {} ms</title></rect>",
                figure(ms)
            );
        }
        let _ = writeln!(
            inside,
            "<text class=\"name\" x=\"0\" y=\"{:.1}\">{name}: {} ms</text>",
            top - 6.0,
            figure(from)
        );
    }
    let legend = ["first", "second", "third"].iter().zip(["look-ahead", "jitter wait", "added, p50"]).fold(
        String::new(),
        |out, (style, name)| {
            out + &format!(
                "<span><svg class=\"key\" aria-hidden=\"true\">\
                 <rect class=\"bar plain {style}\" width=\"22\" height=\"12\"/></svg>{name}</span>"
            )
        },
    );
    let chart = Chart {
        id: "parts",
        title: "Where the delay comes from",
        description: description.trim_end(),
        across,
        // No axis upward: nothing is named there.
        upward: Scale::Names,
        units: ("ms", ""),
        above: 0.0,
        height,
    };
    chart.html(&format!("<p class=\"legend\">{legend}</p>\n"), &inside, "")
}
