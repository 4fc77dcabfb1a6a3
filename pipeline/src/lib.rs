//! The audio road: frames of 20 ms between the phone and the model, on pinned threads, and nothing else.
//!
//! ```text
//!         a network thread                      an audio thread                  the network thread again
//!  ┌─────────────────────────┐      ┌──────────────────────────────────┐      ┌─────────────────────┐
//!  │ media socket            │      │ Worker: a table of calls         │      │ model's peer        │
//!  │                         │      │                                  │      │                     │
//!  │ MediaPort::push ────────┼─ uplink_in ─► Uplink                    │      │                     │
//!  │                         │      │        re-chunk, encode ─────────┼─ uplink_out ─► ModelPort::pop
//!  │                         │      │                                  │      │                     │
//!  │ MediaPort::pop ◄────────┼─ downlink_out ─ Downlink ◄─────────────┼─ downlink_in ─ ModelPort::push
//!  │                         │      │   jitter → decode → media format │      │                     │
//!  └─────────────────────────┘      └────────────────▲─────────────────┘      └─────────────────────┘
//!                                     Control::send ─┘ open, flush, set codec, stop
//! ```
//! What only has to be passed on (mu-law to mu-law; downward also only in calm) does not wake the audio thread: each chain with its two
//! rings is lent to the `ModelPort` ([`ModelPort::run_uplink`], [`ModelPort::run_downlink`]).
//!
//! All three are tied to one core, so that each hands on to the next by a switch of threads and never has to wake another core.
//! Each ring has one writer and one reader ([`ring`]). A push marks its call and wakes the thread; what the thread
//! pushes is announced by the port's [`Bell`]. Everything carries the moment it was born, so every stage's age is known.
//!
//! # Rules of the audio thread
//!
//! 1. No allocation and no free. Calls are built outside, handed in by ring, handed back by ring and freed outside.
//! 2. No lock and no wait, but the one in `thread.rs`. No system call but that wait and the clock.
//! 3. No log and no clock: the time is an argument, what happened is a counter in [`CallStats`].
//! 4. What rides a ring is `Copy`: a head of fixed size and a payload of bytes. Every queue is bounded and says its length in
//!    milliseconds; its memory is that of the bytes it may hold, not of the largest payload times its places.
//! 5. Work per call and wake is bounded, so that a flooding call cannot starve its neighbours.
//! 6. A panic in one call's slot ends that call alone; its ports see `closed`.
//!
//! `clippy.toml` bans the functions, [`forbid_alloc`] wraps every tick in builds with debug assertions, and the
//! repository's `tests/no_alloc.rs` runs minutes of impaired audio under an allocator that counts.

mod atomic;
mod call;
mod cells;
mod chains;
pub mod conceal;
mod crossfade;
pub mod delay;
mod downlink;
mod frame;
pub mod g711;
mod guard;
pub mod jitter;
mod load;
mod loan;
#[cfg(test)]
mod loan_tests;
mod lpc;
mod news;
pub mod opus;
mod player;
mod playout;
mod ports;
pub mod resample;
pub mod ring;
mod rt;
#[cfg(test)]
mod speech;
mod stage;
mod stats;
mod store;
mod stretch;
mod thread;
mod timeline;
pub mod units;
mod uplink;
mod wish;
mod worker;
mod workers;

pub use call::{CallConfig, CallSlot, Command, call};
pub use downlink::Downlink;
pub use frame::{
    FRAME_MS, MEDIA_BYTES, MediaEncoding, MediaFormat, MediaFrame, ModelCodec, PACKET_BYTES, Packet,
};
pub use guard::{GUARDED, GuardedAllocator, OnViolation, forbid_alloc, forbid_alloc_always, violations};
pub use jitter::JitterConfig;
pub use opus::{OpusConfig, OpusError};
pub use ports::{CallPorts, Control, MediaPort, ModelPort};
pub use ring::{Bell, Full, Silent};
pub use rt::{Memory, Priority, cores, pin};
pub use stats::{AgeHistogram, CallStats, Counter};
pub use thread::{Monotonic, now};
pub use units::{Clock, Nanos, SampleRate, Ticks};
pub use uplink::{Progress, Uplink};
pub use worker::Worker;
pub use workers::{StartError, WorkerLoad, Workers, WorkersConfig};
