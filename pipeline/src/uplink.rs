//! Caller to model: media frames of any length in, packets of 20 ms out, encoded the moment they are whole.
//!
//! Nothing waits here: TCP has put the frames in order. RTP time is the caller's media time, so a gap stays a gap and
//! a stall shows as a burst with true timestamps, which the model's own jitter buffer puts right. The pace of that burst is kept here
//! and nowhere else. With mu-law media and a mu-law codec the bytes pass through untouched, and no audio thread is needed for it
//! ([`ModelPort::run_uplink`](crate::ModelPort::run_uplink)).

use std::time::Duration;

use crate::frame::{FRAME_MS, MEDIA_BYTES, MediaEncoding, MediaFormat, MediaFrame, ModelCodec, Packet};
use crate::g711::{self, Law};
use crate::opus::{Encoder, OpusConfig, OpusError};
use crate::resample::Resampler;
use crate::ring::{Reader, UPLINK_BACKLOG_MS, UPLINK_OUT_MS, Writer};
use crate::stats::CallStats;
use crate::units::{Clock, Nanos, SampleRate};

/// Packets of a burst that go out at once: what a network stall of 100 ms holds up. As many may wait for the model's peer: before it is
/// connected sound waits as media, of which the oldest can still be dropped, and what leaves when it connects is no flood.
pub const BURST_PACKETS: u32 = 5;
/// Time between packets of a longer burst: five times real time. Faster would starve the neighbours of a flooding
/// call and overrun the model's jitter buffer; slower would keep the delay of a stall for longer.
pub const CATCH_UP_SPACING: Duration = Duration::from_millis(4);
const FRAME: Duration = Duration::from_millis(FRAME_MS as u64);
/// Media time further back than any duplicate can be, so a reset of the sender's clock.
const RESET_BEHIND_MS: u64 = 1_000;
/// Media time further ahead than any gap in a live call.
const RESET_AHEAD_MS: u64 = 60_000;
/// The caller's line has sent nothing for so long: muted handsets and some networks stop instead of sending silence. The model's
/// voice detection counts in audio, so a turn would never end; silence is sent in the caller's place. Sooner would take a stall
/// of the network (a lost TCP segment: 100 to 300 ms) for a mute and put silence before what was merely late.
pub const SILENCE_AFTER: Duration = Duration::from_millis(400);
/// Packets that one media frame can complete: its own bytes at mu-law and what was begun before.
const PACKETS_PER_FRAME: usize = MEDIA_BYTES / 160 + 1;

/// Whether the packets of one more media frame may be pushed.
pub(crate) fn room(output: &Writer<Packet>) -> bool {
    let waiting = ((UPLINK_OUT_MS / FRAME_MS) as usize).saturating_sub(output.free());
    output.free() >= PACKETS_PER_FRAME && waiting < BURST_PACKETS as usize
}

/// Whether the media's bytes are the model's, so that no codec is needed.
pub(crate) fn is_identity(format: MediaFormat, codec: ModelCodec) -> bool {
    format.encoding == MediaEncoding::Mulaw && codec == ModelCodec::Pcmu
}

/// What a tick of either chain did, and when it wants the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Something was pushed into the outgoing ring.
    pub pushed: bool,
    /// When to come again without being called: [`Nanos::MAX`] if only news can change anything.
    pub next: Nanos,
    /// The outgoing ring is full; its reader must call when it has taken something.
    pub blocked: bool,
}

impl Progress {
    /// Nothing happened, and nothing will but by news.
    pub(crate) const NONE: Self = Self { pushed: false, next: Nanos::MAX, blocked: false };
}

/// The chain. Everything it needs is allocated when it is made.
pub struct Uplink {
    format: MediaFormat,
    codec: ModelCodec,
    encoder: Encoder,
    /// To G.711's rate, if the media has another.
    narrow: Option<Resampler>,
    chunk: Chunk,
    /// Media time that follows the last sample taken.
    expected: Option<u64>,
    /// Added to media time after the sender's clock was reset, modulo 2^64.
    offset: u64,
    /// Of it what silence sent in a stall's place has pushed the caller's sound back, samples: gaps take it out again.
    pushed_back: u64,
    /// Where a frame would continue that made no sense by itself.
    suspect: Option<u64>,
    seq: u16,
    marker: bool,
    /// When the next packet would be sent at the catch-up rate (generic cell rate algorithm).
    paced: Nanos,
    /// When the next 20 ms of silence are sent if nothing comes.
    fill_at: Nanos,
    /// Samples of silence sent in the caller's place since the last frame.
    filled: u64,
    pcm: [i16; MEDIA_BYTES / 2],
    pcm_narrow: [i16; 160],
}

/// 20 ms being collected.
struct Chunk {
    bytes: [u8; MEDIA_BYTES],
    filled: usize,
    time: u64,
    born: Nanos,
}

impl Uplink {
    /// A chain from `format` to `codec`.
    pub fn new(format: MediaFormat, codec: ModelCodec, opus: &OpusConfig) -> Result<Self, OpusError> {
        Ok(Self {
            format,
            codec,
            encoder: Encoder::new(format.rate, opus)?,
            narrow: match format.rate {
                SampleRate::Hz8000 => None,
                // Both rates are ours, and rubato takes any pair of positive rates.
                rate => Some(
                    Resampler::new(rate, SampleRate::Hz8000)
                        .expect("rubato converts between any two of our rates"),
                ),
            },
            chunk: Chunk { bytes: [0; MEDIA_BYTES], filled: 0, time: 0, born: Nanos(0) },
            expected: None,
            offset: 0,
            pushed_back: 0,
            suspect: None,
            seq: 0,
            marker: true,
            paced: Nanos(0),
            fill_at: Nanos::MAX,
            filled: 0,
            pcm: [0; MEDIA_BYTES / 2],
            pcm_narrow: [0; 160],
        })
    }

    /// Changes what packets are made of, from the next one on.
    pub fn set_codec(&mut self, codec: ModelCodec) {
        if codec != self.codec {
            self.codec = codec;
            self.encoder.reset();
            if let Some(narrow) = &mut self.narrow {
                narrow.reset();
            }
            self.marker = true;
        }
    }

    /// Moves what can be moved from one ring to the other.
    pub fn tick(
        &mut self,
        clock: &impl Clock,
        input: &mut Reader<MediaFrame>,
        output: &mut Writer<Packet>,
        stats: &CallStats,
    ) -> Progress {
        let now = clock.now();
        let mut progress = Progress::NONE;
        let backlog = (UPLINK_BACKLOG_MS / FRAME_MS) as usize;
        for _ in backlog..input.len() {
            if input.pop().is_some() {
                stats.frames_in.add(1);
                stats.dropped_full.add(1);
            }
        }
        let mut frame = None;
        while !input.is_empty() {
            let allowance = CATCH_UP_SPACING * (BURST_PACKETS - 1);
            if self.paced > now + allowance {
                progress.next = self.paced - allowance;
                break;
            }
            if !room(output) {
                progress.blocked = true;
                break;
            }
            let frame = frame.get_or_insert_with(MediaFrame::default);
            if !input.pop_into(frame) {
                break;
            }
            stats.frames_in.add(1);
            self.fill_at = now + SILENCE_AFTER;
            self.send(frame, clock, output, stats, &mut progress);
        }
        if now >= self.fill_at {
            self.fill_at = (self.fill_at + FRAME).max(now + FRAME / 2);
            // Silence that nobody takes would only be in the way of what the caller says next.
            if output.is_empty()
                && let Some(silence) = self.silence(now)
            {
                let filled = self.filled + self.format.rate.samples(FRAME_MS) as u64;
                self.send(&silence, clock, output, stats, &mut progress);
                self.filled = filled;
                stats.silence_filled.add(1);
            }
        }
        progress.next = progress.next.min(self.fill_at);
        progress
    }

    fn send(
        &mut self,
        frame: &MediaFrame,
        clock: &impl Clock,
        output: &mut Writer<Packet>,
        stats: &CallStats,
        progress: &mut Progress,
    ) {
        let mut made = 0;
        self.handle_frame(frame, stats, |packet| {
            made += 1;
            stats.uplink_age.record(clock.now().saturating_sub(packet.born));
            // There is room, the caller has asked for it, unless each of many packets is of an unusual length.
            stats.dropped_full.add(u64::from(output.push(packet).is_err()));
        });
        if made > 0 {
            stats.packets_out.add(u64::from(made));
            self.paced = self.paced.max(clock.now()) + CATCH_UP_SPACING * made;
            progress.pushed = true;
        }
    }

    /// 20 ms of silence that continue what was sent.
    fn silence(&self, now: Nanos) -> Option<MediaFrame> {
        let time = self.expected?.wrapping_sub(self.offset);
        MediaFrame::new(now, time, &[self.quiet(); MEDIA_BYTES][..self.format.frame_bytes()])
    }

    /// The byte of a silent sample.
    fn quiet(&self) -> u8 {
        match self.format.encoding {
            MediaEncoding::Mulaw => g711::MULAW_SILENCE,
            MediaEncoding::L16 => 0,
        }
    }

    /// Takes one media frame; `emit` gets each packet that it completes.
    pub fn handle_frame(&mut self, frame: &MediaFrame, stats: &CallStats, mut emit: impl FnMut(&Packet)) {
        let width = self.format.encoding.bytes_per_sample();
        let mut bytes = frame.payload();
        bytes = &bytes[..bytes.len() / width * width];
        let samples = (bytes.len() / width) as u64;
        if samples == 0 {
            return;
        }
        let Some(time) = self.place(frame.time, samples, stats) else { return };
        self.filled = 0;
        let expected = *self.expected.get_or_insert(time);
        let behind = expected.saturating_sub(time);
        if behind >= samples {
            stats.duplicate.add(1);
            return;
        }
        bytes = &bytes[behind as usize * width..];
        if time > expected {
            stats.uplink_gaps.add(1);
            self.pad(time - expected, stats, &mut emit);
            self.marker = true;
        }
        self.expected = Some(time + samples);

        let whole = self.format.frame_bytes();
        let mut at = time.max(expected);
        while !bytes.is_empty() {
            if self.chunk.filled == 0 {
                self.chunk.time = at;
            }
            let n = bytes.len().min(whole - self.chunk.filled);
            self.chunk.bytes[self.chunk.filled..][..n].copy_from_slice(&bytes[..n]);
            self.chunk.filled += n;
            self.chunk.born = frame.born;
            bytes = &bytes[n..];
            at += (n / width) as u64;
            self.finish(stats, &mut emit);
        }
    }

    /// Media time on our own unbroken line, or `None` if the frame makes no sense (yet).
    fn place(&mut self, time: u64, samples: u64, stats: &CallStats) -> Option<u64> {
        let placed = time.wrapping_add(self.offset);
        let Some(expected) = self.expected else { return Some(placed) };
        let per_ms = self.format.rate.samples(1) as u64;
        let (ahead, behind) = (placed.wrapping_sub(expected), expected.wrapping_sub(placed));
        if (1..=self.filled).contains(&behind) {
            // It was a stall after all: what the caller said comes behind the silence instead of being lost in it.
            self.offset = self.offset.wrapping_add(behind);
            self.pushed_back += behind;
            self.filled = 0;
            return Some(expected);
        }
        if ahead <= RESET_AHEAD_MS * per_ms || behind <= RESET_BEHIND_MS * per_ms {
            self.suspect = None;
            let back = if ahead <= RESET_AHEAD_MS * per_ms { ahead.min(self.pushed_back) } else { 0 };
            self.offset = self.offset.wrapping_sub(back);
            self.pushed_back -= back;
            return Some(placed.wrapping_sub(back));
        }
        if self.suspect == Some(time) {
            // Two frames that follow each other: the sender counts anew, and its audio goes on where it was.
            self.suspect = None;
            self.offset = expected.wrapping_sub(time);
            return Some(expected);
        }
        self.suspect = Some(time.wrapping_add(samples));
        stats.duplicate.add(1);
        None
    }

    /// A gap of so many samples: a begun chunk is completed with silence, the rest of the gap is left out.
    fn pad(&mut self, gap: u64, stats: &CallStats, emit: &mut impl FnMut(&Packet)) {
        if self.chunk.filled == 0 {
            return;
        }
        let width = self.format.encoding.bytes_per_sample();
        let room = self.format.frame_bytes() - self.chunk.filled;
        let n = usize::try_from(gap).map_or(room, |gap| gap.saturating_mul(width).min(room));
        let silence = self.quiet();
        self.chunk.bytes[self.chunk.filled..][..n].fill(silence);
        self.chunk.filled += n;
        self.finish(stats, emit);
    }

    /// Makes a packet if 20 ms are together.
    fn finish(&mut self, stats: &CallStats, emit: &mut impl FnMut(&Packet)) {
        if self.chunk.filled < self.format.frame_bytes() {
            return;
        }
        self.chunk.filled = 0;
        let mut packet = Packet::default();
        match self.encode(&mut packet) {
            Ok(()) => {
                packet.born = self.chunk.born;
                packet.seq = self.seq;
                packet.timestamp = self.rtp_time(self.chunk.time);
                packet.marker = std::mem::take(&mut self.marker);
                self.seq = self.seq.wrapping_add(1);
                emit(&packet);
            }
            Err(_) => stats.encode_errors.add(1),
        }
    }

    fn encode(&mut self, packet: &mut Packet) -> Result<(), OpusError> {
        let bytes = &self.chunk.bytes[..self.format.frame_bytes()];
        if is_identity(self.format, self.codec) {
            return packet.build(self.codec, |out| {
                out[..bytes.len()].copy_from_slice(bytes);
                Ok(bytes.len())
            });
        }
        let pcm = &mut self.pcm[..self.format.rate.samples(FRAME_MS)];
        match self.format.encoding {
            MediaEncoding::Mulaw => g711::decode(Law::Mu, bytes, pcm),
            MediaEncoding::L16 => {
                for (sample, pair) in pcm.iter_mut().zip(bytes.chunks_exact(2)) {
                    *sample = i16::from_le_bytes([pair[0], pair[1]]);
                }
            }
        }
        let law = match self.codec {
            ModelCodec::Opus => {
                let encoder = &mut self.encoder;
                return packet.build(self.codec, |out| encoder.encode(pcm, out));
            }
            ModelCodec::Pcmu => Law::Mu,
            ModelCodec::Pcma => Law::A,
        };
        let narrow: &[i16] = match &mut self.narrow {
            Some(resampler) => {
                resampler.process(pcm, &mut self.pcm_narrow);
                &self.pcm_narrow
            }
            None => pcm,
        };
        packet.build(self.codec, |out| {
            g711::encode(law, narrow, &mut out[..narrow.len()]);
            Ok(narrow.len())
        })
    }

    /// Media samples as RTP time, which is modulo 2^32 by definition.
    fn rtp_time(&self, samples: u64) -> u32 {
        (u128::from(samples) * u128::from(self.codec.rtp_clock()) / u128::from(self.format.rate.hz())) as u32
    }
}

#[cfg(test)]
#[path = "uplink_tests.rs"]
mod tests;
