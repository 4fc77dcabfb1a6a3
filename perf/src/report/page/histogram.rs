//! How the added delay of one direction is spread.

use std::fmt::Write;

use super::chart::Chart;
use super::markup::Table;
use super::scale::Scale;
use crate::report::number::{figure, grouped, percent};
use crate::report::{Direction, Quantiles};

/// Bars to a decade of delay. More show the clock's grain, fewer hide a second hump.
const BARS_PER_DECADE: f64 = 16.0;
/// Shorter delays are shown here, ms: a hundredth of a millisecond is nothing to hear and the grain of the measure.
const LEAST_MS: f64 = 0.01;
/// Height of a percentile's name, px.
const ROW: f64 = 16.0;

/// A bar: from, to, both ms, and its frames.
type Bar = (f64, f64, u64);

/// The buckets joined to bars of equal width on a logarithmic axis.
fn bars(histogram: &[(f64, u64)]) -> Vec<Bar> {
    let mut bars: Vec<(i32, u64)> = Vec::new();
    let mut sorted = histogram.to_vec();
    sorted.retain(|(edge, count)| edge.is_finite() && *count > 0);
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (edge, count) in sorted {
        // The first bar takes all that is shorter. Upper edges: what lies just on a bar's upper end belongs to it.
        let number =
            ((edge.max(LEAST_MS) / LEAST_MS).log10() * BARS_PER_DECADE - 1e-6).ceil().max(1.0) as i32;
        match bars.last_mut() {
            Some(last) if last.0 == number => last.1 += count,
            _ => bars.push((number, count)),
        }
    }
    let edge = |number: i32| LEAST_MS * 10_f64.powf(f64::from(number) / BARS_PER_DECADE);
    bars.into_iter().map(|(n, count)| (edge(n - 1), edge(n), count)).collect()
}

/// Both directions side by side, on the same axes.
pub(super) fn histograms(up: &Direction, down: &Direction) -> String {
    let both = [up, down].map(|d| bars(&d.histogram));
    let largest = [up, down].map(|d| d.added.max);
    let edges = both.iter().flatten().flat_map(|b| [b.0, b.1]).chain(largest);
    let most = both.iter().flatten().map(|b| b.2).max().unwrap_or_default() as f64;
    // One frame must be seen beside a hundred thousand: hence ratios, and half a frame as the ground.
    let axes = (Scale::log(edges, LEAST_MS), Scale::Log { from: 0.5, to: most.max(5.0) * 1.2 });
    let [bars_up, bars_down] = both;
    format!(
        "<div class=\"pair\">\n{}{}</div>\n",
        histogram("Caller → model", "up", up, bars_up, axes),
        histogram("Model → caller", "down", down, bars_down, axes)
    )
}

/// The chart and its table. `side` is the direction's style.
fn histogram(title: &str, side: &str, direction: &Direction, bars: Vec<Bar>, axes: (Scale, Scale)) -> String {
    let added = &direction.added;
    let Some(Quantiles { p50, p95, p99, p999, max, .. }) = added.seen() else {
        return format!("<figure><figcaption>{title}</figcaption><p>No frame was heard.</p></figure>\n");
    };
    let marks = [("p50", p50), ("p99", p99), ("p99.9", p999), ("max", max)];
    let description = format!(
        "{} frames. Half within {} ms, 95 % within {}, 99 % within {}, 99.9 % within {}, the latest {} ms.",
        added.count,
        figure(*p50),
        figure(*p95),
        figure(*p99),
        figure(*p999),
        figure(*max)
    );
    let chart = Chart {
        id: &format!("histogram-{side}"),
        title,
        description: &description,
        across: axes.0,
        upward: axes.1,
        units: ("added delay, ms (log)", "frames (log)"),
        above: ROW * marks.len() as f64 + 6.0,
        height: 170.0,
    };
    let bottom = chart.above + chart.height;
    let mut inside = String::new();
    let mut table = Table::new(title, "added delay, ms", &["frames", "%"]);
    for (from, to, count) in bars {
        let (x, y) = (chart.x(from), chart.y(count as f64));
        let share = figure(percent(count, added.count).unwrap_or_default());
        let range = match figure(to) {
            to if from <= LEAST_MS => format!("to {to}"),
            to => format!("{} – {to}", figure(from)),
        };
        let _ = writeln!(
            inside,
            "<rect class=\"bar {side}\" x=\"{x:.2}%\" width=\"{:.2}%\" y=\"{y:.1}\" height=\"{:.1}\">\
             <title>{range} ms: {count} frames, {share} %</title></rect>",
            chart.x(to) - x,
            bottom - y,
        );
        table.row(&range, [grouped(count), share]);
    }
    // The largest on top: a name that stands left of its line then crosses no line of a smaller one.
    for (row, (name, value)) in marks.iter().rev().enumerate() {
        let (x, y) = (chart.x(**value), ROW * row as f64 + 12.0);
        let (anchor, shift) = if x > 24.0 { ("end", -5) } else { ("start", 5) };
        let _ = writeln!(
            inside,
            "<line class=\"mark\" x1=\"{x:.2}%\" x2=\"{x:.2}%\" y1=\"{:.1}\" y2=\"{bottom:.1}\"/>\
             <text class=\"name {anchor}\" x=\"{x:.2}%\" dx=\"{shift}\" y=\"{y:.1}\">{name} {}</text>",
            y - 9.0,
            figure(**value)
        );
    }
    chart.html("", &inside, &table.folded())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_keep_every_frame() {
        let buckets = [(0.0, 3), (0.01, 4), (0.1, 10), (0.101, 20), (0.11, 5), (40.0, 1), (f64::NAN, 7)];
        let bars = bars(&buckets);
        assert_eq!(bars.iter().map(|b| b.2).sum::<u64>(), 43);
        assert_eq!(bars.iter().map(|b| b.2).collect::<Vec<_>>(), [7, 10, 25, 1]);
        assert_eq!(bars[0].0, LEAST_MS);
        for (from, to, _) in bars {
            assert!((to / from - 10_f64.powf(1.0 / BARS_PER_DECADE)).abs() < 1e-9);
        }
    }
}
