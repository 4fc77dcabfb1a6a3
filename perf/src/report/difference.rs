//! What keeps two runs from being compared.

use std::fmt;

use super::{Doubt, Machine, Setting};

/// A reason not to compare.
#[derive(Debug, Clone, PartialEq)]
pub enum Difference {
    /// Another load: nothing is comparable.
    Setting {
        /// Which part of it.
        what: &'static str,
        /// In the baseline.
        baseline: String,
        /// In this run.
        ours: String,
    },
    /// Another number of cores, baseline's first: the same load is not the same to them.
    Cores(usize, usize),
    /// The suite or the machine, not the bridge, may have made this run's figures.
    Doubtful(Doubt),
    /// Another processor, baseline's first: times, CPU and memory say nothing; counts do.
    Processor(String, String),
}

impl Difference {
    /// Whether counts can be compared all the same.
    pub fn leaves_counts(&self) -> bool {
        matches!(self, Self::Processor(..))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting { what, baseline, ours } => {
                write!(f, "{what}: the baseline has {baseline}, this run {ours}")
            }
            Self::Cores(baseline, ours) => {
                write!(f, "cores: the baseline has {baseline}, this run {ours}")
            }
            Self::Doubtful(doubt) => doubt.fmt(f),
            Self::Processor(baseline, ours) => write!(
                f,
                "processor: the baseline has {baseline}, this run {ours}; only failures and counts are compared"
            ),
        }
    }
}

/// Where two settings and their machines differ. Another kernel on the same processor is no difference: what it costs is a finding.
pub(super) fn differences(baseline: (&Setting, &Machine), ours: (&Setting, &Machine)) -> Vec<Difference> {
    let ((setting, machine), (our_setting, our_machine)) = (baseline, ours);
    let parts = |s: &Setting| {
        // Destructured, so that a new field cannot be forgotten here.
        let Setting { calls, seconds, ramp_per_second, codec, network, spawned } = s.clone();
        [
            ("calls", calls.to_string()),
            ("seconds", seconds.to_string()),
            ("new calls a second", ramp_per_second.to_string()),
            ("codec", codec),
            ("network", network),
            ("bridge", if spawned { "started by the suite" } else { "given by address" }.into()),
        ]
    };
    let mut found: Vec<Difference> = parts(setting)
        .into_iter()
        .zip(parts(our_setting))
        .filter(|((_, baseline), (_, ours))| baseline != ours)
        .map(|((what, baseline), (_, ours))| Difference::Setting { what, baseline, ours })
        .collect();
    if machine.cores != our_machine.cores {
        found.push(Difference::Cores(machine.cores, our_machine.cores));
    }
    if machine.cpu != our_machine.cpu {
        found.push(Difference::Processor(machine.cpu.clone(), our_machine.cpu.clone()));
    }
    found
}
