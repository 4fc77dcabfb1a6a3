//! Where packets lie in media time: RTP's wrapping numbers and clocks laid out on one line.

use crate::frame::{ModelCodec, Packet};
use crate::opus;
use crate::units::{RtpTime, SampleRate, Ticks};

/// The youngest packet so far: what sequence numbers and timestamps are measured from.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    /// Sequence number without wrap; its lower 16 bits are the packet's.
    pub(crate) seq: i64,
    pub(crate) clock: u32,
    pub(crate) timestamp: RtpTime,
    pub(crate) pos: Ticks,
    pub(crate) end: Ticks,
    /// Arrival minus media time, ns.
    pub(crate) transit: i64,
    /// Which of the last 64 packets came, bit 0 the head itself.
    seen: u64,
}

/// Packets that [`Head`] can tell duplicates among.
pub(crate) const REMEMBERED: i64 = 64;

impl Head {
    /// A packet that was younger than all before by `step`.
    pub(crate) fn new(packet: &Packet, seq: i64, pos: Ticks, length: Ticks) -> Self {
        Self {
            seq,
            clock: packet.codec.rtp_clock(),
            timestamp: RtpTime(packet.timestamp),
            pos,
            end: pos + length,
            transit: packet.born.0 as i64 - pos.nanos(),
            seen: 1,
        }
    }

    /// The same, remembering which packets came before.
    pub(crate) fn after(self, previous: &Self) -> Self {
        let step = self.seq - previous.seq;
        let before = if (1..REMEMBERED).contains(&step) { previous.seen << step } else { 0 };
        Self { seen: self.seen | before, ..self }
    }

    /// Whether the packet `back` before the head has come; marks it as come. `back` below [`REMEMBERED`].
    pub(crate) fn mark(&mut self, back: i64) -> bool {
        let bit = 1_u64 << back.clamp(0, REMEMBERED - 1);
        let seen = self.seen & bit != 0;
        self.seen |= bit;
        seen
    }

    /// How far the packet's timestamp is from the head's; `None` if its clock is another.
    pub(crate) fn advance(&self, packet: &Packet) -> Option<Ticks> {
        let clock = packet.codec.rtp_clock();
        (clock == self.clock).then(|| {
            let steps = i64::from(RtpTime(packet.timestamp).since(self.timestamp));
            Ticks(steps * (Ticks::PER_SECOND / i64::from(clock)))
        })
    }

    /// Where a packet lies that is `step` packets from the head: by timestamp; across a change of codec, whose clocks
    /// have nothing in common, by sequence number.
    pub(crate) fn position(&self, packet: &Packet, step: i64, length: Ticks) -> Ticks {
        match self.advance(packet) {
            Some(advance) => self.pos + advance,
            None if step > 0 => self.end + Ticks(length.0 * (step - 1)),
            None => self.pos + Ticks(length.0 * step),
        }
    }
}

/// How much audio a payload holds; `None` if it cannot be audio.
pub(crate) fn length_of(packet: &Packet) -> Option<Ticks> {
    let payload = packet.payload();
    match packet.codec {
        ModelCodec::Opus => opus::packet_duration(payload),
        ModelCodec::Pcmu | ModelCodec::Pcma => {
            (!payload.is_empty()).then(|| Ticks::of_samples(payload.len(), SampleRate::Hz8000))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Nanos;

    fn packet(codec: ModelCodec, timestamp: u32) -> Packet {
        Packet::new(Nanos(0), codec, 0, timestamp, false, &[0; 160]).unwrap()
    }

    #[test]
    fn positions_follow_the_clock_and_across_codecs_the_number() {
        let head = Head::new(&packet(ModelCodec::Pcmu, u32::MAX - 79), 7, Ticks(9_600), Ticks(960));
        assert_eq!(head.position(&packet(ModelCodec::Pcmu, 80), 1, Ticks(960)), Ticks(10_560), "wraps");
        assert_eq!(head.position(&packet(ModelCodec::Opus, 80), 1, Ticks(960)), Ticks(10_560));
        assert_eq!(head.position(&packet(ModelCodec::Opus, 80), 3, Ticks(960)), Ticks(12_480));
        assert_eq!(head.position(&packet(ModelCodec::Opus, 80), -1, Ticks(960)), Ticks(8_640));
    }

    #[test]
    fn duplicates_are_remembered_for_64_packets() {
        let first = Head::new(&packet(ModelCodec::Pcmu, 0), 0, Ticks(0), Ticks(960));
        let mut head = Head::new(&packet(ModelCodec::Pcmu, 0), 2, Ticks(1_920), Ticks(960)).after(&first);
        assert!(head.mark(2) && !head.mark(1) && head.mark(1));
        let mut far = Head::new(&packet(ModelCodec::Pcmu, 0), 100, Ticks(0), Ticks(960)).after(&head);
        assert!(!far.mark(63));
    }
}
