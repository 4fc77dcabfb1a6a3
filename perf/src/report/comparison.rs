//! A run beside a baseline.

use std::fmt;

use super::difference::differences;
use super::figure::{FIGURES, Figure, Unit};
use super::number::{figure, maybe};
use super::verdict::judge;
use super::{Baseline, Difference, Range, Report, Verdict};

/// A run beside a baseline, figure by figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// How many runs the baseline has.
    pub runs: usize,
    /// What keeps all figures, or some, from being compared.
    pub differences: Vec<Difference>,
    /// Every figure that either side has.
    pub lines: Vec<Line>,
}

/// A figure of the run beside the baseline's.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its name in the baseline's file.
    pub key: &'static str,
    /// Its name to people.
    pub name: &'static str,
    /// Of all values here.
    pub unit: Unit,
    /// What this run found; nothing if it observed nothing.
    pub ours: Option<f64>,
    /// What the baseline's runs found; nothing if they observed nothing.
    pub range: Option<Range>,
    /// What it is worth.
    pub verdict: Verdict,
}

impl Baseline {
    /// Holds `report` against the baseline.
    ///
    /// Nothing is comparable if the load, the codec, the network or the number of cores differ, or if the run is
    /// [doubtful](Report::doubts). On another processor only failures and counts are compared, never times, CPU or memory.
    pub fn compare(&self, report: &Report) -> Comparison {
        let mut differences = differences((&self.setting, &self.machine), (&report.setting, &report.machine));
        differences.extend(report.doubts().into_iter().map(Difference::Doubtful));
        let comparable =
            |figure: &Figure| differences.iter().all(|d| d.leaves_counts() && !figure.absolute());
        let lines = FIGURES.iter().filter_map(|figure| {
            let ours = figure.read(report);
            let range = self.figures.get(figure.key).copied();
            let verdict = match (ours, range) {
                (None, None) => return None,
                (None, Some(_)) if comparable(figure) => Verdict::Missing,
                (Some(ours), Some(range)) if comparable(figure) => {
                    judge(figure.measure, figure.unit, ours, &range)
                }
                _ => Verdict::NotComparable,
            };
            let Figure { key, name, unit, .. } = *figure;
            Some(Line { key, name, unit, ours: ours.map(|r| r.value), range, verdict })
        });
        let lines = lines.collect();
        Comparison { runs: self.runs, differences, lines }
    }
}

impl Comparison {
    /// Whether a figure is worse, or missing where the baseline has one.
    pub fn worse(&self) -> bool {
        self.verdict() == Verdict::Worse
    }

    /// All figures in one word. [`Verdict::NotComparable`], when not one could be compared, is no pass: nothing was shown.
    pub fn verdict(&self) -> Verdict {
        let any = |verdict| self.lines.iter().any(|l| l.verdict == verdict);
        if any(Verdict::Worse) || any(Verdict::Missing) {
            Verdict::Worse
        } else if any(Verdict::Better) {
            Verdict::Better
        } else if any(Verdict::Same) {
            Verdict::Same
        } else {
            Verdict::NotComparable
        }
    }

    /// The figure of that key.
    pub fn line(&self, key: &str) -> Option<&Line> {
        self.lines.iter().find(|l| l.key == key)
    }
}

impl fmt::Display for Comparison {
    /// A table of at most 100 columns.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "against a baseline of {} runs: {}", self.runs, self.verdict())?;
        for difference in &self.differences {
            writeln!(f, "  {difference}")?;
        }
        write!(f, "\n  {:<34}{:<6}{:>10}", "", "", "this run")?;
        write!(f, "{:>10}{:>10}{:>10}  verdict", "smallest", "median", "largest")?;
        for line in &self.lines {
            let Line { name, unit, ours, range, verdict, .. } = line;
            write!(f, "\n  {name:<34}{unit:<6}{:>10}", maybe(*ours))?;
            match range {
                Some(Range { min, median, max }) => {
                    [min, median, max].iter().try_for_each(|v| write!(f, "{:>10}", figure(**v)))?;
                }
                None => write!(f, "{:>30}", "–")?,
            }
            write!(f, "  {verdict}")?;
        }
        Ok(())
    }
}
