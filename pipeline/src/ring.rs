//! Rings of one writer and one reader (`rtrb`), and the bell that tells the reader.
//!
//! A ring never blocks and never allocates after it is made. What happens when one is full is decided beside it:
//!
//! | ring | writer → reader | holds | when full |
//! |---|---|---|---|
//! | `uplink_in` | media socket → audio thread | [`UPLINK_IN_MS`] and slack for a burst | the audio thread drops the **oldest** down to [`UPLINK_BACKLOG_MS`]; a burst faster than it wakes is refused |
//! | `uplink_out` | audio thread → model's peer | [`UPLINK_OUT_MS`] | nothing is encoded; frames wait in `uplink_in` |
//! | `downlink_in` | model's peer → audio thread | [`DOWNLINK_IN_MS`] of 20 ms packets | the push is refused and counted |
//! | `downlink_out` | audio thread → media socket | [`DOWNLINK_OUT_MS`] | frames wait in a stage of [`DOWNLINK_STAGE_MS`]; that full, the oldest silent one goes, else the oldest |
//!
//! Lengths are in milliseconds of 20 ms frames, because time is what a queue costs the caller.

use std::fmt;

use crate::frame::FRAME_MS;

/// Caller's audio that may wait for the model to be connected. Longer keeps more of an early "hello" but lets the
/// model answer to the past; shorter loses words while the session comes up.
pub const UPLINK_BACKLOG_MS: u32 = 1000;
/// Room of the ring itself: the backlog plus what a burst can bring before the audio thread wakes to trim it.
pub const UPLINK_IN_MS: u32 = 1600;
/// Room for encoded packets: the 100 ms that may wait for the model's peer (`BURST_PACKETS`) and what one more frame can make of it.
pub const UPLINK_OUT_MS: u32 = 240;
/// Packets from the model that may wait for the audio thread: a burst after a network stall.
pub const DOWNLINK_IN_MS: u32 = 960;
/// Frames that may wait for the media socket. With the stage it bounds how far a slow Twilio falls behind: 500 ms.
pub const DOWNLINK_OUT_MS: u32 = 200;
/// Frames kept back when `downlink_out` is full.
pub const DOWNLINK_STAGE_MS: u32 = 300;

/// The ring has no room; the item was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the ring is full")
    }
}

impl std::error::Error for Full {}

/// Tells the other side that something is in a ring. Rung from the audio thread at most once a tick and direction:
/// it must neither block nor allocate.
pub trait Bell: Send + Sync {
    /// Rings; ringing twice before the listener looks is the same as once.
    fn ring(&self);
}

/// A bell nobody listens to, for tests and benches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Bell for Silent {
    fn ring(&self) {}
}

/// The writing end.
pub struct Writer<T>(rtrb::Producer<T>);

/// The reading end.
pub struct Reader<T>(rtrb::Consumer<T>);

/// A ring that holds `ms` milliseconds of 20 ms items.
pub fn ring<T: Copy + Send>(ms: u32) -> (Writer<T>, Reader<T>) {
    let (writer, reader) = rtrb::RingBuffer::new((ms / FRAME_MS) as usize);
    (Writer(writer), Reader(reader))
}

impl<T: Copy> Writer<T> {
    /// Puts an item in, or refuses it.
    pub fn push(&mut self, item: T) -> Result<(), Full> {
        self.0.push(item).map_err(|_| Full)
    }

    /// Items that can be pushed now.
    pub fn free(&self) -> usize {
        self.0.slots()
    }

    /// Whether everything that was pushed has been popped.
    pub fn is_empty(&self) -> bool {
        self.0.slots() == self.0.buffer().capacity()
    }

    /// Whether the reader is gone.
    pub fn is_abandoned(&self) -> bool {
        self.0.is_abandoned()
    }
}

impl<T: Copy> Reader<T> {
    /// Takes the oldest item.
    pub fn pop(&mut self) -> Option<T> {
        self.0.pop().ok()
    }

    /// Looks at the oldest item.
    pub fn peek(&self) -> Option<&T> {
        self.0.peek().ok()
    }

    /// Items that can be popped now.
    pub fn len(&self) -> usize {
        self.0.slots()
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the writer is gone.
    pub fn is_abandoned(&self) -> bool {
        self.0.is_abandoned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_ring_refuses_and_keeps_order() {
        let (mut writer, mut reader) = ring::<u32>(3 * FRAME_MS);
        for i in 0..3 {
            assert_eq!(writer.push(i), Ok(()));
        }
        assert_eq!(writer.push(3), Err(Full));
        assert_eq!(reader.len(), 3);
        assert_eq!(reader.pop(), Some(0));
        assert_eq!(writer.push(3), Ok(()));
        assert_eq!(std::iter::from_fn(|| reader.pop()).collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn each_end_sees_the_other_go() {
        let (writer, reader) = ring::<u32>(40);
        assert!(!writer.is_abandoned());
        drop(reader);
        assert!(writer.is_abandoned());
    }
}
