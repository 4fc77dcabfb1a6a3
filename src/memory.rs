//! The process' memory: what is not needed is not resident.
//!
//! The SCTP of the WebRTC stack (`rtc` 0.21.1) fills a buffer of the largest message that is allowed with zeros and then only asks for its
//! length. That was a quarter of a call's memory. The buffer cannot be reached from outside the stack, but the allocator sees it made, and
//! its pages can be given back to the kernel: they read as zeros all the same, and count again only once something is written to them.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ptr;

use mimalloc::MiMalloc;

thread_local! {
    /// The block that is waited for.
    static WATCH: Cell<Watch> = const { Cell::new(Watch { bytes: 0, block: ptr::null_mut() }) };
}

#[derive(Clone, Copy)]
struct Watch {
    /// Its size; 0: none.
    bytes: usize,
    /// Where it is; null: not made yet, or gone again.
    block: *mut u8,
}

/// mimalloc, for [`sparse`] to work. With another allocator it does nothing.
#[derive(Debug)]
pub struct Allocator;

// SAFETY: every call goes to mimalloc unchanged. What is noted beside it allocates nothing: a `Cell` without a destructor.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        let block = unsafe { MiMalloc.alloc(layout) };
        if layout.size() >= LEAST {
            note(|watch| {
                if watch.bytes == layout.size() {
                    watch.block = block;
                }
            });
        }
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if layout.size() >= LEAST {
            note(|watch| watch.forget(block));
        }
        // SAFETY: as the caller promises.
        unsafe { MiMalloc.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        if layout.size() >= LEAST {
            note(|watch| watch.forget(block));
        }
        // SAFETY: as the caller promises.
        unsafe { MiMalloc.realloc(block, layout, bytes) }
    }
}

/// Smallest block that is worth it, bytes.
const LEAST: usize = 16 * 1024;

fn note(change: impl FnOnce(&mut Watch)) {
    WATCH.with(|cell| {
        let mut watch = cell.get();
        change(&mut watch);
        cell.set(watch);
    });
}

impl Watch {
    fn forget(&mut self, block: *mut u8) {
        if self.block == block {
            self.block = ptr::null_mut();
        }
    }
}

/// Does `work`, which leaves a block of exactly `bytes` behind on this thread. If that holds nothing but zeros, its pages are given back.
///
/// # Safety
///
/// Of the blocks of exactly `bytes` that `work` allocates and does not free on this thread, the last one is read here and then its pages are
/// replaced: `work` must have written all of it, and no other thread may have it.
pub unsafe fn sparse<R>(bytes: usize, work: impl FnOnce() -> R) -> R {
    /// Also after a panic nothing is waited for any more.
    struct Waiting;
    impl Drop for Waiting {
        fn drop(&mut self) {
            note(|watch| *watch = Watch { bytes: 0, block: ptr::null_mut() });
        }
    }
    let waiting = Waiting;
    note(|watch| watch.bytes = bytes.max(LEAST));
    let result = work();
    let Watch { block, bytes } = WATCH.get();
    drop(waiting);
    if !block.is_null() {
        // SAFETY: the allocator made a block of so many bytes here, this thread did not free it since, and the rest the caller promises.
        unsafe { give_back(block, bytes) };
    }
    result
}

/// Has memory become resident by the page of 4 KiB and not by 2 MB, for which mimalloc asks. With huge pages a call cost up to 80 kB more,
/// the more the less of each was in use, every bridge 20 MB, and a thread that was the first to touch one stood still while it was
/// cleared; they saved 0 to 3 % of the CPU (docs/performance.md). To be called before much is allocated.
pub fn by_small_pages() {
    #[cfg(target_os = "linux")]
    // SAFETY: takes no pointers; a refusal leaves things as they were.
    unsafe {
        libc::prctl(libc::PR_SET_THP_DISABLE, 1_usize, 0_usize, 0_usize, 0_usize);
    }
}

/// Linux 5.18, `madvise(2)`: as `MADV_DONTNEED`, and memory that is locked may be given back as well.
const MADV_DONTNEED_LOCKED: libc::c_int = 24;

/// # Safety
///
/// A living block of the allocator's with so many bytes, all written, that no other thread has.
unsafe fn give_back(block: *mut u8, bytes: usize) {
    // SAFETY: as the caller promises.
    let held = unsafe { std::slice::from_raw_parts(block, bytes) };
    if held.iter().any(|byte| *byte != 0) {
        return;
    }
    // SAFETY: asks for a number.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    let first = block.align_offset(page);
    let whole = bytes.saturating_sub(first) / page * page;
    if whole == 0 {
        return;
    }
    // SAFETY: whole pages of one block of an allocator whose memory is private and of no file: they hold zeros now and will read as zeros.
    unsafe {
        let pages = block.add(first).cast();
        if libc::madvise(pages, whole, MADV_DONTNEED_LOCKED) != 0 {
            // An older kernel. If it cannot either, the pages stay where they are.
            libc::madvise(pages, whole, libc::MADV_DONTNEED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: Allocator = Allocator;

    const BYTES: usize = 96 * 1024;

    /// Pages of the block that are resident.
    fn resident(block: &[u8]) -> usize {
        let page = 4096;
        let first = block.as_ptr().align_offset(page);
        let whole = (block.len() - first) / page;
        let mut pages = vec![0_u8; whole];
        // SAFETY: whole pages of a living block, and a byte for each of them.
        let known = unsafe {
            let start = block.as_ptr().add(first).cast_mut().cast();
            libc::mincore(start, whole * page, pages.as_mut_ptr())
        };
        assert_eq!(known, 0);
        pages.iter().filter(|page| **page & 1 == 1).count()
    }

    fn filled(byte: u8) -> Vec<u8> {
        let mut block = Vec::new();
        block.resize(BYTES, byte);
        block
    }

    #[test]
    fn zeros_are_given_back_and_still_are_zeros() {
        // SAFETY: here and below, what is allocated is written whole and stays on this thread.
        let mut block = unsafe { sparse(BYTES, || filled(0)) };
        assert_eq!(resident(&block), 0);
        block[BYTES / 2] = 7;
        assert_eq!(block.iter().map(|byte| u32::from(*byte)).sum::<u32>(), 7);
    }

    #[test]
    fn all_else_stays_as_it_is() {
        let last_is_one = || {
            let mut block = filled(0);
            block[BYTES - 1] = 1;
            block
        };
        // SAFETY: as above.
        let written = unsafe { sparse(BYTES, last_is_one) };
        assert_eq!((written[BYTES - 1], resident(&written) > 20), (1, true));
        // SAFETY: as above.
        let other = unsafe { sparse(BYTES / 2, || filled(0)) };
        assert!(resident(&other) > 20, "a block of another size was given back");
        let unasked = filled(0);
        assert!(resident(&unasked) > 20);
        let freed = || {
            drop(filled(0));
            WATCH.get().block.is_null()
        };
        // SAFETY: as above.
        assert!(unsafe { sparse(BYTES, freed) }, "one that was freed again is nobody's");
    }
}
