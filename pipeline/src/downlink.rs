//! Model to caller: packets in, put in order, decoded, and sent out as 20 ms frames on the call's own beat.
//!
//! The beat is the jitter buffer's: a frame leaves when it is due, wherever that falls, because nothing here pulls at
//! fixed times. Packets of any length and codec may mix; each is decoded straight to the media rate.

use crate::conceal::{PitchRepeater, is_silent};
use crate::frame::{FRAME_MS, MediaEncoding, MediaFormat, MediaFrame, ModelCodec, PACKET_BYTES, Packet};
use crate::g711::{self, Law};
use crate::jitter::{Arrival, JitterBuffer, JitterConfig, Playout};
use crate::opus::{self, Decoder, OpusError};
use crate::resample::Resampler;
use crate::ring::{Reader, Writer};
use crate::stage::Stage;
use crate::stats::CallStats;
use crate::units::{Clock, Nanos, SampleRate, Ticks};
use crate::uplink::Progress;

/// Packets taken in one tick, so that a flooded call leaves time for its neighbours.
const PACKETS_PER_TICK: usize = 32;
/// Frames made in one tick: the longest Opus packet holds six.
const FRAMES_PER_TICK: usize = 8;
/// Longest packet, G.711 in a full payload: 160 ms.
const LONGEST_MS: u32 = (PACKET_BYTES / 8) as u32;
/// Room for one packet of the longest kind on top of what is not yet a frame.
const PCM_MS: u32 = LONGEST_MS + FRAME_MS;

/// The chain. Everything it needs is allocated when it is made.
pub struct Downlink {
    format: MediaFormat,
    jitter: JitterBuffer,
    decoder: Decoder,
    repeater: PitchRepeater,
    /// From G.711's rate, if the media has another; it takes whole 20 ms, collected in `narrow`.
    widen: Option<Resampler>,
    narrow: Samples,
    /// Decoded, not yet sent.
    pcm: Samples,
    /// When the first frame of `pcm` is due; without one, when the last was.
    ready: Nanos,
    /// When what it came from arrived, and what came last.
    born: Nanos,
    born_last: Nanos,
    /// The codec played last: it conceals what is lost after it.
    codec: ModelCodec,
    voiced: bool,
    open: bool,
    generation: u32,
    /// When what is at the far end will have been played; 0 if that is not known.
    far_end: Nanos,
    /// Samples sent since the start.
    time: u64,
    stage: Stage,
}

/// A row of samples that fills at the end and empties from the front.
struct Samples {
    buffer: Box<[i16]>,
    len: usize,
}

impl Samples {
    fn new(capacity: usize) -> Self {
        Self { buffer: vec![0; capacity].into_boxed_slice(), len: 0 }
    }

    fn room(&mut self) -> &mut [i16] {
        &mut self.buffer[self.len..]
    }

    fn front(&self, n: usize) -> &[i16] {
        &self.buffer[..n.min(self.len)]
    }

    fn consume(&mut self, n: usize) {
        let n = n.min(self.len);
        self.buffer.copy_within(n..self.len, 0);
        self.len -= n;
    }

    fn pad_to(&mut self, len: usize) {
        let len = len.min(self.buffer.len());
        if len > self.len {
            self.buffer[self.len..len].fill(0);
            self.len = len;
        }
    }
}

impl Downlink {
    /// A chain to `format`.
    pub fn new(format: MediaFormat, jitter: JitterConfig) -> Result<Self, OpusError> {
        Ok(Self {
            format,
            jitter: JitterBuffer::new(jitter),
            decoder: Decoder::new(format.rate)?,
            repeater: PitchRepeater::default(),
            widen: match format.rate {
                SampleRate::Hz8000 => None,
                rate => Some(
                    Resampler::new(SampleRate::Hz8000, rate)
                        .expect("rubato converts between any two of our rates"),
                ),
            },
            narrow: Samples::new(match format.rate {
                SampleRate::Hz8000 => 0,
                _ => SampleRate::Hz8000.samples(PCM_MS),
            }),
            pcm: Samples::new(format.rate.samples(PCM_MS + FRAME_MS)),
            ready: Nanos(0),
            born: Nanos(0),
            born_last: Nanos(0),
            codec: ModelCodec::Opus,
            voiced: false,
            open: true,
            generation: 0,
            far_end: Nanos(0),
            time: 0,
            stage: Stage::new(format.frame_bytes()),
        })
    }

    /// Forgets everything not yet sent; what follows carries `generation`, and packets are dropped until
    /// [`open`](Self::open).
    pub fn flush(&mut self, generation: u32) {
        self.jitter.clear();
        self.decoder.reset();
        self.repeater.reset();
        if let Some(widen) = &mut self.widen {
            widen.reset();
        }
        self.narrow.len = 0;
        self.pcm.len = 0;
        self.ready = Nanos(0);
        self.stage.clear();
        self.voiced = false;
        self.open = false;
        self.generation = generation;
    }

    /// Packets count again.
    pub fn open(&mut self) {
        self.open = true;
    }

    /// When what was handed on so far will have been played; [`Nanos`] 0 if that is not known.
    pub fn set_far_end(&mut self, ends: Nanos) {
        self.far_end = ends;
    }

    /// Sound that waits at the far end at `now`.
    pub fn far_end_depth(&self, now: Nanos) -> std::time::Duration {
        self.far_end.saturating_sub(now)
    }

    /// Whether packets count.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Takes in what arrived and sends what is due.
    pub fn tick(
        &mut self,
        clock: &impl Clock,
        input: &mut Reader<Packet>,
        output: &mut Writer<MediaFrame>,
        stats: &CallStats,
    ) -> Progress {
        let mut progress = Progress { pushed: false, next: Nanos::MAX, blocked: false };
        for _ in 0..PACKETS_PER_TICK {
            let Some(packet) = input.pop() else { break };
            self.handle_packet(&packet, stats);
        }
        while output.free() > 0 {
            let Some(frame) = self.stage.pop() else { break };
            let _ = output.push(frame);
            progress.pushed = true;
        }
        let now = clock.now();
        for _ in 0..FRAMES_PER_TICK {
            let Some((frame, silent)) = self.poll(now, stats) else { break };
            let left = clock.now();
            stats.frames_out.add(1);
            stats.downlink_age.record(left.saturating_sub(frame.due));
            stats.buffered.record(left.saturating_sub(frame.born));
            if self.stage.is_empty() && output.push(frame).is_ok() {
                progress.pushed = true;
            } else if self.stage.push(frame, silent) {
                stats.dropped_full.add(1);
            }
        }
        progress.blocked = !self.stage.is_empty();
        progress.next = if input.is_empty() { self.next_due().unwrap_or(Nanos::MAX) } else { now };
        progress
    }

    /// Takes a packet.
    pub fn handle_packet(&mut self, packet: &Packet, stats: &CallStats) {
        stats.packets_in.add(1);
        if !self.open {
            stats.muted.add(1);
            return;
        }
        match self.jitter.handle_packet(packet) {
            Arrival::Queued => {}
            Arrival::Reordered => stats.reordered.add(1),
            Arrival::Late | Arrival::Foreign => stats.late.add(1),
            Arrival::Duplicate => stats.duplicate.add(1),
            Arrival::Malformed => stats.decode_errors.add(1),
        }
    }

    /// When [`poll`](Self::poll) has something to give; `None` if that takes a packet first.
    pub fn next_due(&self) -> Option<Nanos> {
        if self.pcm.len >= self.frame_samples() { Some(self.ready) } else { self.jitter.next_due() }
    }

    /// The frame that is due, and whether it is silent. To be called until it gives `None`.
    pub fn poll(&mut self, now: Nanos, stats: &CallStats) -> Option<(MediaFrame, bool)> {
        let whole = self.frame_samples();
        while self.pcm.len < whole {
            let before = self.pcm.len;
            let Some((due, playout)) = self.jitter.poll(now, self.voiced) else {
                self.report(stats);
                return None;
            };
            let begun = before + self.narrow.len;
            let mut player = Player {
                format: self.format,
                decoder: &mut self.decoder,
                repeater: &mut self.repeater,
                widen: self.widen.as_mut(),
                narrow: &mut self.narrow,
                pcm: &mut self.pcm,
            };
            let mut born = due;
            let mut played = false;
            match playout {
                Playout::Packet(packet) => {
                    born = packet.born;
                    self.codec = packet.codec;
                    if !player.packet(packet) {
                        stats.decode_errors.add(1);
                    }
                    played = true;
                }
                Playout::Fec { successor, lost } => player.recover(successor, lost),
                Playout::Conceal(length) => player.conceal(self.codec, length),
                Playout::Silence(length) => player.silence(length),
                Playout::Pause => {
                    if begun > 0 {
                        player.complete(whole);
                    }
                    self.voiced = false;
                }
            }
            // Never before the frame that went before, nor before its own last part is due.
            self.ready = self.ready.max(due);
            if begun == 0 {
                self.born = born;
            }
            self.born_last = born;
            if self.pcm.len > before {
                let made = &self.pcm.buffer[before..self.pcm.len];
                self.voiced = !is_silent(made);
                if played && !self.voiced {
                    self.shorten(before);
                }
            }
        }
        self.report(stats);
        if self.ready > now {
            return None;
        }
        Some(self.cut(whole))
    }

    /// Silence is left out as far as the buffer is deeper than it need be: whole frames or packets of it, because
    /// what is left of one would wait for the next.
    fn shorten(&mut self, before: usize) {
        let rate = self.format.rate;
        let made = self.pcm.len - before;
        let piece = made.min(self.frame_samples());
        let cut = self.jitter.excess().samples(rate).min(made) / piece * piece;
        if cut > 0 {
            self.pcm.len -= cut;
            self.jitter.handle_cut(Ticks::of_samples(cut, rate));
        }
    }

    fn cut(&mut self, whole: usize) -> (MediaFrame, bool) {
        let samples = self.pcm.front(whole);
        let mut frame = MediaFrame::blank(self.format.frame_bytes());
        match self.format.encoding {
            MediaEncoding::Mulaw => g711::encode(Law::Mu, samples, frame.payload_mut()),
            MediaEncoding::L16 => {
                for (pair, sample) in frame.payload_mut().chunks_exact_mut(2).zip(samples) {
                    pair.copy_from_slice(&sample.to_le_bytes());
                }
            }
        }
        let silent = is_silent(samples);
        frame.born = self.born;
        frame.due = self.ready;
        frame.time = self.time;
        frame.generation = self.generation;
        self.time += whole as u64;
        self.pcm.consume(whole);
        self.born = self.born_last;
        if self.pcm.len >= whole {
            self.ready += Ticks::from_millis(i64::from(FRAME_MS)).duration();
        }
        (frame, silent)
    }

    fn report(&mut self, stats: &CallStats) {
        let counts = self.jitter.take_counts();
        stats.concealed.add(counts.concealed);
        stats.concealed_ms.add(counts.concealed_ticks / 48);
        stats.fec.add(counts.fec);
        stats.dropped_full.add(counts.dropped);
        stats.grown_ns.add(counts.grown_ns);
        stats.shrunk_ns.add(counts.shrunk_ns);
        stats.set_target(self.jitter.target());
    }

    fn frame_samples(&self) -> usize {
        self.format.rate.samples(FRAME_MS)
    }
}

/// The parts that turn a packet, or its absence, into samples.
struct Player<'a> {
    format: MediaFormat,
    decoder: &'a mut Decoder,
    repeater: &'a mut PitchRepeater,
    widen: Option<&'a mut Resampler>,
    narrow: &'a mut Samples,
    pcm: &'a mut Samples,
}

impl Player<'_> {
    /// Decodes a packet; says whether it could. If not, its time is made up.
    fn packet(&mut self, packet: &Packet) -> bool {
        let payload = packet.payload();
        let law = match packet.codec {
            ModelCodec::Opus => {
                return match self.decoder.decode(payload, self.pcm.room()) {
                    Ok(n) => {
                        self.pcm.len += n;
                        true
                    }
                    Err(_) => {
                        let length = opus::packet_duration(payload).unwrap_or(Ticks(960));
                        self.conceal(ModelCodec::Opus, length);
                        false
                    }
                };
            }
            ModelCodec::Pcmu => Law::Mu,
            ModelCodec::Pcma => Law::A,
        };
        self.g711(payload.len(), |repeater, samples| {
            g711::decode(law, payload, samples);
            repeater.pass(samples);
        });
        true
    }

    fn recover(&mut self, successor: &Packet, lost: Ticks) {
        let n = self.opus_samples(lost);
        let room = self.pcm.room();
        let n = n.min(room.len());
        match self.decoder.decode_fec(successor.payload(), &mut room[..n]) {
            Ok(n) => self.pcm.len += n,
            Err(_) => self.conceal(ModelCodec::Opus, lost),
        }
    }

    fn conceal(&mut self, codec: ModelCodec, length: Ticks) {
        match codec {
            ModelCodec::Opus => {
                let n = self.opus_samples(length);
                let room = self.pcm.room();
                let n = n.min(room.len());
                room[..n].fill(0);
                // Should libopus refuse, the time is filled with silence: the beat must not slip.
                let _ = self.decoder.conceal(&mut room[..n]);
                self.pcm.len += n;
            }
            ModelCodec::Pcmu | ModelCodec::Pcma => {
                self.g711(length.samples(SampleRate::Hz8000), |repeater, samples| repeater.conceal(samples));
            }
        }
    }

    fn silence(&mut self, length: Ticks) {
        self.pcm.pad_to(self.pcm.len + length.samples(self.format.rate));
    }

    /// Completes what was begun with silence.
    fn complete(&mut self, whole: usize) {
        if self.widen.is_some() && self.narrow.len > 0 {
            let missing = SampleRate::Hz8000.samples(FRAME_MS) - self.narrow.len;
            self.g711(missing, |_, samples| samples.fill(0));
        }
        self.pcm.pad_to(whole);
    }

    /// libopus conceals in steps of 2.5 ms.
    fn opus_samples(&self, length: Ticks) -> usize {
        let step = self.format.rate.samples(5) / 2;
        (length.samples(self.format.rate) / step).max(1) * step
    }

    /// Adds `n` samples of 8 kHz, converted if the media has another rate.
    fn g711(&mut self, n: usize, make: impl FnOnce(&mut PitchRepeater, &mut [i16])) {
        let Some(widen) = self.widen.as_mut() else {
            let room = self.pcm.room();
            let n = n.min(room.len());
            make(self.repeater, &mut room[..n]);
            self.pcm.len += n;
            return;
        };
        let room = self.narrow.room();
        let n = n.min(room.len());
        make(self.repeater, &mut room[..n]);
        self.narrow.len += n;
        let (block_in, block_out) = (widen.block_in(), widen.block_out());
        while self.narrow.len >= block_in && self.pcm.room().len() >= block_out {
            widen.process(self.narrow.front(block_in), &mut self.pcm.room()[..block_out]);
            self.pcm.len += block_out;
            self.narrow.consume(block_in);
        }
    }
}

#[cfg(test)]
#[path = "downlink_tests.rs"]
mod tests;
