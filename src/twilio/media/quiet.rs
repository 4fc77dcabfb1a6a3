//! Notices that no frame follows the last one.
//!
//! A timer that every frame puts off wakes the thread all the same when it would have been due first: some twelve times a second and call
//! while ARIA speaks. The caller's messages come fifty times a second whether anybody speaks or not, so the reader looks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pipeline::Nanos;

use crate::bell::TaskBell;

/// No frame for so long: a mark behind the last one, so that the end of a reply is known.
const QUIET: Duration = Duration::from_millis(60);

/// Shared by a stream's reader and writer.
#[derive(Debug)]
pub struct Quiet {
    /// When the last frame was written; [`Nanos::MAX`] once that is dealt with.
    last: AtomicU64,
    noticed: TaskBell,
}

impl Default for Quiet {
    fn default() -> Self {
        Self { last: AtomicU64::new(Nanos::MAX.0), noticed: TaskBell::default() }
    }
}

impl Quiet {
    /// A frame was written at `now`.
    pub fn wrote(&self, now: Nanos) {
        self.last.store(now.0, Ordering::Relaxed);
    }

    /// Tells the writer, once, if it is quiet at `now`.
    pub fn look(&self, now: Nanos) {
        let last = Nanos(self.last.load(Ordering::Relaxed));
        if now.saturating_sub(last) >= QUIET {
            self.last.store(Nanos::MAX.0, Ordering::Relaxed);
            self.noticed.ring();
        }
    }

    /// Resolves when it was told.
    pub async fn noticed(&self) {
        self.noticed.rung().await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn what_follows_in_time_is_not_quiet_and_an_end_is_noticed_once() {
        let quiet = Quiet::default();
        let at = Nanos::from_millis;
        quiet.look(at(1_000_000));
        assert!(quiet.noticed().now_or_never().is_none(), "nothing was said");
        for frame in 0..50 {
            quiet.wrote(at(frame * 20));
            quiet.look(at(frame * 20 + 15));
        }
        quiet.look(at(49 * 20 + 59));
        assert!(quiet.noticed().now_or_never().is_none());
        quiet.look(at(49 * 20 + 60));
        quiet.look(at(49 * 20 + 80));
        assert!(quiet.noticed().now_or_never().is_some());
        assert!(quiet.noticed().now_or_never().is_none());
        quiet.look(at(49 * 20 + 200));
        assert!(quiet.noticed().now_or_never().is_none());
    }
}
