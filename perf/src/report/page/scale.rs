//! From a value to its place on an axis, and the values that the axis names.

use crate::report::number::{grouped, round};

/// Steps between the ends of a linear axis, at most.
const STEPS: f64 = 5.0;

/// An axis between two values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scale {
    /// Even steps.
    Linear { from: f64, to: f64 },
    /// Even ratios. Both ends above zero.
    Log { from: f64, to: f64 },
    /// No numbers at all: what stands here has a name.
    Names,
}

impl Scale {
    /// A logarithmic axis that shows every one of `values`, from one full step of 1, 2, 5 to another. What is below `least` is shown there.
    pub fn log(values: impl IntoIterator<Item = f64>, least: f64) -> Self {
        let (mut low, mut high) = (f64::INFINITY, least);
        for value in values.into_iter().filter(|v| v.is_finite()) {
            low = low.min(value.max(least));
            high = high.max(value);
        }
        let from = step_below(low.min(high));
        // At least a decade: less would make much of next to nothing.
        Self::Log { from, to: step_above(high).max(from * 10.0) }
    }

    /// An axis from nothing to a round value not below any of `values`.
    pub fn linear(values: impl IntoIterator<Item = f64>) -> Self {
        let high = values.into_iter().filter(|v| v.is_finite()).fold(0.0, f64::max);
        let step = step_above(high / STEPS);
        Self::Linear { from: 0.0, to: if high > 0.0 { (high / step).ceil() * step } else { 1.0 } }
    }

    /// Where `value` lies, 0 to 1; what is beyond an end lies at it.
    pub fn at(self, value: f64) -> f64 {
        let share = match self {
            Self::Linear { from, to } => (value - from) / (to - from),
            Self::Names => 0.0,
            Self::Log { from, to } => (value.max(from) / from).ln() / (to / from).ln(),
        };
        share.clamp(0.0, 1.0)
    }

    /// Values to name, each with its text. At most ten.
    pub fn ticks(self) -> Vec<(f64, String)> {
        let values: Vec<f64> = match self {
            Self::Names => Vec::new(),
            Self::Linear { from, to } => {
                let step = step_above((to - from) / STEPS);
                let first = (from / step).ceil() as i64;
                (first..).map(|i| i as f64 * step).take_while(|v| *v <= to * 1.000_001).collect()
            }
            Self::Log { from, to } => {
                let decades = (to / from).log10();
                // With few decades the steps between them have room.
                let steps: &[f64] = if decades < 3.05 { &[1.0, 2.0, 5.0] } else { &[1.0] };
                let first = from.log10().floor() as i32;
                (first..=first + decades.ceil() as i32 + 1)
                    .flat_map(|decade| steps.iter().map(move |s| s * 10_f64.powi(decade)))
                    .filter(|v| (from * 0.999..=to * 1.001).contains(v))
                    .collect()
            }
        };
        values.into_iter().map(|v| (v, name(v))).collect()
    }
}

fn name(value: f64) -> String {
    if value >= 1000.0 { grouped(value.round() as u64) } else { round(value) }
}

/// The largest of 1, 2, 5 times a power of ten that is not above `value`.
fn step_below(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    [5.0, 2.0].into_iter().map(|s| s * decade).find(|s| *s <= value * 1.000_001).unwrap_or(decade)
}

/// The smallest of 1, 2, 5 times a power of ten that is not below `value`.
fn step_above(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|s| s * decade).find(|s| *s >= value * 0.999_999).unwrap_or(decade * 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9 * b.abs().max(1.0)
    }

    #[test]
    fn a_log_axis_covers_its_values_in_round_steps() {
        let Scale::Log { from, to } = Scale::log([0.13, 4.2], 0.01) else { panic!("asked for log") };
        assert!(close(from, 0.1) && close(to, 5.0), "{from} {to}");
        let scale = Scale::Log { from: 0.1, to: 10.0 };
        assert!(close(scale.at(1.0), 0.5) && scale.at(0.0) == 0.0 && scale.at(99.0) == 1.0);
        let names: Vec<String> = scale.ticks().into_iter().map(|t| t.1).collect();
        assert_eq!(names, ["0.1", "0.2", "0.5", "1", "2", "5", "10"]);
        let wide: Vec<String> =
            Scale::Log { from: 0.02, to: 100.0 }.ticks().into_iter().map(|t| t.1).collect();
        assert_eq!(wide, ["0.1", "1", "10", "100"]);
    }

    #[test]
    fn nothing_still_gives_an_axis() {
        for scale in
            [Scale::log([], 0.01), Scale::log([0.0], 0.01), Scale::linear([]), Scale::linear([f64::NAN])]
        {
            assert!(scale.at(1.0).is_finite(), "{scale:?}");
            assert!(!scale.ticks().is_empty(), "{scale:?}");
        }
    }

    #[test]
    fn a_linear_axis_has_round_steps() {
        let names = |scale: Scale| scale.ticks().into_iter().map(|t| t.1).collect::<Vec<_>>();
        assert_eq!(Scale::linear([37.0]), Scale::Linear { from: 0.0, to: 40.0 });
        assert_eq!(names(Scale::linear([37.0])), ["0", "10", "20", "30", "40"]);
        assert_eq!(names(Scale::Linear { from: 0.0, to: 59.0 }), ["0", "20", "40"]);
        assert_eq!(names(Scale::linear([100.0])), ["0", "20", "40", "60", "80", "100"]);
    }
}
