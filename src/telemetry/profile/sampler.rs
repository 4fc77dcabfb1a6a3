//! The timers, the signal handler, and the buffer between them.
//!
//! What the handler may do is bounded by where it runs: inside an audio thread's tick, inside the allocator, inside a lock. It claims
//! a place in a buffer that is there already, walks the stack and leaves: no allocation, no lock, no wait. The walk is the system
//! unwinder's, which finds unwind tables through glibc's `_dl_find_object` (lock-free, 2.35 and newer); older ones take a lock.

use std::time::Duration;

use super::{ProfileError, Threads};

/// A stack, innermost first.
pub(super) struct Sample {
    /// Index in [`Recording::threads`].
    pub thread: usize,
    /// Timer periods it stands for: more than one if the timer ran out faster than the kernel looked.
    pub weight: u64,
    /// The interrupted instruction, then return addresses.
    pub frames: Vec<usize>,
    /// The outermost frames were left out: the stack is deeper than what is kept.
    pub cut: bool,
}

/// What was sampled.
pub(super) struct Recording {
    pub threads: Vec<String>,
    pub samples: Vec<Sample>,
    /// Samples for which there was no room.
    pub lost: u64,
}

#[cfg(all(
    target_os = "linux",
    target_env = "gnu",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
pub(super) use linux::Sampler;

#[cfg(not(all(
    target_os = "linux",
    target_env = "gnu",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
pub(super) enum Sampler {}

#[cfg(not(all(
    target_os = "linux",
    target_env = "gnu",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
impl Sampler {
    pub(super) fn start(_: Duration, _: Threads, _: u32) -> Result<Self, ProfileError> {
        Err(ProfileError::Unsupported)
    }

    pub(super) fn finish(self) -> Recording {
        match self {}
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod linux {
    use std::cell::UnsafeCell;
    use std::io::Error;
    use std::mem::MaybeUninit;
    use std::ptr::null_mut;
    use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

    use super::*;

    /// Frames kept of a stack. Those of the network threads are some 60 deep; more costs 8 bytes a frame and sample.
    const MAX_DEPTH: usize = 120;
    /// Samples kept, 1 KB each and touched only when they are taken: a minute of two busy cores at 250 Hz. Further ones are counted.
    const MAX_SAMPLES: usize = 32_768;
    /// Threads sampled at once.
    const MAX_THREADS: usize = 256;

    struct Place {
        thread: usize,
        weight: u64,
        depth: usize,
        cut: bool,
        frames: [usize; MAX_DEPTH],
    }

    struct Buffer {
        /// Index by the number that a timer's signal carries.
        timers: Box<[libc::timer_t]>,
        places: Box<[UnsafeCell<MaybeUninit<Place>>]>,
        taken: AtomicUsize,
        lost: AtomicU64,
    }

    /// Where handlers write; null while nobody asked.
    static BUFFER: AtomicPtr<Buffer> = AtomicPtr::new(null_mut());
    /// Handlers between their first and last instruction: the buffer lives until there are none.
    static HANDLERS: AtomicUsize = AtomicUsize::new(0);
    static BUSY: AtomicBool = AtomicBool::new(false);

    /// A profile under way. Dropping it ends it.
    pub(in super::super) struct Sampler {
        buffer: *mut Buffer,
        threads: Vec<String>,
    }

    // SAFETY: the pointer is to a heap block that this value owns; what handlers of other threads do with it is ordered by `HANDLERS`.
    unsafe impl Send for Sampler {}

    impl Sampler {
        /// Begins to sample. There is room for `time` on all cores.
        pub(in super::super) fn start(
            time: Duration,
            threads: Threads,
            hz: u32,
        ) -> Result<Self, ProfileError> {
            if !lock_free_unwinder() {
                return Err(ProfileError::Unsupported);
            }
            if BUSY.swap(true, Ordering::AcqRel) {
                return Err(ProfileError::Busy);
            }
            let chosen = chosen(threads);
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            // Half as many again: timers fire on the kernel's tick, a little more or less often than asked.
            let room = (time.as_secs_f64() * f64::from(hz) * cores as f64 * 1.5) as usize + 64;
            let mut places = Vec::new();
            // Uninitialised memory needs no initialising; the kernel gives its pages as they are written.
            places.resize_with(room.min(MAX_SAMPLES), || UnsafeCell::new(MaybeUninit::uninit()));
            let mut timers = Vec::with_capacity(chosen.len());
            let mut names = Vec::with_capacity(chosen.len());
            for (id, name) in chosen {
                // A thread may have ended meanwhile.
                if let Some(timer) = timer(id, timers.len()) {
                    timers.push(timer);
                    names.push(name);
                }
            }
            let buffer = Buffer {
                timers: timers.into(),
                places: places.into(),
                taken: AtomicUsize::new(0),
                lost: AtomicU64::new(0),
            };
            // From here on the sampler's end undoes everything.
            let sampler = Self { buffer: Box::into_raw(Box::new(buffer)), threads: names };
            // Whatever the unwinder prepares at its first use it prepares here, not in the handler.
            walk(|_| true);
            BUFFER.store(sampler.buffer, Ordering::SeqCst);
            install()?;
            for timer in &sampler.buffer().timers {
                arm(*timer, hz)?;
            }
            Ok(sampler)
        }

        /// Ends the sampling and gives what there is.
        pub(in super::super) fn finish(mut self) -> Recording {
            self.quiesce();
            let buffer = self.buffer();
            let taken = buffer.taken.load(Ordering::Relaxed).min(buffer.places.len());
            let sample = |cell: &UnsafeCell<MaybeUninit<Place>>| {
                // SAFETY: the first `taken` places were claimed by handlers, each of which wrote its place whole before it ended, and all
                // have ended.
                let place = unsafe { (*cell.get()).assume_init_ref() };
                Sample {
                    thread: place.thread,
                    weight: place.weight,
                    frames: place.frames[..place.depth].to_vec(),
                    cut: place.cut,
                }
            };
            Recording {
                samples: buffer.places[..taken].iter().map(sample).collect(),
                lost: buffer.lost.load(Ordering::Relaxed),
                threads: std::mem::take(&mut self.threads),
            }
        }

        fn buffer(&self) -> &Buffer {
            // SAFETY: it is freed in `drop` alone; handlers write through cells and atomics only.
            unsafe { &*self.buffer }
        }

        /// No timer runs and no handler is under way after this.
        fn quiesce(&self) {
            if BUFFER.swap(null_mut(), Ordering::SeqCst).is_null() {
                return;
            }
            for timer in &self.buffer().timers {
                // SAFETY: created by `timer`, deleted once: the swap above lets only the first caller through.
                unsafe { libc::timer_delete(*timer) };
            }
            // Handlers take microseconds; one may have been preempted.
            while HANDLERS.load(Ordering::SeqCst) > 0 {
                std::thread::yield_now();
            }
        }
    }

    impl Drop for Sampler {
        fn drop(&mut self) {
            self.quiesce();
            // SAFETY: from `Box::into_raw`, freed once, and no handler holds it any more.
            drop(unsafe { Box::from_raw(self.buffer) });
            BUSY.store(false, Ordering::Release);
        }
    }

    /// Whether this C library lets the unwinder find its tables without a lock.
    fn lock_free_unwinder() -> bool {
        // SAFETY: a constant C string; the default search order.
        !unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_dl_find_object".as_ptr()) }.is_null()
    }

    /// The threads of this process that belong to the group.
    fn chosen(threads: Threads) -> Vec<(libc::pid_t, String)> {
        let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        let named = tasks.filter_map(|task| {
            let id = task.file_name().to_str()?.parse().ok()?;
            let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
            Some((id, name.trim_end().to_owned()))
        });
        named.filter(|(_, name)| threads.has(name)).take(MAX_THREADS).collect()
    }

    /// A timer on the CPU time of the thread `id`, whose signal interrupts that thread and carries `number`.
    fn timer(id: libc::pid_t, number: usize) -> Option<libc::timer_t> {
        // Linux's encoding of another thread's CPU clock, as in `pthread_getcpuclockid`: the scheduler's clock (2) of a thread (4).
        let clock = (!id << 3) | 6;
        // SAFETY: all zeros is a valid sigevent; the kernel reads it and writes the timer's id.
        unsafe {
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = libc::SIGPROF;
            event.sigev_value = libc::sigval { sival_ptr: number as *mut libc::c_void };
            event.sigev_notify_thread_id = id;
            let mut timer = null_mut();
            (libc::timer_create(clock, &mut event, &mut timer) == 0).then_some(timer)
        }
    }

    fn arm(timer: libc::timer_t, hz: u32) -> Result<(), Error> {
        let period =
            libc::timespec { tv_sec: 0, tv_nsec: libc::c_long::from(1_000_000_000 / hz.max(2) as i32) };
        let time = libc::itimerspec { it_interval: period, it_value: period };
        // SAFETY: the timer exists; the kernel reads the new setting and is not asked for the old one.
        let armed = unsafe { libc::timer_settime(timer, 0, &time, null_mut()) };
        if armed == 0 { Ok(()) } else { Err(Error::last_os_error()) }
    }

    /// Stays for good: a signal that is still under way when a profile ends would otherwise end the process.
    fn install() -> Result<(), Error> {
        // SAFETY: all zeros is a valid sigaction with an empty mask; the handler has the signature that SA_SIGINFO asks for.
        let installed = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_signal as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
            libc::sigaction(libc::SIGPROF, &action, null_mut())
        };
        if installed == 0 { Ok(()) } else { Err(Error::last_os_error()) }
    }

    extern "C" fn on_signal(_: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        HANDLERS.fetch_add(1, Ordering::SeqCst);
        let buffer = BUFFER.load(Ordering::SeqCst);
        if !buffer.is_null() {
            // SAFETY: errno is this thread's own; what was interrupted finds it as it left it. The buffer lives while `HANDLERS` counts
            // this handler; the kernel hands in the signal's information and the interrupted context.
            unsafe {
                let errno = *libc::__errno_location();
                record(&*buffer, &*info, &*context.cast::<libc::ucontext_t>());
                *libc::__errno_location() = errno;
            }
        }
        HANDLERS.fetch_sub(1, Ordering::SeqCst);
    }

    fn record(buffer: &Buffer, info: &libc::siginfo_t, context: &libc::ucontext_t) {
        // SAFETY: signals of our timers carry a value; others of that number (a stray `kill`) carry what no timer has.
        let thread = unsafe { info.si_value() }.sival_ptr as usize;
        let Some(timer) = buffer.timers.get(thread).filter(|_| info.si_code == libc::SI_TIMER) else {
            return;
        };
        let index = buffer.taken.fetch_add(1, Ordering::Relaxed);
        let Some(cell) = buffer.places.get(index) else {
            buffer.lost.fetch_add(1, Ordering::Relaxed);
            return;
        };
        // SAFETY: the timer exists until `HANDLERS` is zero or at least fails cleanly (-1).
        let overrun = unsafe { libc::timer_getoverrun(*timer) };
        let interrupted = instruction(context);
        let mut place = Place {
            thread,
            weight: 1 + u64::try_from(overrun).unwrap_or(0),
            depth: 1,
            cut: false,
            frames: [interrupted; MAX_DEPTH],
        };
        // The walk begins in here; what counts begins at the interrupted instruction.
        let mut ours = true;
        walk(|frame| {
            if ours {
                ours = frame != interrupted;
            } else if place.depth < MAX_DEPTH {
                place.frames[place.depth] = frame;
                place.depth += 1;
            } else {
                place.cut = true;
            }
            !place.cut
        });
        // SAFETY: `fetch_add` gave this place to this handler alone.
        unsafe { (*cell.get()).write(place) };
    }

    /// Walks the stack from here outward until `each` has enough.
    fn walk(mut each: impl FnMut(usize) -> bool) {
        // SAFETY: the synchronised variant guards resolving symbols, which a walk does not do.
        unsafe { backtrace::trace_unsynchronized(|frame| each(frame.ip() as usize)) };
    }

    #[cfg(target_arch = "x86_64")]
    fn instruction(context: &libc::ucontext_t) -> usize {
        context.uc_mcontext.gregs[libc::REG_RIP as usize] as usize
    }

    #[cfg(target_arch = "aarch64")]
    fn instruction(context: &libc::ucontext_t) -> usize {
        context.uc_mcontext.pc as usize
    }
}
