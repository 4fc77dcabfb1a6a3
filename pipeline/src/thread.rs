//! The audio thread's loop: the one place of the crate that waits, pins and reads the clock.
#![allow(clippy::disallowed_methods)]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam::sync::Parker;

use crate::guard::forbid_alloc;
use crate::rt::{self, Priority};
use crate::units::{Clock, Nanos};
use crate::worker::{Link, Worker};

/// The monotonic clock (`CLOCK_MONOTONIC`): the one clock of the bridge; the network side stamps with it too.
pub fn now() -> Nanos {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes a timespec to where the pointer says; this clock exists on every system we build for.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    Nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// [`now`] as a value to hand in.
#[derive(Debug, Default, Clone, Copy)]
pub struct Monotonic;

impl Clock for Monotonic {
    fn now(&self) -> Nanos {
        now()
    }
}

/// What a call adds to the pace, until that is as long as it may be. A wake costs the same however much there is to do, so with few calls each
/// may have its own and with many they share: at 50 calls the pace is 0.2 ms, where a thread that looks every 0.5 ms adds twice as much
/// delay, and one that never waits takes as much CPU as this.
const PACE_PER_CALL: Duration = Duration::from_micros(4);
/// Ticks that may follow each other faster than the pace: an event of each of so many calls at the same moment is served at once.
const BURST: u32 = 8;

/// How a thread is set up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) core: Option<usize>,
    pub(crate) priority: bool,
    pub(crate) spin: Duration,
    pub(crate) pace: Duration,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    pub(crate) pinned: bool,
    pub(crate) priority: Priority,
}

/// Applies the setup to the calling thread.
pub(crate) fn set_up(setup: Setup) -> Standing {
    let pinned = setup.core.is_some_and(rt::pin);
    let priority = if setup.priority { rt::raise_priority() } else { Priority::Normal };
    rt::sharpen_timers();
    rt::denormals_off();
    Standing { pinned, priority }
}

/// Serves calls until told to stop, then hands all of them back.
pub(crate) fn run(mut worker: Worker, link: &Arc<Link>, parker: &Parker, setup: Setup) {
    let clock = Monotonic;
    let mut pace = Pace { interval: Duration::ZERO, next: Nanos(0) };
    while !link.stop.load(Ordering::Acquire) {
        let began = now();
        let deadline = forbid_alloc(|| worker.tick(&clock));
        let ended = now();
        link.load.record(began, ended);
        pace.interval = setup.pace.min(PACE_PER_CALL * link.calls.load(Ordering::Relaxed) as u32);
        if let Some(until) = pace.after(began, ended) {
            sleep_until(until);
        }
        wait(link, parker, deadline, setup.spin);
    }
    worker.hand_back_all();
}

/// How often a worker looks at its calls when there is always something to do: each wake costs the thread, and whoever wakes it, some
/// 5 µs, so with many calls it gathers what comes in an interval. With few nothing is held back (generic cell rate algorithm).
struct Pace {
    interval: Duration,
    /// When the next tick would come at this pace.
    next: Nanos,
}

impl Pace {
    /// Until when to look away after a tick, if at all.
    fn after(&mut self, began: Nanos, ended: Nanos) -> Option<Nanos> {
        self.next = self.next.max(began) + self.interval;
        let until = self.next - self.interval * BURST;
        (until > ended).then_some(until)
    }
}

/// Sleeps whatever happens. Absolute, so that being late here and there does not add up.
fn sleep_until(at: Nanos) {
    #[cfg(target_os = "linux")]
    {
        let time = libc::timespec {
            tv_sec: (at.0 / 1_000_000_000) as libc::time_t,
            tv_nsec: (at.0 % 1_000_000_000) as libc::c_long,
        };
        // SAFETY: the kernel reads the timespec; the time that is left after a signal is not asked for.
        unsafe {
            libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &time, std::ptr::null_mut());
        }
    }
    #[cfg(not(target_os = "linux"))]
    std::thread::sleep(at.saturating_sub(now()));
}

/// Until news or the deadline. The deadline is absolute; the time to it is worked out just before waiting.
fn wait(link: &Link, parker: &Parker, deadline: Nanos, spin: Duration) {
    let began = now();
    let (spin_until, mut left) = (began + spin, deadline.saturating_sub(began));
    while !link.has_news() && !left.is_zero() {
        if deadline == Nanos::MAX && now() >= spin_until {
            parker.park();
            return;
        }
        // The last stretch is spun, if spinning is wanted: a timer comes some 70 µs late.
        if left > spin && now() >= spin_until {
            parker.park_timeout(left - spin);
            if spin.is_zero() {
                return;
            }
        } else {
            std::hint::spin_loop();
        }
        left = deadline.saturating_sub(now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_lets_bursts_pass_and_holds_what_goes_on() {
        let ms = Duration::from_millis(1);
        let mut pace = Pace { interval: ms, next: Nanos(0) };
        let mut time = Nanos::from_millis(1_000);
        for _ in 0..BURST {
            assert_eq!(pace.after(time, time), None);
        }
        assert_eq!(pace.after(time, time), Some(time + ms));
        // From then on one each millisecond, also if a tick takes a part of it.
        for _ in 0..100 {
            time += ms;
            assert_eq!(pace.after(time, time + ms / 2), Some(time + ms));
        }
        // A rest restores the burst.
        time += ms * 100;
        assert_eq!(pace.after(time, time), None);
        // Without a pace nothing is held.
        let mut none = Pace { interval: Duration::ZERO, next: Nanos(0) };
        assert!((0..100).all(|_| none.after(time, time).is_none()));
    }

    #[test]
    fn an_overrun_worker_is_not_held() {
        let ms = Duration::from_millis(1);
        let mut pace = Pace { interval: ms, next: Nanos(0) };
        let mut time = Nanos::from_millis(1_000);
        for _ in 0..50 {
            assert_eq!(pace.after(time, time + ms * 3), None);
            time += ms * 3;
        }
    }
}
