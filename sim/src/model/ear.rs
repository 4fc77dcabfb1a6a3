//! What the model hears: RTP to sound, in media time.

use std::time::{Duration, Instant};

use super::codec::{Codec, Payload};
use super::g711;
use super::opus::Decoder;
use super::record::{MAX_GAPS, RtpIn};

/// A gap up to this is silence in the sound; a greater jump of the timestamp, either way, starts a new timeline.
const MAX_GAP: Duration = Duration::from_secs(60);

/// One RTP packet, as received.
pub(crate) struct Received<'a> {
    pub(crate) payload_type: u8,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) payload: &'a [u8],
    pub(crate) at: Instant,
}

pub(crate) struct Ear {
    payloads: Vec<Payload>,
    decoder: Decoder,
    /// Codec, next timestamp and next sequence number that would continue the stream.
    next: Option<(Codec, u32, u16)>,
    heard_samples: u64,
    /// The quickest packet so far: arrival and media time.
    quickest: Option<(Instant, u64)>,
    requested: Instant,
}

impl Ear {
    pub(crate) fn new(payloads: Vec<Payload>, requested: Instant) -> Self {
        Self { payloads, decoder: Decoder::new(), next: None, heard_samples: 0, quickest: None, requested }
    }

    /// The 8 kHz samples that this packet adds, silence for a gap before it included.
    pub(crate) fn take(&mut self, packet: &Received<'_>, stats: &mut RtpIn) -> Vec<i16> {
        let known = self.payloads.iter().find(|p| p.payload_type == packet.payload_type);
        let Some(codec) = known.map(|p| p.codec) else {
            stats.unknown += 1;
            return Vec::new();
        };
        stats.packets += 1;
        stats.bytes += packet.payload.len() as u64;
        stats.first_after.get_or_insert_with(|| packet.at.saturating_duration_since(self.requested));
        match stats.by_codec.iter_mut().find(|(known, _)| *known == codec) {
            Some((_, count)) => *count += 1,
            None => stats.by_codec.push((codec, 1)),
        }
        let mut samples = Vec::new();
        if let Some((last_codec, timestamp, sequence)) = self.next.filter(|(last, ..)| *last == codec) {
            let ahead = i64::from(packet.timestamp.wrapping_sub(timestamp) as i32);
            let ahead_ms = ahead * 1000 / i64::from(last_codec.clock_hz());
            if ahead_ms.unsigned_abs() > MAX_GAP.as_millis() as u64 {
                stats.resets += 1;
            } else if ahead < 0 {
                stats.late += 1;
                return Vec::new();
            } else if ahead > 0 {
                let missing = packet.sequence.wrapping_sub(sequence);
                stats.missing += u64::from(if missing < 0x8000 { missing } else { 0 });
                if stats.gaps.len() < MAX_GAPS {
                    stats.gaps.push((self.heard_samples / 8, ahead_ms as u64));
                }
                samples.resize((ahead * 8_000 / i64::from(codec.clock_hz())) as usize, 0);
            }
        }
        let media_ms = (self.heard_samples + samples.len() as u64) / 8;
        let decoded = self.decode(codec, packet.payload).unwrap_or_else(|| {
            stats.undecodable += 1;
            vec![0; 160]
        });
        let duration = (decoded.len() as u64 * u64::from(codec.clock_hz()) / 8_000) as u32;
        let timestamp = packet.timestamp.wrapping_add(duration);
        self.next = Some((codec, timestamp, packet.sequence.wrapping_add(1)));
        samples.extend(decoded);
        self.heard_samples += samples.len() as u64;
        stats.media_ms = self.heard_samples / 8;
        self.measure(packet.at, media_ms, stats);
        samples
    }

    fn measure(&mut self, at: Instant, media_ms: u64, stats: &mut RtpIn) {
        let (first_at, first_ms) = *self.quickest.get_or_insert((at, media_ms));
        let due = first_at + Duration::from_millis(media_ms.saturating_sub(first_ms));
        if at < due {
            self.quickest = Some((at, media_ms));
        }
        stats.lateness.record(at.saturating_duration_since(due));
    }

    fn decode(&mut self, codec: Codec, payload: &[u8]) -> Option<Vec<i16>> {
        match codec {
            _ if payload.is_empty() => None,
            Codec::Opus => self.decoder.decode(payload),
            Codec::Pcmu => Some(payload.iter().map(|&code| g711::mulaw_decode(code)).collect()),
            Codec::Pcma => Some(payload.iter().map(|&code| g711::alaw_decode(code)).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ear() -> Ear {
        Ear::new(vec![Payload { payload_type: 0, codec: Codec::Pcmu }], Instant::now())
    }

    fn packet(payload: &[u8], sequence: u16, timestamp: u32) -> Received<'_> {
        Received { payload_type: 0, sequence, timestamp, payload, at: Instant::now() }
    }

    #[test]
    fn gaps_are_heard_as_silence_and_late_packets_are_not_heard() {
        let (mut ear, mut stats) = (ear(), RtpIn::default());
        let loud = [0x80; 160];
        assert_eq!(ear.take(&packet(&loud, 1, u32::MAX - 159), &mut stats).len(), 160);
        let after_gap = ear.take(&packet(&loud, 4, 320), &mut stats);
        assert_eq!(after_gap.len(), 480);
        assert!(after_gap[..320].iter().all(|&s| s == 0) && after_gap[320] > 30_000);
        assert!(ear.take(&packet(&loud, 2, 0), &mut stats).is_empty());
        assert_eq!((stats.missing, stats.late, stats.gaps.as_slice()), (2, 1, &[(20, 40)][..]));
        assert_eq!(stats.media_ms, 80);
    }

    #[test]
    fn unknown_payloads_junk_and_wild_timestamps_are_counted() {
        let (mut ear, mut stats) = (ear(), RtpIn::default());
        let strange = Received { payload_type: 13, ..packet(&[1], 1, 0) };
        assert!(ear.take(&strange, &mut stats).is_empty());
        assert_eq!(ear.take(&packet(&[], 1, 0), &mut stats).len(), 160);
        assert_eq!(ear.take(&packet(&[0xff; 160], 2, 1 << 30), &mut stats).len(), 160);
        assert_eq!((stats.unknown, stats.undecodable, stats.resets), (1, 1, 1));
    }
}
