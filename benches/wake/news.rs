//! Something came for a thread that waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::load::{cpu, row, set_up};
use pipeline::now;

/// Pause between two wakes: long enough for the waiter to sleep, not a divisor of any tick.
const PAUSE: Duration = Duration::from_micros(4_700);

#[derive(Clone, Copy)]
pub struct Way {
    name: &'static str,
    how: How,
}

#[derive(Clone, Copy)]
enum How {
    Spin,
    Park,
    Eventfd,
    Poll(Duration),
}

pub const WAYS: [Way; 4] = [
    Way { name: "spinning", how: How::Spin },
    Way { name: "park / unpark (futex)", how: How::Park },
    Way { name: "eventfd", how: How::Eventfd },
    Way { name: "looking once in 1 ms (`clock_nanosleep`)", how: How::Poll(Duration::from_millis(1)) },
];

pub fn measure(way: Way, real_time: bool, cell: Duration) {
    let stamp = Arc::new(AtomicU64::new(0));
    // SAFETY: takes no pointer.
    let event = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    assert!(event >= 0, "an eventfd");
    let rounds = (cell.as_micros() / PAUSE.as_micros()) as usize;
    let its = Arc::clone(&stamp);
    let waiter = std::thread::spawn(move || {
        let allowed = set_up(real_time);
        let (mut latencies, began) = (Vec::with_capacity(rounds), cpu());
        let mut next = now().0;
        while latencies.len() < rounds {
            let at = its.swap(0, Ordering::Acquire);
            if at > 0 {
                latencies.push(now().0 - at);
                continue;
            }
            match way.how {
                How::Spin => std::hint::spin_loop(),
                How::Park => std::thread::park(),
                How::Eventfd => {
                    let mut count = 0_u64;
                    // SAFETY: the kernel writes eight bytes to where the pointer says.
                    unsafe { libc::read(event, (&raw mut count).cast(), 8) };
                }
                How::Poll(pace) => {
                    next = (next + pace.as_nanos() as u64).max(now().0);
                    crate::load::sleep_until(next);
                }
            }
        }
        (latencies, cpu() - began, allowed)
    });
    while !waiter.is_finished() {
        std::thread::sleep(PAUSE);
        stamp.store(now().0, Ordering::Release);
        match way.how {
            How::Park => waiter.thread().unpark(),
            How::Eventfd => {
                let one = 1_u64;
                // SAFETY: the kernel reads eight bytes from where the pointer says.
                unsafe { libc::write(event, (&raw const one).cast(), 8) };
            }
            How::Spin | How::Poll(_) => {}
        }
    }
    let (mut latencies, used, allowed) = waiter.join().expect("the waiter only waits");
    // SAFETY: nobody uses the descriptor any more.
    unsafe { libc::close(event) };
    if allowed {
        row(way.name, real_time, &mut latencies, used);
    } else {
        println!("| {} | real time: not allowed here | | | |", way.name);
    }
}
