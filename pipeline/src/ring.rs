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
//! Lengths are in milliseconds of 20 ms frames, because time is what a queue costs the caller. Memory is another matter: a ring has
//! so many places for heads, and room for as many payloads of the *usual* size in a row of bytes. The largest may be eight times that.

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

/// What can be put on a ring: a head of fixed size and a payload of bytes, wherever those are.
pub trait Load {
    /// Everything but the payload.
    type Head: Copy + Send;

    /// The head.
    fn head(&self) -> Self::Head;

    /// The payload.
    fn payload(&self) -> &[u8];
}

/// What comes off a ring: the same, with room for the longest payload.
pub trait Item: Load + Default {
    /// The longest payload.
    const MAX_BYTES: usize;
    /// What a payload of 20 ms has at most, unless its ring is told otherwise; a longer one takes the room of several. G.711's 64
    /// kbit/s are more than twice what Opus needs for speech.
    const USUAL_BYTES: usize;

    /// Becomes the item of this head, whose payload `fill` writes into as many bytes as it had.
    fn refill(&mut self, head: &Self::Head, fill: impl FnOnce(&mut [u8]));
}

/// The writing end.
pub struct Writer<T: Item> {
    heads: rtrb::Producer<T::Head>,
    /// The payloads, one behind the other. A head is pushed after its bytes and popped before them, so that whoever sees it sees them.
    bytes: rtrb::Producer<u8>,
    usual_bytes: usize,
}

/// The reading end.
pub struct Reader<T: Item> {
    heads: rtrb::Consumer<T::Head>,
    bytes: rtrb::Consumer<u8>,
}

/// A ring that holds `ms` milliseconds of 20 ms items of the usual size.
pub fn ring<T: Item>(ms: u32) -> (Writer<T>, Reader<T>) {
    ring_of(ms, T::USUAL_BYTES)
}

/// A ring that holds `ms` milliseconds of 20 ms items with `usual_bytes` of payload each. Its memory is that and the heads.
pub fn ring_of<T: Item>(ms: u32, usual_bytes: usize) -> (Writer<T>, Reader<T>) {
    let items = (ms / FRAME_MS) as usize;
    let (heads_in, heads_out) = rtrb::RingBuffer::new(items);
    let (bytes_in, bytes_out) = rtrb::RingBuffer::new((items * usual_bytes).max(T::MAX_BYTES));
    (Writer { heads: heads_in, bytes: bytes_in, usual_bytes }, Reader { heads: heads_out, bytes: bytes_out })
}

impl<T: Item> Writer<T> {
    /// Puts a copy of an item in, or refuses it.
    pub fn push(&mut self, item: &impl Load<Head = T::Head>) -> Result<(), Full> {
        if self.heads.is_full() {
            return Err(Full);
        }
        self.bytes.push_entire_slice(item.payload()).map_err(|_| Full)?;
        // Only this end makes it fuller, so there is still a place.
        self.heads.push(item.head()).map_err(|_| Full)
    }

    /// Items of the usual size that can be pushed now.
    pub fn free(&self) -> usize {
        self.heads.slots().min(self.bytes.slots() / self.usual_bytes)
    }

    /// Whether everything that was pushed has been popped.
    pub fn is_empty(&self) -> bool {
        self.heads.slots() == self.heads.buffer().capacity()
    }

    /// Whether the reader is gone.
    pub fn is_abandoned(&self) -> bool {
        self.heads.is_abandoned()
    }
}

impl<T: Item> Reader<T> {
    /// Takes the oldest item into `item`. Whether there was one.
    pub fn pop_into(&mut self, item: &mut T) -> bool {
        let Ok(head) = self.heads.pop() else { return false };
        item.refill(&head, |payload| {
            let taken = self.bytes.pop_entire_slice(payload);
            debug_assert!(taken.is_ok(), "a head came before its payload");
        });
        true
    }

    /// Takes the oldest item. Dearer than [`pop_into`](Self::pop_into): all of its room is moved.
    pub fn pop(&mut self) -> Option<T> {
        let mut item = T::default();
        self.pop_into(&mut item).then_some(item)
    }

    /// Items that can be popped now.
    pub fn len(&self) -> usize {
        self.heads.slots()
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Whether the writer is gone.
    pub fn is_abandoned(&self) -> bool {
        self.heads.is_abandoned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{MEDIA_BYTES, MediaFrame, ModelCodec, PACKET_BYTES, Packet};
    use crate::units::Nanos;

    fn frame(time: u64, len: usize) -> MediaFrame {
        MediaFrame::new(Nanos(time + 7), time, &vec![time as u8; len]).unwrap()
    }

    #[test]
    fn a_full_ring_refuses_and_keeps_order() {
        let (mut writer, mut reader) = ring::<MediaFrame>(3 * FRAME_MS);
        for i in 0..3 {
            assert_eq!(writer.push(&frame(i, 160)), Ok(()));
        }
        assert_eq!(writer.push(&frame(3, 160)), Err(Full));
        assert_eq!((reader.len(), writer.free()), (3, 0));
        assert_eq!(reader.pop().map(|f| f.time), Some(0));
        assert_eq!(writer.push(&frame(3, 160)), Ok(()));
        assert_eq!(std::iter::from_fn(|| reader.pop()).map(|f| f.time).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(writer.is_empty());
    }

    #[test]
    fn items_of_any_length_come_out_as_they_went_in() {
        let (mut writer, mut reader) = ring::<MediaFrame>(200);
        let (mut pushed, mut popped) = (0, 0);
        for round in 0..5_000_u64 {
            let len = 1 + (round * 7919) as usize % MEDIA_BYTES;
            pushed += u64::from(writer.push(&frame(pushed, if round % 3 == 0 { len } else { 160 })).is_ok());
            if round % 4 > 0
                && let Some(frame) = reader.pop()
            {
                assert_eq!((frame.time, frame.born), (popped, Nanos(popped + 7)));
                assert!(!frame.payload().is_empty() && frame.payload().iter().all(|b| *b == popped as u8));
                popped += 1;
            }
        }
        assert!(popped > 3_000, "{popped}");
    }

    #[test]
    fn the_longest_packet_takes_the_room_of_several() {
        let packet =
            |len| Packet::new(Nanos(0), ModelCodec::Opus, 0, 0, false, &[5; PACKET_BYTES][..len]).unwrap();
        let (mut writer, mut reader) = ring::<Packet>(40);
        assert_eq!(writer.push(&packet(PACKET_BYTES)), Ok(()), "even the smallest ring takes one");
        assert_eq!((writer.push(&packet(1)), writer.free()), (Err(Full), 0));
        assert_eq!(reader.pop().map(|p| p.payload().to_vec()), Some(vec![5; PACKET_BYTES]));
        assert_eq!(writer.push(&packet(0)), Ok(()));
        assert_eq!(reader.pop().map(|p| p.payload().len()), Some(0));
    }

    #[test]
    fn each_end_sees_the_other_go() {
        let (writer, reader) = ring::<Packet>(40);
        assert!(!writer.is_abandoned());
        drop(reader);
        assert!(writer.is_abandoned());
    }
}
