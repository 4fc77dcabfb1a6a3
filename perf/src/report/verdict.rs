//! When a figure is worse than a baseline's, and not only different.
//!
//! Two runs of the same program never agree. Were the bare range of the baseline's runs the limit, a new run of the same program would
//! fall beyond the largest of five by chance once in six, for every figure; with thirty figures, most runs would raise an alarm.
//! So the range is widened by a factor. What it costs was computed for log-normal scatter between runs and a baseline of five:
//!
//! | scatter | by chance beyond 1.25 × largest | beyond 2 × largest | twice as slow, found by 1.25 | three times, found by 2 |
//! |---|---|---|---|---|
//! | 5 % | < 0.01 % | < 0.01 % | > 99 % | > 99 % |
//! | 10 % | 0.2 % | < 0.01 % | > 99 % | 99 % |
//! | 20 % | 2.8 % | < 0.01 % | 84 % | 77 % |
//! | 30 % | 5.5 % | 0.2 % | 63 % | 57 % |
//! | 50 % | 9.0 % | 1.6 % | 43 % | 39 % |
//!
//! The narrow factor is for medians and means and holds up to a scatter of 10 to 15 %; the wide one is for what a few worst moments make
//! and holds up to 50 %. A baseline's own ranges tell whether its machine is that steady: where largest and smallest median of five runs are
//! further apart than a third, it is not, and alarms will be false. The price: a median that grew by less than a quarter passes. Who looks
//! for that runs two builds by turns on one machine.

use std::fmt;

use super::Range;
use super::figure::{Measure, Reading, Unit};

/// Widening of the range of a median or mean, both ways. Smaller: a scatter of 10 % raises false alarms. Larger: growth by half passes.
const CENTRE_FACTOR: f64 = 1.25;
/// Widening of the range of what the worst moments make, both ways.
const TAIL_FACTOR: f64 = 2.0;
/// A count of `n` that come by chance scatters by its root (Poisson); three of these are passed once in a thousand. Where the baseline
/// saw none, one is worse: on a sound path there is none to scatter.
const DEVIATIONS: f64 = 3.0;

/// What a figure is worth beside a baseline's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Below all that scatter explains.
    Better,
    /// Within what scatter explains.
    Same,
    /// Above all that scatter explains.
    Worse,
    /// Nothing was observed where the baseline has a figure. Counts as worse: a bridge that falls silent is not fast.
    Missing,
    /// Not compared.
    NotComparable,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Better => "better",
            Self::Same => "same",
            Self::Worse => "WORSE",
            Self::Missing => "MISSING",
            Self::NotComparable => "not comparable",
        })
    }
}

/// Differences that are below what is measured at all, whatever their ratio.
fn resolution(unit: Unit) -> f64 {
    match unit {
        // Less than one wake-up of a thread on a virtual machine (70 µs at the median).
        Unit::Ms => 0.05,
        Unit::PercentOfCore => 0.02,
        // Four pages.
        Unit::Kilobytes => 16.0,
        // One frame in two thousand.
        Unit::Percent | Unit::PerHundred => 0.05,
    }
}

/// Judges a figure of which less is better.
pub(super) fn judge(measure: Measure, unit: Unit, ours: Reading, range: &Range) -> Verdict {
    let widened = |factor: f64| {
        let floor = resolution(unit);
        (range.min / factor - floor, range.max * factor + floor)
    };
    let (low, high) = match measure {
        Measure::Centre(_) => widened(CENTRE_FACTOR),
        Measure::Tail(_) => widened(TAIL_FACTOR),
        Measure::Share(_) => {
            let hundredth = ours.of as f64 / 100.0;
            let scatter = |percent: f64| DEVIATIONS * (percent * hundredth).sqrt() / hundredth;
            (range.min - scatter(range.min), range.max + scatter(range.max))
        }
    };
    match ours.value {
        value if value > high => Verdict::Worse,
        value if value < low => Verdict::Better,
        _ => Verdict::Same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_own_width() {
        let centre = Measure::Centre(|_| None);
        let tail = Measure::Tail(|_| None);
        let share = Measure::Share(|_| (0, 0));
        let range = |min, max| Range { min, median: (min + max) / 2.0, max };
        let value = |value| Reading { value, of: 0 };
        let of = |part: u64, of: u64| Reading { value: part as f64 * 100.0 / of as f64, of };
        let cases = [
            // 8.0 to 10.0 ms, widened by a quarter and 0.05 ms.
            (centre, Unit::Ms, value(12.54), range(8.0, 10.0), Verdict::Same),
            (centre, Unit::Ms, value(12.56), range(8.0, 10.0), Verdict::Worse),
            (centre, Unit::Ms, value(6.36), range(8.0, 10.0), Verdict::Same),
            (centre, Unit::Ms, value(6.34), range(8.0, 10.0), Verdict::Better),
            // The same, widened to twice.
            (tail, Unit::Ms, value(20.04), range(8.0, 10.0), Verdict::Same),
            (tail, Unit::Ms, value(20.06), range(8.0, 10.0), Verdict::Worse),
            (tail, Unit::Ms, value(3.94), range(8.0, 10.0), Verdict::Better),
            // Twice a hundredth of a millisecond is nothing.
            (centre, Unit::Ms, value(0.02), range(0.01, 0.01), Verdict::Same),
            (centre, Unit::Kilobytes, value(216.0), range(160.0, 160.0), Verdict::Same),
            (centre, Unit::Kilobytes, value(217.0), range(160.0, 160.0), Verdict::Worse),
            // None was lost: one is worse, none the same.
            (share, Unit::Percent, of(0, 10_000), range(0.0, 0.0), Verdict::Same),
            (share, Unit::Percent, of(1, 10_000), range(0.0, 0.0), Verdict::Worse),
            // A hundred in ten thousand scatter by thirty.
            (share, Unit::Percent, of(129, 10_000), range(1.0, 1.0), Verdict::Same),
            (share, Unit::Percent, of(131, 10_000), range(1.0, 1.0), Verdict::Worse),
            (share, Unit::Percent, of(69, 10_000), range(1.0, 1.0), Verdict::Better),
        ];
        for (measure, unit, ours, range, verdict) in cases {
            assert_eq!(judge(measure, unit, ours, &range), verdict, "{ours:?} against {range:?}");
        }
    }

    /// How often, of 20 000 tries, a run `slower` times as slow is called worse, if runs scatter by `scatter` and the baseline has five.
    fn called_worse(measure: Measure, scatter: f64, slower: f64) -> f64 {
        let mut state = 1_u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        // Twelve uniform numbers make a normal one.
        let mut run = || 100.0 * (scatter * ((0..12).map(|_| uniform()).sum::<f64>() - 6.0)).exp();
        let tries = 20_000;
        let worse = (0..tries).filter(|_| {
            let five: [f64; 5] = std::array::from_fn(|_| run());
            let (min, max) = five.iter().fold((f64::MAX, 0.0), |(a, b), v| (v.min(a), v.max(b)));
            let ours = Reading { value: slower * run(), of: 0 };
            judge(measure, Unit::Ms, ours, &Range { min, median: 100.0, max }) == Verdict::Worse
        });
        worse.count() as f64 / f64::from(tries)
    }

    #[test]
    fn chance_is_seldom_called_worse_and_real_loss_is_found() {
        let (centre, tail) = (Measure::Centre(|_| None), Measure::Tail(|_| None));
        let (alarms, found) = (called_worse(centre, 0.1, 1.0), called_worse(centre, 0.1, 2.0));
        assert!(alarms < 0.005 && found > 0.99, "medians: {alarms} false, {found} found");
        let (alarms, found) = (called_worse(tail, 0.3, 1.0), called_worse(tail, 0.3, 3.0));
        assert!(alarms < 0.005 && found > 0.5, "tails: {alarms} false, {found} found");
        // Such tails would not bear the narrow factor: hence the wide one.
        assert!(called_worse(centre, 0.3, 1.0) > 0.04);
    }
}
