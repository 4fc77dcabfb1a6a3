//! How late things were, in microseconds.

use std::time::Duration;

/// Measurements kept; beyond it new ones overwrite the oldest. At 50 a second: 21 minutes.
const KEPT: usize = 65_536;

/// A record of delays against a schedule.
#[derive(Debug, Clone, Default)]
pub struct Lateness {
    micros: Vec<u32>,
    count: u64,
    max: u32,
}

impl Lateness {
    /// Adds one measurement.
    pub fn record(&mut self, late: Duration) {
        let micros = u32::try_from(late.as_micros()).unwrap_or(u32::MAX);
        if self.micros.len() < KEPT {
            self.micros.push(micros);
        } else {
            self.micros[(self.count % KEPT as u64) as usize] = micros;
        }
        self.count += 1;
        self.max = self.max.max(micros);
    }

    /// Measurements made.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest ever.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.max.into())
    }

    /// The delay that a share `q`, 0.0 to 1.0, of the kept measurements does not exceed. Zero without measurements.
    pub fn percentile(&self, q: f64) -> Duration {
        let mut sorted = self.micros.clone();
        sorted.sort_unstable();
        let index = (q.clamp(0.0, 1.0) * sorted.len().saturating_sub(1) as f64).round() as usize;
        Duration::from_micros(sorted.get(index).copied().unwrap_or(0).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_what_was_recorded() {
        let mut lateness = Lateness::default();
        assert_eq!(lateness.percentile(0.5), Duration::ZERO);
        for i in 1..=100 {
            lateness.record(Duration::from_micros(i));
        }
        assert_eq!(lateness.percentile(0.5), Duration::from_micros(51));
        assert_eq!(lateness.percentile(1.0), Duration::from_micros(100));
        assert_eq!((lateness.count(), lateness.max()), (100, Duration::from_micros(100)));
    }
}
