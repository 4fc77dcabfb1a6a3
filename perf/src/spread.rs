//! How a figure is spread over many observations.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

/// Largest value that is told apart, microseconds: ten minutes.
const MAX_US: u64 = 600_000_000;
/// Decimal digits that a value keeps.
const DIGITS: u8 = 3;

/// Durations, seen one by one and told by their percentiles.
#[derive(Debug, Clone)]
pub struct Spread(Histogram<u64>);

impl Default for Spread {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, MAX_US, DIGITS).expect("the bounds are constants that fit"))
    }
}

impl Spread {
    /// Adds an observation; what is beyond ten minutes counts as ten minutes.
    pub fn record(&mut self, value: Duration) {
        self.0.saturating_record(value.as_micros().min(u128::from(MAX_US)) as u64);
    }

    /// The value that a share `q` (0.0 to 1.0) of the observations does not exceed. Zero without observations.
    pub fn percentile(&self, q: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(q))
    }

    /// The mean. Zero without observations.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos((self.0.mean() * 1e3) as u64)
    }

    /// Adds what another has seen.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    /// Each bucket with something in it: its upper edge and its count.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        self.0
            .iter_recorded()
            .map(|bucket| (Duration::from_micros(bucket.value_iterated_to()), bucket.count_at_value()))
    }

    /// Observations.
    pub fn count(&self) -> u64 {
        self.0.len()
    }
}

impl fmt::Display for Spread {
    /// Median, 95th percentile and largest value in milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |q| self.percentile(q).as_secs_f64() * 1e3;
        write!(f, "{:>9.1} {:>9.1} {:>9.1} {:>7}", ms(0.5), ms(0.95), ms(1.0), self.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_values() {
        let mut spread = Spread::default();
        for ms in 1..=100 {
            spread.record(Duration::from_millis(ms));
        }
        let close = |q: f64, ms: u64| {
            spread.percentile(q).abs_diff(Duration::from_millis(ms)) < Duration::from_millis(1)
        };
        assert!(close(0.5, 50) && close(0.95, 95) && close(1.0, 100), "{spread}");
        assert_eq!(spread.count(), 100);
    }

    #[test]
    fn too_long_is_the_longest() {
        let mut spread = Spread::default();
        spread.record(Duration::from_secs(86_400));
        assert!(spread.percentile(1.0).abs_diff(Duration::from_secs(600)) < Duration::from_secs(1));
        assert_eq!(Spread::default().percentile(0.5), Duration::ZERO);
    }
}
