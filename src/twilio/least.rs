//! The least of what was measured lately. Pure.
//!
//! Whatever delays a message makes its trip longer and nothing makes it shorter, so the shortest trip is the path itself.

use std::time::Duration;

use pipeline::Nanos;

/// The minimum over this window and the one before, so over one window at least and two at most.
#[derive(Debug)]
pub struct Least {
    window: Duration,
    began: Nanos,
    this: Option<i64>,
    last: Option<i64>,
}

impl Least {
    /// Over windows of so long.
    pub fn over(window: Duration) -> Self {
        Self { window, began: Nanos(0), this: None, last: None }
    }

    /// Takes a measurement.
    pub fn took(&mut self, value: i64, now: Nanos) {
        if now.saturating_sub(self.began) >= self.window {
            self.last = self.this.take();
            self.began = now;
        }
        self.this = Some(self.this.map_or(value, |least| least.min(value)));
    }

    /// The least, if anything was measured.
    pub fn get(&self) -> Option<i64> {
        self.this.into_iter().chain(self.last).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_counts_for_a_window_or_two() {
        let mut path = Least::over(Duration::from_secs(30));
        assert_eq!(path.get(), None);
        let course = [(40, 90, 90), (50, 30, 30), (60, 80, 30), (71, 60, 30), (99, 70, 30), (102, 75, 60)];
        for (at_s, value, least) in course {
            path.took(value, Nanos::from_millis(at_s * 1000));
            assert_eq!(path.get(), Some(least), "after {at_s} s");
        }
    }
}
