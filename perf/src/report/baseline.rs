//! What several runs of one build found on one machine, to hold a later run against.
//!
//! A single run is no baseline: it does not tell how much runs differ. So each figure is kept as the smallest, the median and the largest
//! of a few runs.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::difference::differences;
use super::figure::FIGURES;
use super::json::{self, FileError};
use super::{Difference, Doubt, Machine, Report, Setting};

/// Grows when a figure changes its meaning.
const FORMAT: u32 = 1;

/// Fewest runs of a baseline. Three give a range at all; five are better (see [`Verdict`](super::Verdict)), and more cost time.
pub const MIN_RUNS: usize = 3;

/// Key figures of several runs. The same machine and the same setting in each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    format: u32,
    /// When the first run began, seconds since 1970.
    pub began_unix: u64,
    /// How many runs.
    pub runs: usize,
    /// Where they ran.
    pub machine: Machine,
    /// What was asked for.
    pub setting: Setting,
    /// By the figure's key, sorted, so that a new baseline differs from the old one line by line.
    pub figures: BTreeMap<String, Range>,
}

/// A figure over several runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// Of the best run.
    pub min: f64,
    /// Of the run in the middle; of an even number, the mean of the two.
    pub median: f64,
    /// Of the worst run.
    pub max: f64,
}

/// Why runs make no baseline. Runs are counted from 1.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BaselineError {
    /// A range needs more.
    #[error("a baseline is made of at least {MIN_RUNS} runs, not {0}")]
    TooFew(usize),
    /// A run of another load or machine than the first.
    #[error("run {run} is not like the first: {difference}")]
    Mixed {
        /// Which.
        run: usize,
        /// How it differs.
        difference: Difference,
    },
    /// A run that would make the range wide for no fault of the bridge.
    #[error("run {run} is doubtful: {doubt}")]
    Doubtful {
        /// Which.
        run: usize,
        /// Why.
        doubt: Doubt,
    },
}

impl Baseline {
    /// Joins the figures of `runs`. A figure that a run lacks is left out.
    pub fn from_runs(runs: &[Report]) -> Result<Self, BaselineError> {
        let [first, ..] = runs else { return Err(BaselineError::TooFew(0)) };
        if runs.len() < MIN_RUNS {
            return Err(BaselineError::TooFew(runs.len()));
        }
        for (run, report) in (1..).zip(runs) {
            let found = differences((&first.setting, &first.machine), (&report.setting, &report.machine));
            if let Some(difference) = found.into_iter().next() {
                return Err(BaselineError::Mixed { run, difference });
            }
            if let Some(doubt) = report.doubts().into_iter().next() {
                return Err(BaselineError::Doubtful { run, doubt });
            }
        }
        let figures = FIGURES.iter().filter_map(|figure| {
            let values: Option<Vec<f64>> = runs.iter().map(|r| Some(figure.read(r)?.value)).collect();
            Some((figure.key.to_owned(), Range::of(values?)))
        });
        Ok(Self {
            format: FORMAT,
            began_unix: runs.iter().map(|r| r.began_unix).min().unwrap_or_default(),
            runs: runs.len(),
            machine: first.machine.clone(),
            setting: first.setting.clone(),
            figures: figures.collect(),
        })
    }

    /// Writes the baseline to `path`, over what is there.
    pub fn save(&self, path: &Path) -> Result<(), FileError> {
        json::save(path, "baseline", self)
    }

    /// Reads what [`save`](Self::save) wrote. Another format is refused.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        json::load(path, "baseline", FORMAT)
    }
}

impl Range {
    /// Of at least one value, all of them finite.
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let (last, middle) = (values.len() - 1, values.len() / 2);
        let median = (values[middle] + values[last - middle]) / 2.0;
        Self { min: values[0], median, max: values[last] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_few() {
        let range = |min, median, max| Range { min, median, max };
        assert_eq!(Range::of(vec![3.0, 1.0, 2.5]), range(1.0, 2.5, 3.0));
        assert_eq!(Range::of(vec![4.0, 1.0, 2.0, 3.0]), range(1.0, 2.5, 4.0));
        assert_eq!(Range::of(vec![7.0]), range(7.0, 7.0, 7.0));
    }

    #[test]
    fn every_figure_has_a_key_of_its_own() {
        let keys: std::collections::BTreeSet<_> = FIGURES.iter().map(|f| f.key).collect();
        assert_eq!(keys.len(), FIGURES.len());
    }
}
