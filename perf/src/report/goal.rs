//! What the bridge is meant to reach.

use super::Report;

/// Added delay, median, ms: a wake-up or two on a virtual machine.
const ADDED_P50_MS: f64 = 0.3;
/// Added delay, 99th percentile, ms: a tenth of a frame.
const ADDED_P99_MS: f64 = 2.0;
/// CPU of a call with Opus, percent of one core. The codec alone takes about half of it.
const OPUS_CPU_PERCENT: f64 = 0.8;
/// CPU of a call with G.711, percent of one core.
const G711_CPU_PERCENT: f64 = 0.45;
/// Memory of a call, kB.
const MEMORY_KB: f64 = 350.0;

/// A figure and the most it may be.
#[derive(Debug, Clone, PartialEq)]
pub struct Goal {
    /// The same figure in a comparison with a baseline.
    pub key: &'static str,
    /// What it is.
    pub name: &'static str,
    /// As measured; nothing if it could not be.
    pub ours: Option<f64>,
    /// The most it may be.
    pub limit: f64,
    /// Unit of both.
    pub unit: &'static str,
}

impl Goal {
    /// Whether it was reached; nothing if it was not measured.
    pub fn met(&self) -> Option<bool> {
        self.ours.map(|ours| ours <= self.limit)
    }
}

impl Report {
    /// The goals that hold for this run. The one for CPU depends on the codec: with one that has no goal, it is left out.
    pub fn goals(&self) -> Vec<Goal> {
        let goal = |key, name, ours, limit, unit| Goal { key, name, ours, limit, unit };
        let (up, down) = (self.up.added.seen(), self.down.added.seen());
        let bridge = self.bridge.as_ref();
        let cpu_limit = match self.setting.codec.to_ascii_lowercase().as_str() {
            "opus" => Some(OPUS_CPU_PERCENT),
            "pcmu" | "pcma" | "g711" | "g.711" => Some(G711_CPU_PERCENT),
            _ => None,
        };
        let mut goals = vec![
            goal("up.added.p50", "Added delay, caller → model, p50", up.map(|q| q.p50), ADDED_P50_MS, "ms"),
            goal("up.added.p99", "Added delay, caller → model, p99", up.map(|q| q.p99), ADDED_P99_MS, "ms"),
            goal(
                "down.added.p50",
                "Added delay, model → caller, p50",
                down.map(|q| q.p50),
                ADDED_P50_MS,
                "ms",
            ),
            goal(
                "down.added.p99",
                "Added delay, model → caller, p99",
                down.map(|q| q.p99),
                ADDED_P99_MS,
                "ms",
            ),
        ];
        goals.extend(cpu_limit.map(|limit| {
            let ours = bridge.map(|b| b.cpu_percent_per_call);
            goal("bridge.cpu_per_call", "CPU per call, of one core", ours, limit, "%")
        }));
        let memory = bridge.map(|b| b.memory_per_call_kb);
        goals.push(goal("bridge.memory_per_call", "Memory per call", memory, MEMORY_KB, "kB"));
        goals
    }
}
