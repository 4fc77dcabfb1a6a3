//! How much of its time a worker works, told without locks.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::stats::AgeHistogram;
use crate::units::Nanos;

/// The stretch that [`Load::utilisation`] looks back on. Shorter shows single bursts; longer hides a worker that is just being
/// overrun.
pub const WINDOW: Duration = Duration::from_secs(1);

/// What a worker's thread writes after each tick and anyone may read.
#[derive(Default)]
pub(crate) struct Load {
    busy_ns: AtomicU64,
    steps: AtomicU64,
    /// The window under way: its begin, and `busy_ns` then.
    began: AtomicU64,
    busy_before: AtomicU64,
    /// Busy parts in 65536 of the last full window.
    share: AtomicU64,
    pub(crate) ticks: AgeHistogram,
}

impl Load {
    /// A tick was made. Called by one thread only.
    pub(crate) fn record(&self, began: Nanos, ended: Nanos) {
        let worked = ended.saturating_sub(began);
        self.ticks.record(worked);
        self.steps.fetch_add(1, Relaxed);
        let busy = self.busy_ns.fetch_add(worked.as_nanos() as u64, Relaxed) + worked.as_nanos() as u64;
        let window = ended.saturating_sub(Nanos(self.began.load(Relaxed)));
        if window >= WINDOW {
            let busy_in_it = busy - self.busy_before.load(Relaxed);
            self.share.store((busy_in_it << 16) / window.as_nanos() as u64, Relaxed);
            self.busy_before.store(busy, Relaxed);
            self.began.store(ended.0, Relaxed);
        }
    }

    /// Time worked since the start.
    pub(crate) fn busy(&self) -> Duration {
        Duration::from_nanos(self.busy_ns.load(Relaxed))
    }

    /// Ticks since the start.
    pub(crate) fn steps(&self) -> u64 {
        self.steps.load(Relaxed)
    }

    /// Share of the last full [`WINDOW`] that was spent working, 0 to 1. A worker that has not ticked for two of them sleeps: 0.
    pub(crate) fn utilisation(&self, now: Nanos) -> f64 {
        if now.saturating_sub(Nanos(self.began.load(Relaxed))) > WINDOW * 2 {
            return 0.0;
        }
        self.share.load(Relaxed) as f64 / 65_536.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_time_is_a_quarter_and_sleep_is_nothing() {
        let load = Load::default();
        let at = |ms: u64| Nanos::from_millis(10_000 + ms);
        for ms in 0..2_500 {
            load.record(at(ms), at(ms) + Duration::from_micros(250));
        }
        assert!((load.utilisation(at(2_500)) - 0.25).abs() < 0.01, "{}", load.utilisation(at(2_500)));
        assert_eq!((load.steps(), load.busy()), (2_500, Duration::from_millis(625)));
        assert_eq!(load.ticks.percentile(0.99), Duration::from_micros(250));
        assert_eq!(load.utilisation(at(9_000)), 0.0);
        for ms in 9_000..11_500 {
            load.record(at(ms), at(ms) + Duration::from_micros(900));
        }
        assert!((load.utilisation(at(11_500)) - 0.9).abs() < 0.01, "{}", load.utilisation(at(11_500)));
    }
}
