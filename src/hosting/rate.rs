//! A token bucket: so many a second, so many at once. Pure; the time is an argument.

use std::time::Duration;

/// Lets `per_second` through in the long run and `burst` at once.
#[derive(Debug, Clone)]
pub struct Bucket {
    per_second: f64,
    burst: f64,
    level: f64,
    at: Duration,
}

impl Bucket {
    /// A full bucket.
    pub fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second: per_second.into(), burst: burst.into(), level: burst.into(), at: Duration::ZERO }
    }

    /// Takes one if there is one. `now` counts from any fixed moment; going back counts as standing still.
    pub fn take(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.at);
        self.at = self.at.max(now);
        self.level = (self.level + passed.as_secs_f64() * self.per_second).min(self.burst);
        let some = self.level >= 1.0;
        if some {
            self.level -= 1.0;
        }
        some
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_holds_in_the_long_run_and_the_burst_at_once() {
        let mut bucket = Bucket::new(10, 5);
        let start = Duration::from_secs(1_000_000);
        assert_eq!((0..100).filter(|_| bucket.take(start)).count(), 5);
        // Every 10 ms for 10 s.
        let taken = (1..=1000).filter(|i| bucket.take(start + Duration::from_millis(10 * i))).count();
        assert!((99..=101).contains(&taken), "{taken}");
        assert!(!bucket.take(start), "an earlier moment gives nothing");
    }
}
