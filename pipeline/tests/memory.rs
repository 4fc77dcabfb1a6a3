//! What one call's audio road costs in memory: everything that `call()` allocates, summed by an allocator that counts.
#![allow(clippy::disallowed_macros)] // text for people, off the audio road

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use pipeline::{CallConfig, MediaEncoding, MediaFormat, ModelCodec, SampleRate, Silent, call};

/// A telephone call: 8 kHz mu-law. The codec states (49 kB) are libopus' own; the rest is rings, shelf and counters.
const TELEPHONE_LIMIT: usize = 120_000;
/// 24 kHz L16 has frames six times as large, and resamplers.
const WIDEBAND_LIMIT: usize = 320_000;

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is passed on unchanged to an allocator that keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(ptr, layout) }
    }
}

/// Bytes that the call and its ports hold.
fn cost(config: CallConfig) -> usize {
    let before = HELD.load(Relaxed);
    let held = call(config, Arc::new(Silent), Arc::new(Silent));
    let cost = HELD.load(Relaxed) - before;
    drop(held);
    assert_eq!(HELD.load(Relaxed), before, "everything is given back");
    cost
}

// One test: what others allocate meanwhile would be counted too.
#[test]
fn a_telephone_call_takes_little_and_a_wideband_one_no_more_than_it_needs() {
    cost(CallConfig::default()); // what is made once is no call's
    let wide = MediaFormat { encoding: MediaEncoding::L16, rate: SampleRate::Hz24000 };
    for (media, codec, limit) in [
        (MediaFormat::default(), ModelCodec::Opus, TELEPHONE_LIMIT),
        (MediaFormat::default(), ModelCodec::Pcmu, TELEPHONE_LIMIT),
        (wide, ModelCodec::Opus, WIDEBAND_LIMIT),
    ] {
        let bytes = cost(CallConfig { media, codec, ..CallConfig::default() });
        println!("{media:?} {codec:?}: {bytes} bytes");
        assert!(bytes <= limit, "{media:?} {codec:?}: {bytes} bytes");
        assert!(bytes > 50_000, "the codec states alone are more: nothing was counted");
    }
}
