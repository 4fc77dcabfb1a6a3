//! What the operating system can do for an audio thread: a core of its own, priority, memory that stays, cheap small numbers.

use std::sync::OnceLock;

/// What came of asking for real-time priority. Nothing here logs; the caller of `Workers::start` may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Not asked for.
    Normal,
    /// The thread runs as `SCHED_FIFO`.
    RealTime,
    /// The thread runs with this nice value; real time was not allowed.
    Nice(i32),
    /// Neither was allowed: the error number (`EPERM` unless the process may; see `setrlimit(2)`, `RLIMIT_RTPRIO`).
    Denied(i32),
    /// This system has no way known here.
    Unsupported,
}

/// `SCHED_FIFO` priority, 1 to 99. Above everything ordinary and below what the kernel and sound servers use.
const FIFO_PRIORITY: i32 = 10;
/// Nice value asked for where real time is refused.
const NICE: i32 = -10;

/// The cores this process may use, as they were when first asked for.
///
/// Read once: the system answers for the calling thread, which after pinning has one core.
pub fn cores() -> &'static [usize] {
    static CORES: OnceLock<Vec<usize>> = OnceLock::new();
    CORES.get_or_init(|| {
        core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect()
    })
}

/// Ties this thread to a core; says whether it could.
pub fn pin(core: usize) -> bool {
    core_affinity::set_for_current(core_affinity::CoreId { id: core })
}

/// Asks for the highest priority this thread may have.
#[cfg(target_os = "linux")]
pub(crate) fn raise_priority() -> Priority {
    let errno = || std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
    // SAFETY: a zeroed sched_param is valid, and the kernel only reads it.
    let asked = unsafe {
        let mut param: libc::sched_param = std::mem::zeroed();
        param.sched_priority = FIFO_PRIORITY;
        libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &param)
    };
    if asked == 0 {
        return Priority::RealTime;
    }
    let refused = errno();
    // SAFETY: no pointers; 0 names the calling thread on Linux.
    let nice = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
    if nice == 0 { Priority::Nice(NICE) } else { Priority::Denied(refused) }
}

/// Asks for the highest priority this thread may have.
#[cfg(not(target_os = "linux"))]
pub(crate) fn raise_priority() -> Priority {
    let _ = (FIFO_PRIORITY, NICE);
    Priority::Unsupported
}

/// What came of asking for memory that is never taken away. It is asked for the whole process: audio threads run the same code and
/// heap as the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Not asked for.
    Pageable,
    /// Pages stay from their first use on.
    Locked,
    /// Not allowed: `RLIMIT_MEMLOCK` is finite and could not be raised. Under a finite limit allocations would fail at it, so
    /// nothing was locked.
    Limited,
    /// The error number of the refusal.
    Denied(i32),
    /// This system has no way known here.
    Unsupported,
}

/// Keeps this process' pages in memory from their first use on.
///
/// On first use (`MCL_ONFAULT`, Linux 4.4), not at once: every thread's stack of 2 MB would become resident whole. The price is that
/// freed heap is not given back to the system either (`madvise` is refused on locked pages): the peak stays, and is used again.
#[cfg(target_os = "linux")]
pub(crate) fn lock_memory() -> Memory {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the kernel reads and writes the rlimit that is pointed to; mlockall takes no pointer.
    unsafe {
        if libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit) != 0 {
            libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit);
        }
        if limit.rlim_cur != libc::RLIM_INFINITY {
            return Memory::Limited;
        }
        if libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) != 0 {
            return Memory::Denied(std::io::Error::last_os_error().raw_os_error().unwrap_or(0));
        }
    }
    Memory::Locked
}

/// Keeps this process' pages in memory.
#[cfg(not(target_os = "linux"))]
pub(crate) fn lock_memory() -> Memory {
    Memory::Unsupported
}

/// Lets this thread's timed waits end when they should: by default Linux may round them up by 50 µs.
pub(crate) fn sharpen_timers() {
    #[cfg(target_os = "linux")]
    // SAFETY: no pointers; a refusal leaves things as they were.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1_usize);
    }
}

/// Makes this thread take numbers below 1e-38 for zero: filters that ring out into them run up to a hundred times
/// slower on x86. Affects this thread alone.
pub(crate) fn denormals_off() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: sets flush-to-zero (bit 15) and denormals-are-zero (bit 6) of MXCSR and leaves the rest as it was.
    unsafe {
        let mut mxcsr = 0_u32;
        std::arch::asm!("stmxcsr [{}]", in(reg) &mut mxcsr, options(nostack, preserves_flags));
        mxcsr |= 1 << 15 | 1 << 6;
        std::arch::asm!("ldmxcsr [{}]", in(reg) &mxcsr, options(nostack, preserves_flags, readonly));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: sets flush-to-zero (bit 24) of FPCR and leaves the rest as it was.
    unsafe {
        let mut fpcr: u64;
        std::arch::asm!("mrs {}, fpcr", out(reg) fpcr, options(nomem, nostack, preserves_flags));
        fpcr |= 1 << 24;
        std::arch::asm!("msr fpcr, {}", in(reg) fpcr, options(nomem, nostack, preserves_flags));
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // tests start threads
mod tests {
    use super::*;

    #[test]
    fn cores_stay_known_after_pinning() {
        let all = cores().to_vec();
        assert!(!all.is_empty());
        let first = all[0];
        let seen = std::thread::spawn(move || {
            assert!(pin(first));
            cores().to_vec()
        })
        .join()
        .unwrap();
        assert_eq!(seen, all);
    }

    #[test]
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    fn denormals_become_zero_on_this_thread_only() {
        let tiny = || std::hint::black_box(f32::MIN_POSITIVE) / std::hint::black_box(4.0);
        let off = std::thread::spawn(move || {
            denormals_off();
            tiny()
        });
        assert_eq!(off.join().unwrap(), 0.0);
        assert!(tiny() > 0.0);
    }
}
