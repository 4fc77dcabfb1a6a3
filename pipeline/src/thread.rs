//! The audio thread's loop: the one place of the crate that waits, pins and reads the clock.
#![allow(clippy::disallowed_methods)]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam::sync::Parker;

use crate::guard::forbid_alloc;
use crate::rt::{self, Priority};
use crate::units::{Clock, Nanos};
use crate::worker::{COALESCE, Link, Worker};

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

/// How a thread is set up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) core: Option<usize>,
    pub(crate) priority: bool,
    pub(crate) spin: Duration,
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
pub(crate) fn run(mut worker: Worker, link: &Arc<Link>, parker: &Parker, spin: Duration) {
    let clock = Monotonic;
    while !link.stop.load(Ordering::Acquire) {
        let began = now();
        let deadline = forbid_alloc(|| worker.tick(&clock));
        link.busy_ns.fetch_add(now().saturating_sub(began).as_nanos() as u64, Ordering::Relaxed);
        link.steps.fetch_add(1, Ordering::Relaxed);
        wait(link, parker, deadline, spin);
    }
    worker.hand_back_all();
}

/// Until news or the deadline. The deadline is absolute; the time to it is worked out just before waiting.
fn wait(link: &Link, parker: &Parker, deadline: Nanos, spin: Duration) {
    let mut left = deadline.saturating_sub(now());
    let spin_until = now() + spin;
    while !link.has_news() && left > COALESCE {
        if now() < spin_until {
            std::hint::spin_loop();
        } else if deadline == Nanos::MAX {
            parker.park();
            return;
        } else if left > spin {
            // The last stretch is spun, if spinning is wanted: a timer comes some 70 µs late.
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
