//! Competing work, the priority of the calling thread, and what it has used.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// One thread on each core that never rests.
pub struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    pub fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = pipeline::cores()
            .iter()
            .map(|_| {
                let stop = Arc::clone(&stop);
                std::thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                })
            })
            .collect();
        Self { stop, threads }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().expect("it only spins"));
    }
}

/// As the audio thread sets itself up. Says whether real time was allowed.
pub fn set_up(real_time: bool) -> bool {
    // SAFETY: a zeroed sched_param is valid, and the kernel only reads it; prctl takes no pointer here.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1_usize);
        let mut param: libc::sched_param = std::mem::zeroed();
        param.sched_priority = 10;
        !real_time || libc::sched_setscheduler(0, libc::SCHED_FIFO, &param) == 0
    }
}

/// CPU time of this thread so far.
pub fn cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes a timespec to where the pointer says.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Sleeps until a moment of the monotonic clock, ns.
pub fn sleep_until(at: u64) {
    let time = libc::timespec { tv_sec: (at / 1_000_000_000) as _, tv_nsec: (at % 1_000_000_000) as _ };
    // SAFETY: the kernel reads the timespec; the rest is not asked for.
    unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &time, std::ptr::null_mut()) };
}

/// One row of a table, with the CPU time that each of the latencies cost.
pub fn row(name: &str, real_time: bool, latencies: &mut [u64], cpu: Duration) {
    latencies.sort_unstable();
    let at = |q: f64| latencies[((latencies.len() - 1) as f64 * q) as usize] as f64 / 1e3;
    let each = cpu.as_secs_f64() * 1e6 / latencies.len() as f64;
    let priority = if real_time { "real time" } else { "normal" };
    println!("| {name} | {priority} | {:.1} | {:.1} | {each:.1} |", at(0.5), at(0.99));
}
