//! When a bad figure may be the suite's fault or the machine's, not the bridge's.

use std::fmt;

use super::Report;
use super::number::figure;

/// Lateness of the suite, 99th percentile, from which its figures are doubtful, ms: a quarter of a frame. Below it the beat of the
/// frames is kept. Timers of an ordinary process are 1 to 2 ms late as a rule, so less would doubt every run; at a whole frame (20 ms)
/// the suite would send in bunches, and the jitter buffer would rightly deepen, without a word.
pub const LATE_GENERATOR_MS: f64 = 5.0;

/// Idle share of the machine below which it counts as busy, percent. With more left, a thread that wakes finds a free core nearly always.
pub const BUSY_IDLE_PERCENT: f64 = 10.0;

/// A reason to doubt a bad figure. A good figure stays good: nothing here makes a bridge look faster.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Doubt {
    /// The phones wrote late: the 99th percentile, ms.
    LatePhones(f64),
    /// The model wrote late: the 99th percentile, ms.
    LateModel(f64),
    /// The machine had next to nothing left: its idle share, percent.
    Busy(f64),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LatePhones(ms) => write!(f, "the phones themselves wrote late (p99 {} ms)", figure(*ms)),
            Self::LateModel(ms) => write!(f, "the model itself wrote late (p99 {} ms)", figure(*ms)),
            Self::Busy(idle) => write!(f, "the machine was busy ({} % idle)", figure(*idle)),
        }
    }
}

impl Report {
    /// Why bad figures of this run are doubtful. Empty: they are the bridge's own.
    pub fn doubts(&self) -> Vec<Doubt> {
        let generator = &self.generator;
        let late = |p99: f64, doubt: fn(f64) -> Doubt| (p99 > LATE_GENERATOR_MS).then(|| doubt(p99));
        let idle = generator.machine_idle_percent;
        [
            late(generator.phone_lateness.p99, Doubt::LatePhones),
            late(generator.model_lateness.p99, Doubt::LateModel),
            (idle < BUSY_IDLE_PERCENT).then_some(Doubt::Busy(idle)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}
