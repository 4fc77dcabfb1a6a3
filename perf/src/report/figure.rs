//! The figures by which two runs are compared.
//!
//! The largest value of a run is not among them: it is one observation, and says as much about the machine's worst moment as about the
//! bridge. Neither is the mean, which one such moment moves.

use std::fmt;

use super::number::percent;
use super::{Quantiles, Report};

/// Unit of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds.
    Ms,
    /// Percent of one core.
    PercentOfCore,
    /// Kilobytes.
    Kilobytes,
    /// Percent of what it is a part of.
    Percent,
    /// So many to a hundred of something else.
    PerHundred,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ms => "ms",
            Self::PercentOfCore | Self::Percent => "%",
            Self::Kilobytes => "kB",
            Self::PerHundred => "/100",
        })
    }
}

/// How a figure is read, and with it how much it varies by itself.
#[derive(Clone, Copy)]
pub(super) enum Measure {
    /// A median or a mean over the whole run: steady on one machine.
    Centre(fn(&Report) -> Option<f64>),
    /// Made by the few worst moments of a run.
    Tail(fn(&Report) -> Option<f64>),
    /// How many, and of how many: what the bridge did wrong, whatever the machine's speed.
    Share(fn(&Report) -> (u64, u64)),
}

/// A value as read from a report.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reading {
    pub value: f64,
    /// For a share, what it is a part of.
    pub of: u64,
}

/// A figure, smaller being better.
pub(super) struct Figure {
    /// Its name in a baseline's file.
    pub key: &'static str,
    /// Its name to people.
    pub name: &'static str,
    pub unit: Unit,
    pub measure: Measure,
}

impl Figure {
    /// What `report` says, nothing if nothing was observed.
    pub fn read(&self, report: &Report) -> Option<Reading> {
        match self.measure {
            Measure::Centre(read) | Measure::Tail(read) => {
                read(report).filter(|v| v.is_finite()).map(|value| Reading { value, of: 0 })
            }
            Measure::Share(read) => {
                let (part, of) = read(report);
                percent(part, of).map(|value| Reading { value, of })
            }
        }
    }

    /// Whether the figure depends on how fast the machine is.
    pub fn absolute(&self) -> bool {
        !matches!(self.measure, Measure::Share(_))
    }
}

const fn centre(
    key: &'static str,
    name: &'static str,
    unit: Unit,
    read: fn(&Report) -> Option<f64>,
) -> Figure {
    Figure { key, name, unit, measure: Measure::Centre(read) }
}

const fn tail(key: &'static str, name: &'static str, unit: Unit, read: fn(&Report) -> Option<f64>) -> Figure {
    Figure { key, name, unit, measure: Measure::Tail(read) }
}

const fn share(key: &'static str, name: &'static str, read: fn(&Report) -> (u64, u64)) -> Figure {
    Figure { key, name, unit: Unit::Percent, measure: Measure::Share(read) }
}

const fn rate(key: &'static str, name: &'static str, read: fn(&Report) -> (u64, u64)) -> Figure {
    Figure { key, name, unit: Unit::PerHundred, measure: Measure::Share(read) }
}

fn p50(q: &Quantiles) -> Option<f64> {
    q.seen().map(|q| q.p50)
}

fn p95(q: &Quantiles) -> Option<f64> {
    q.seen().map(|q| q.p95)
}

fn p99(q: &Quantiles) -> Option<f64> {
    q.seen().map(|q| q.p99)
}

fn p999(q: &Quantiles) -> Option<f64> {
    q.seen().map(|q| q.p999)
}

use Unit::{Kilobytes, Ms, Percent, PercentOfCore};

/// Every figure, in the order in which it is shown.
pub(super) static FIGURES: [Figure; 35] = [
    share("calls.failed", "calls failed", |r| (r.calls.failed as u64, r.calls.begun as u64)),
    rate("calls.violations", "breaches of protocol, by calls", |r| {
        (r.calls.violations as u64, r.calls.begun as u64)
    }),
    centre("bridge.cpu_per_call", "CPU per call, of one core", PercentOfCore, |r| {
        r.bridge.as_ref().map(|b| b.cpu_percent_per_call)
    }),
    centre("bridge.memory_per_call", "memory per call", Kilobytes, |r| {
        r.bridge.as_ref().map(|b| b.memory_per_call_kb)
    }),
    centre("up.added.p50", "added, caller → model, p50", Ms, |r| p50(&r.up.added)),
    tail("up.added.p99", "added, caller → model, p99", Ms, |r| p99(&r.up.added)),
    tail("up.added.p999", "added, caller → model, p99.9", Ms, |r| p999(&r.up.added)),
    centre("down.added.p50", "added, model → caller, p50", Ms, |r| p50(&r.down.added)),
    tail("down.added.p99", "added, model → caller, p99", Ms, |r| p99(&r.down.added)),
    tail("down.added.p999", "added, model → caller, p99.9", Ms, |r| p999(&r.down.added)),
    centre("up.total.p50", "total, caller → model, p50", Ms, |r| p50(&r.up.total)),
    tail("up.total.p99", "total, caller → model, p99", Ms, |r| p99(&r.up.total)),
    centre("down.total.p50", "total, model → caller, p50", Ms, |r| p50(&r.down.total)),
    tail("down.total.p99", "total, model → caller, p99", Ms, |r| p99(&r.down.total)),
    centre("down.jitter_wait", "jitter wait, model → caller", Ms, |r| r.down.jitter_wait_ms),
    share("up.lost", "lost, caller → model", |r| (r.up.lost, r.up.sent)),
    share("up.duplicated", "twice, caller → model", |r| (r.up.duplicated, r.up.sent)),
    share("up.concealed", "concealed, caller → model", |r| (r.up.concealed, r.up.sent)),
    centre("up.unheard", "not recognised, caller → model", Percent, |r| {
        percent(r.up.sent.saturating_sub(r.up.heard), r.up.sent)
    }),
    tail("up.late", "late, caller → model", Percent, |r| percent(r.up.late, r.up.heard)),
    share("down.lost", "lost, model → caller", |r| (r.down.lost, r.down.sent)),
    share("down.duplicated", "twice, model → caller", |r| (r.down.duplicated, r.down.sent)),
    share("down.concealed", "concealed, model → caller", |r| (r.down.concealed, r.down.sent)),
    // An interruption leaves frames unheard on purpose, about as many in every run.
    centre("down.unheard", "not recognised, model → caller", Percent, |r| {
        percent(r.down.sent.saturating_sub(r.down.heard), r.down.sent)
    }),
    tail("down.late", "late, model → caller", Percent, |r| percent(r.down.late, r.down.heard)),
    tail("down.splices", "splices, model → caller", Percent, |r| percent(r.down.splices, r.down.sent)),
    share("barge_in.uncleared", "interruptions without clear", |r| {
        (r.barge_in.announced.saturating_sub(r.barge_in.cleared), r.barge_in.announced)
    }),
    rate("barge_in.stale_frames", "stale frames, by interruptions", |r| {
        (r.barge_in.stale_frames, r.barge_in.announced)
    }),
    centre("barge_in.clear.p50", "interruption → clear, p50", Ms, |r| p50(&r.barge_in.clear)),
    tail("barge_in.clear.p99", "interruption → clear, p99", Ms, |r| p99(&r.barge_in.clear)),
    centre("setup.webhook.p50", "webhook → TwiML, p50", Ms, |r| p50(&r.setup.webhook)),
    centre("setup.upgrade.p50", "upgrade asked → open, p50", Ms, |r| p50(&r.setup.upgrade)),
    centre("setup.session.p50", "webhook → session open, p50", Ms, |r| p50(&r.setup.session)),
    tail("setup.session.p95", "webhook → session open, p95", Ms, |r| p95(&r.setup.session)),
    centre("setup.first_sound.p50", "start → first sound, p50", Ms, |r| p50(&r.setup.first_sound)),
];
