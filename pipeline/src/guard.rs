//! Proof that the audio thread does not allocate: a flag raised around each tick, and an allocator that looks at it.
//!
//! With debug assertions on, every tick runs inside [`forbid_alloc`]. A program whose global allocator is a
//! [`GuardedAllocator`] then notices the first allocation or free in there. Without debug assertions the flag is
//! never raised and the guard costs one load of a thread-local per allocation.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Whether ticks are guarded in this build.
pub const GUARDED: bool = cfg!(debug_assertions);

thread_local! {
    // Constant and without a destructor, so that reading it allocates nothing itself.
    static FORBIDDEN: Cell<u32> = const { Cell::new(0) };
}

static VIOLATIONS: AtomicU64 = AtomicU64::new(0);

/// Runs `tick`, during which this thread must not allocate or free, in builds with debug assertions.
pub fn forbid_alloc<T>(tick: impl FnOnce() -> T) -> T {
    if GUARDED { forbid_alloc_always(tick) } else { tick() }
}

/// Like [`forbid_alloc`], in every build.
pub fn forbid_alloc_always<T>(tick: impl FnOnce() -> T) -> T {
    struct Lower;
    impl Drop for Lower {
        fn drop(&mut self) {
            FORBIDDEN.with(|depth| depth.set(depth.get() - 1));
        }
    }
    FORBIDDEN.with(|depth| depth.set(depth.get() + 1));
    let _lower = Lower;
    tick()
}

/// Allocations and frees that happened where they are forbidden, in the whole process.
pub fn violations() -> u64 {
    VIOLATIONS.load(Relaxed)
}

/// What to do about an allocation in a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnViolation {
    /// Count it, see [`violations`].
    Count,
    /// Say so on standard error and abort: a debugger or core file then shows the culprit.
    Abort,
}

/// An allocator that notices when it is called inside [`forbid_alloc`].
pub struct GuardedAllocator<A> {
    inner: A,
    on_violation: OnViolation,
}

impl<A> GuardedAllocator<A> {
    /// Wraps `inner`; violations are counted.
    pub const fn counting(inner: A) -> Self {
        Self { inner, on_violation: OnViolation::Count }
    }

    /// Wraps `inner`; a violation aborts the process.
    pub const fn aborting(inner: A) -> Self {
        Self { inner, on_violation: OnViolation::Abort }
    }

    fn look(&self) {
        // `try_with`: a thread that is being torn down has no flag any more, and no ticks either.
        let forbidden = FORBIDDEN.try_with(|depth| depth.get() > 0).unwrap_or(false);
        // A panic may allocate: the call that panicked is over, and its report is worth the delay.
        if forbidden && !std::thread::panicking() {
            self.complain();
        }
    }

    #[cold]
    #[allow(clippy::disallowed_methods)] // the process ends with it
    fn complain(&self) {
        VIOLATIONS.fetch_add(1, Relaxed);
        if self.on_violation == OnViolation::Abort {
            let _ = std::io::stderr().write_all(b"allocation in an audio thread's tick\n");
            std::process::abort();
        }
    }
}

// SAFETY: every call is passed on unchanged to an allocator that keeps the contract.
unsafe impl<A: GlobalAlloc> GlobalAlloc for GuardedAllocator<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.look();
        // SAFETY: the caller's promises are passed on.
        unsafe { self.inner.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        self.look();
        // SAFETY: the caller's promises are passed on.
        unsafe { self.inner.dealloc(ptr, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.look();
        // SAFETY: the caller's promises are passed on.
        unsafe { self.inner.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        self.look();
        // SAFETY: the caller's promises are passed on.
        unsafe { self.inner.realloc(ptr, layout, new_size) }
    }
}
