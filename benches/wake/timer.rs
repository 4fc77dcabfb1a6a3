//! A moment came for a thread that waits for it.

use std::time::Duration;

use crate::load::{cpu, row, set_up, sleep_until};
use pipeline::now;

const BEAT: u64 = 20_000_000;

#[derive(Clone, Copy)]
pub struct Way {
    name: &'static str,
    how: How,
    /// Spun before the moment, ns.
    spin: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum How {
    Absolute,
    ParkTimeout,
    Spin,
}

pub const WAYS: [Way; 5] = [
    Way { name: "`clock_nanosleep`, absolute", how: How::Absolute, spin: 0 },
    Way { name: "`park_timeout`, relative", how: How::ParkTimeout, spin: 0 },
    Way { name: "`park_timeout`, the last 100 µs spun", how: How::ParkTimeout, spin: 100_000 },
    Way { name: "`park_timeout`, the last 200 µs spun", how: How::ParkTimeout, spin: 200_000 },
    Way { name: "spinning", how: How::Spin, spin: 0 },
];

pub fn measure(way: Way, real_time: bool, cell: Duration) {
    // On a machine whose every core is taken, a real-time thread that never sleeps would stop everything else.
    if real_time && way.how == How::Spin {
        return;
    }
    let beats = (cell.as_nanos() as u64 / BEAT).max(2);
    let (mut late, used, allowed) = std::thread::spawn(move || {
        let allowed = set_up(real_time);
        let (mut late, began, start) = (Vec::new(), cpu(), now().0);
        for beat in 1..=beats {
            let due = start + beat * BEAT;
            match way.how {
                How::Absolute => sleep_until(due),
                How::ParkTimeout => {
                    while now().0 + way.spin < due {
                        std::thread::park_timeout(Duration::from_nanos(due - way.spin - now().0));
                    }
                }
                How::Spin => {}
            }
            while now().0 < due {
                std::hint::spin_loop();
            }
            late.push(now().0 - due);
        }
        (late, cpu() - began, allowed)
    })
    .join()
    .expect("the waiter only waits");
    if allowed {
        row(way.name, real_time, &mut late, used);
    }
}
