//! What the caller says, put together for `input_audio_buffer.append`. Pure.
//!
//! The server counts time in the sound it is given, so a gap in the caller's media time is filled with silence here; RTP would have
//! carried the time itself.

use pipeline::{Nanos, Packet};

/// Sound of one append at most, bytes of mu-law: 200 ms. Frames go one by one; only what has waited goes together.
const MAX_BYTES: usize = 1600;
/// Longest gap that is filled, in samples: 1 s. The uplink continues a silent line itself; a longer jump is another timeline.
const MAX_GAP: u32 = 8_000;
/// Mu-law's zero.
const SILENCE: u8 = 0xff;

/// The sound that goes with the next append.
#[derive(Debug, Default)]
pub struct Append {
    /// The timestamp that would continue the stream.
    next: Option<u32>,
    bytes: Vec<u8>,
    born: Nanos,
}

impl Append {
    /// Adds a packet of mu-law.
    pub fn push(&mut self, packet: &Packet) {
        let gap = self.next.map_or(0, |next| packet.timestamp.wrapping_sub(next));
        if gap <= MAX_GAP {
            self.bytes.resize(self.bytes.len() + gap as usize, SILENCE);
        }
        if self.bytes.is_empty() {
            self.born = packet.born;
        }
        self.bytes.extend_from_slice(packet.payload());
        self.next = Some(packet.timestamp.wrapping_add(packet.payload().len() as u32));
    }

    /// Whether it must go before more is added.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= MAX_BYTES
    }

    /// What there is, and when the oldest of it was born. Empty again afterwards.
    pub fn take(&mut self) -> Option<(Vec<u8>, Nanos)> {
        (!self.bytes.is_empty()).then(|| (std::mem::take(&mut self.bytes), self.born))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline::ModelCodec;

    fn packet(timestamp: u32, code: u8) -> Packet {
        let born = Nanos(u64::from(timestamp));
        Packet::new(born, ModelCodec::Pcmu, 0, timestamp, false, &[code; 160]).unwrap()
    }

    #[test]
    fn a_gap_is_silence_and_another_timeline_is_none() {
        let mut append = Append::default();
        append.push(&packet(u32::MAX - 159, 1));
        append.push(&packet(0, 2));
        append.push(&packet(320, 3));
        let (bytes, born) = append.take().expect("three frames");
        assert_eq!(born, Nanos(u64::from(u32::MAX - 159)));
        let parts: Vec<u8> = bytes.chunks(160).map(|frame| frame[0]).collect();
        assert_eq!(parts, [1, 2, SILENCE, 3]);
        assert!(append.take().is_none());
        append.push(&packet(480 + MAX_GAP + 1, 4));
        append.push(&packet(0, 5));
        assert_eq!(append.take().map(|(bytes, _)| bytes.len()), Some(320));
    }

    #[test]
    fn a_backlog_goes_in_pieces() {
        let mut append = Append::default();
        for i in 0..10 {
            assert!(!append.is_full(), "{i}");
            append.push(&packet(i * 160, 1));
        }
        assert!(append.is_full());
    }
}
