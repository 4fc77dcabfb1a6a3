//! The figures in columns.

use std::fmt::Write;

use super::markup::{Table, escape};
use super::word_of;
use crate::report::number::{figure, grouped, maybe, memory, percent};
use crate::report::{
    Comparison, Direction, Footprint, Generator, LATE_MS, Quantiles, Range, Report, Verdict,
};

const QUANTILES: [&str; 7] = ["mean", "p50", "p95", "p99", "p99.9", "max", "count"];

fn quantiles(q: &Quantiles) -> [String; 7] {
    let seen = q.seen();
    let value = |read: fn(&Quantiles) -> f64| maybe(seen.map(read));
    [
        value(|q| q.mean),
        value(|q| q.p50),
        value(|q| q.p95),
        value(|q| q.p99),
        value(|q| q.p999),
        value(|q| q.max),
        grouped(q.count),
    ]
}

fn both(report: &Report) -> [(&'static str, &Direction); 2] {
    [("caller → model", &report.up), ("model → caller", &report.down)]
}

/// Added and total delay, and what the total is made of.
pub(super) fn delays(report: &Report) -> String {
    let mut table = Table::new("Delay, ms", "delay", &QUANTILES);
    for (name, direction) in both(report) {
        table.row(&format!("added, {name}"), quantiles(&direction.added));
        table.row(&format!("total, {name}"), quantiles(&direction.total));
    }
    let mut parts = Table::new(
        "What the total is made of, ms",
        "direction",
        &["look-ahead", "jitter wait", "added p50", "total p50"],
    );
    for (name, d) in both(report) {
        let p50 = |q: &Quantiles| maybe(q.seen().map(|q| q.p50));
        let cells = [figure(d.look_ahead_ms), maybe(d.jitter_wait_ms), p50(&d.added), p50(&d.total)];
        parts.row(name, cells);
    }
    format!(
        "{}<p class=\"note\">Total: from the moment a piece of sound was handed to the kernel by its sender to the moment it reached the \
         other end.</p>\n{}{}",
        super::parts::bars(report),
        parts.html(),
        table.html()
    )
}

/// What became of every frame.
pub(super) fn frames(report: &Report) -> String {
    let mut table = Table::new(
        "Frames of 20 ms",
        "frames",
        &["caller → model", "% of sent", "model → caller", "% of sent"],
    );
    let mut row = |name: &str, read: fn(&Direction) -> u64| {
        let (up, down) = (&report.up, &report.down);
        let share = |d: &Direction| maybe(percent(read(d), d.sent));
        table.row(name, [grouped(read(up)), share(up), grouped(read(down)), share(down)]);
    };
    row("sent", |d| d.sent);
    row("heard", |d| d.heard);
    row(&format!("late, more than {LATE_MS} ms added"), |d| d.late);
    row("lost", |d| d.lost);
    row("twice", |d| d.duplicated);
    row("concealed", |d| d.concealed);
    row("spliced", |d| d.splices);
    table.html()
}

/// Barge-in and set-up.
pub(super) fn calls(report: &Report) -> String {
    let (barge, setup) = (&report.barge_in, &report.setup);
    let mut counts =
        Table::new("Interruptions", "calls", &["announced", "cleared", "stale frames after clear"]);
    counts.row("all", [barge.announced, barge.cleared, barge.stale_frames].map(grouped));
    let mut table = Table::new("Barge-in and set-up, ms", "time", &QUANTILES);
    table.row("interruption → clear", quantiles(&barge.clear));
    table.row("sound the caller was spared", quantiles(&barge.backlog));
    table.row("webhook → TwiML", quantiles(&setup.webhook));
    table.row("upgrade asked → open", quantiles(&setup.upgrade));
    table.row("webhook → session open", quantiles(&setup.session));
    table.row("start → first sound of ARIA", quantiles(&setup.first_sound));
    counts.html() + &table.html()
}

/// CPU and memory of the bridge.
pub(super) fn footprint(bridge: Option<&Footprint>) -> String {
    let Some(bridge) = bridge else {
        return "<p>The bridge's process is not known, so neither CPU nor memory was measured.</p>\n".into();
    };
    let mut table = Table::new("CPU, percent of one core", "part", &["%"]);
    table.row("per call", [figure(bridge.cpu_percent_per_call)]);
    table.row("in all", [figure(bridge.cpu_percent)]);
    table.row("of it in the kernel", [figure(bridge.kernel_percent)]);
    for (name, percent) in &bridge.threads {
        table.row(&format!("threads {name}"), [figure(*percent)]);
    }
    let mut rest = Table::new("Memory and switches", "part", &["value"]);
    rest.row("memory that a call added", [memory(bridge.memory_per_call_kb)]);
    rest.row("resident at the end", [memory(bridge.memory_kb as f64)]);
    rest.row("context switches a second", [grouped(bridge.switches_per_second.round() as u64)]);
    format!("<div class=\"pair\">{}{}</div>\n", table.html(), rest.html())
}

/// The suite's own lateness.
pub(super) fn generator(generator: &Generator) -> String {
    let mut table = Table::new("Written against the schedule, ms", "by", &QUANTILES);
    table.row("phones", quantiles(&generator.phone_lateness));
    table.row("model", quantiles(&generator.model_lateness));
    format!(
        "<p class=\"note\">No figure of the bridge is better than this. The suite used {} % of a core; {} % of the machine was idle{}.</p>\n{}",
        figure(generator.cpu_percent),
        figure(generator.machine_idle_percent),
        generator.sleep(),
        table.html()
    )
}

/// What was asked for, and of which machine.
pub(super) fn setting(report: &Report) -> String {
    let (setting, machine) = (&report.setting, &report.machine);
    let facts = [
        ("calls at once", setting.calls.to_string()),
        ("measured time", format!("{} s", setting.seconds)),
        ("new calls a second", figure(setting.ramp_per_second)),
        ("codec of the model's leg", setting.codec.clone()),
        ("network", setting.network.clone()),
        ("bridge", if setting.spawned { "started by the suite" } else { "given by address" }.into()),
        ("processor", machine.cpu.clone()),
        ("cores", machine.cores.to_string()),
        ("kernel", machine.kernel.clone()),
    ];
    let mut out = String::from("<dl>\n");
    for (name, value) in facts {
        let _ = writeln!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(&value));
    }
    out + "</dl>\n"
}

/// The baseline's verdict, and every figure beside it.
pub(super) fn comparison(comparison: &Comparison) -> String {
    let verdict = comparison.verdict();
    let mut out = format!(
        "<p class=\"verdict {}\">In all: <strong>{}</strong>, against {} runs.</p>\n",
        style(verdict),
        word_of(verdict),
        comparison.runs
    );
    for difference in &comparison.differences {
        let _ = writeln!(out, "<p class=\"warning\">{}</p>", escape(&difference.to_string()));
    }
    // The verdict beside our figure: on a phone the baseline's columns are reached by scrolling.
    let columns = ["this run", "verdict", "smallest", "median", "largest"];
    let mut differing = Table::new("What is not the same", "figure", &columns);
    let mut all = Table::new("Every figure beside the baseline's", "figure", &columns);
    for line in &comparison.lines {
        let range = |read: fn(&Range) -> f64| maybe(line.range.as_ref().map(read));
        let cells = [
            maybe(line.ours),
            word_of(line.verdict),
            range(|r| r.min),
            range(|r| r.median),
            range(|r| r.max),
        ];
        let name = format!("{}, {}", line.name, line.unit);
        all.marked(&name, &cells, style(line.verdict));
        if matches!(line.verdict, Verdict::Better | Verdict::Worse | Verdict::Missing) {
            differing.marked(&name, &cells, style(line.verdict));
        }
    }
    if !differing.is_empty() {
        out += &differing.html();
    }
    out + &all.folded()
}

fn style(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Better => "good",
        Verdict::Worse | Verdict::Missing => "bad",
        Verdict::Same => "same",
        Verdict::NotComparable => "faint",
    }
}
