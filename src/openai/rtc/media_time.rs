//! One RTP time for a caller whose streams follow each other: each counts from a beginning of its own, and the server must not take the
//! second one for packets that are late. Pure.

use std::time::Instant;

use pipeline::Packet;

/// The RTP time of what is sent to the model.
#[derive(Debug, Default)]
pub(super) struct MediaTime {
    /// Added to the present stream's timestamps.
    shift: u32,
    /// The last packet's timestamp as it was sent, and when.
    last: Option<(u32, Instant)>,
    /// The next packet is another stream's first.
    anew: bool,
}

impl MediaTime {
    /// Another stream's packets follow. The time until its first one is silence in the timeline, as any gap is (RFC 3550, 5.1: timestamps
    /// go by the sampling clock).
    pub fn begin_stream(&mut self) {
        self.anew = self.last.is_some();
    }

    /// The timestamp under which a packet is sent at `now`.
    pub fn of(&mut self, packet: &Packet, now: Instant) -> u32 {
        if let (true, Some((last, at))) = (std::mem::take(&mut self.anew), self.last) {
            let passed = now.saturating_duration_since(at).as_millis() as u32;
            let follows = last.wrapping_add(passed.wrapping_mul(packet.codec.rtp_clock() / 1_000));
            self.shift = follows.wrapping_sub(packet.timestamp);
        }
        let timestamp = packet.timestamp.wrapping_add(self.shift);
        self.last = Some((timestamp, now));
        timestamp
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pipeline::{ModelCodec, Nanos};

    use super::*;

    #[test]
    fn a_second_stream_goes_on_behind_the_first() {
        let begun = Instant::now();
        let mut time = MediaTime::default();
        let packet =
            |timestamp| Packet::new(Nanos(0), ModelCodec::Pcmu, 0, timestamp, true, &[0xff; 160]).unwrap();
        time.begin_stream();
        assert_eq!(time.of(&packet(u32::MAX - 159), begun), u32::MAX - 159, "the first is as it is");
        let at = |ms| begun + Duration::from_millis(ms);
        assert_eq!(time.of(&packet(0), at(20)), 0);
        time.begin_stream();
        assert_eq!(time.of(&packet(0), at(520)), 4_000, "half a second later");
        assert_eq!(time.of(&packet(160), at(521)), 4_160, "then by the stream's own stamps");
    }
}
