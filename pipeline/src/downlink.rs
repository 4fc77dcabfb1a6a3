//! Model to caller: packets in, put in order, decoded, and sent out as 20 ms frames on the call's own beat.
//!
//! The beat is the jitter buffer's: a frame leaves when it is due, wherever that falls, because nothing here pulls at
//! fixed times. Packets of any length and codec may mix; each is decoded straight to the media rate.

use std::time::Duration;

use crate::conceal::{PitchRepeater, is_nothing, is_silent};
use crate::crossfade::CrossFade;
use crate::frame::{FRAME_MS, MediaEncoding, MediaFormat, MediaFrame, ModelCodec, PACKET_BYTES, Packet};
use crate::g711::{self, Law};
use crate::jitter::{Arrival, JitterBuffer, JitterConfig, Playout};
use crate::opus::{Decoder, OpusError};
use crate::player::{Player, Samples};
use crate::resample::Resampler;
use crate::ring::{Reader, Writer};
use crate::stage::Stage;
use crate::stats::CallStats;
use crate::stretch::Stretch;
use crate::units::{Clock, Nanos, SampleRate, Ticks};
use crate::uplink::{Progress, is_identity};

/// Packets taken in one tick, so that a flooded call leaves time for its neighbours.
const PACKETS_PER_TICK: usize = 32;
/// Frames made in one tick: the longest Opus packet holds six.
const FRAMES_PER_TICK: usize = 8;
/// Longest packet, G.711 in a full payload: 160 ms.
const LONGEST_MS: u32 = (PACKET_BYTES / 8) as u32;
/// Room for one packet of the longest kind on top of what is not yet a frame.
const PCM_MS: u32 = LONGEST_MS + FRAME_MS;

/// Sound that may wait at the far end when a frame is handed on. It plays first in, first out and never catches up, so what is
/// beyond is taken out here. With the frame itself this makes 50 ms; a goal of 60 leaves 10 for the time that taking out needs.
/// More is delay; less lets the far end run dry when a frame comes late.
pub const FAR_END_LEAD: Ticks = Ticks::from_millis(30);
/// Silence is cut for so much at least: a seventh of the delay, within 0.25 and 1.5 ms. Less comes back with the next packet that is late,
/// and each time a frame is missing from the pause; more is delay for nothing.
const LEAST_CUT: (Ticks, Ticks) = (Ticks(12), Ticks(72));
const LEAST_CUT_SHARE: i64 = 7;
/// Silence before any of it is cut: 120 ms. Shorter ones are within words, where what is left out is heard (PESQ 0.03 with 1 % lost).
const LEAST_PAUSE: Ticks = Ticks::from_millis(120);
/// From here on the first silence there is will do: the delay of a stall is worse than a word a little shorter.
const URGENT_CUT: Ticks = Ticks::from_millis(40);

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
    /// Whether what comes follows its sound without a pause, so that another's has to be blended in.
    sounding: bool,
    fade: CrossFade,
    voiced: bool,
    /// What was decoded last is something that can go on if the next is missing.
    audible: bool,
    open: bool,
    generation: u32,
    /// Silence since the last voice; before the first, as much as is needed.
    pause: Ticks,
    stretch: Stretch,
    /// Of what is decoded, what shall go out before the next packet's own time, because cuts left no whole frame.
    lead: Ticks,
    /// RTP timestamp of the first sample of `pcm`; and of what was added last, with where that begins.
    source: u32,
    added: (usize, u32),
    /// When what is at the far end will have been played; 0 if that is not known.
    far_end: Nanos,
    /// Frames handed on that are not at the far end yet, and room of the ring they wait in.
    underway: usize,
    room: usize,
    /// Samples sent since the start.
    time: u64,
    stage: Stage,
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
            sounding: false,
            fade: CrossFade::new(format.rate),
            voiced: false,
            audible: false,
            open: true,
            generation: 0,
            pause: LEAST_PAUSE,
            stretch: Stretch::new(format.rate),
            lead: Ticks(0),
            source: 0,
            added: (0, 0),
            far_end: Nanos(0),
            underway: 0,
            room: 0,
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
        self.lead = Ticks(0);
        self.ready = Nanos(0);
        self.stage.clear();
        self.fade.clear();
        self.sounding = false;
        self.voiced = false;
        self.audible = false;
        self.pause = LEAST_PAUSE;
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

    /// Sound that waits at the far end at `now`, and on the way there.
    pub fn far_end_depth(&self, now: Nanos) -> Duration {
        let underway = Ticks::from_millis(i64::from(FRAME_MS) * self.underway as i64);
        self.far_end.saturating_sub(now) + underway.duration()
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
        if !input.is_empty() {
            let mut packet = Packet::default();
            for _ in 0..PACKETS_PER_TICK {
                if !input.pop_into(&mut packet) {
                    break;
                }
                self.handle_packet(&packet, stats);
            }
        }
        while output.free() > 0 {
            let Some(frame) = self.stage.pop() else { break };
            let _ = output.push(&frame);
            progress.pushed = true;
        }
        let now = clock.now();
        self.room = self.room.max(output.free());
        for _ in 0..FRAMES_PER_TICK {
            self.underway = self.room - output.free() + self.stage.len();
            let Some((frame, silent)) = self.poll(now, stats) else { break };
            let left = clock.now();
            stats.frames_out.add(1);
            stats.downlink_age.record(left.saturating_sub(frame.due));
            stats.buffered.record(left.saturating_sub(frame.born));
            if self.stage.is_empty() && output.push(&frame).is_ok() {
                progress.pushed = true;
            } else if self.stage.push(&frame, silent) {
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

    /// Whether the next packet would make a frame as soon as it came.
    pub fn is_hungry(&self) -> bool {
        self.pcm.len < self.frame_samples() && self.jitter.is_hungry()
    }

    /// Whether what comes next only has to be passed on, as soon as it comes: mu-law to mu-law, and nothing is waited for.
    pub fn is_calm(&self) -> bool {
        self.open
            && is_identity(self.format, self.codec)
            && self.pcm.len < self.frame_samples()
            && self.jitter.is_hungry()
            && self.jitter.wait().is_zero()
            && self.jitter.next_due().is_some()
    }

    /// The frame that is due, and whether it is silent. To be called until it gives `None`.
    pub fn poll(&mut self, now: Nanos, stats: &CallStats) -> Option<(MediaFrame, bool)> {
        let whole = self.frame_samples();
        while self.pcm.len < whole {
            let mut before = self.pcm.len;
            let mut source = self.next_source();
            let Some((due, playout)) = self.jitter.poll(now, self.audible) else {
                self.report(stats);
                return None;
            };
            let begun = before + self.narrow.len;
            let mut padded = Ticks(0);
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
            if let Playout::Packet(next) | Playout::Fec { successor: next, .. } = &playout {
                let changed = (self.codec == ModelCodec::Opus) != (next.codec == ModelCodec::Opus);
                if changed && self.sounding {
                    let delayed = next.codec != ModelCodec::Opus && player.widen.is_some();
                    self.fade.begin(delayed, |tail| player.lead_out(self.codec, tail));
                    before = player.pcm.len;
                }
                if let Playout::Fec { successor, lost } = &playout
                    && changed
                {
                    // What was said so far counts on another clock. FEC is Opus', whose clock is ours.
                    source = successor.timestamp.wrapping_sub(lost.0 as u32);
                }
                self.codec = next.codec;
            }
            self.sounding = !matches!(playout, Playout::Silence(_) | Playout::Pause);
            match playout {
                Playout::Packet(packet) => {
                    born = packet.born;
                    source = packet.timestamp;
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
                        padded = Ticks::of_samples(whole - before, self.format.rate);
                        player.complete(whole);
                    }
                    self.voiced = false;
                    self.audible = false;
                }
            }
            let faded = self.fade.blend(&mut self.pcm.buffer[before..self.pcm.len]);
            if !self.sounding {
                self.fade.clear();
            }
            // Never before the frame that went before, nor before its own last part is due.
            self.ready = self.ready.max(due);
            if begun == 0 {
                self.born = born;
            }
            self.born_last = born;
            self.added = (before, source);
            if before == 0 {
                self.source = source;
            }
            if padded > Ticks(0) {
                self.lead = Ticks(0);
                self.jitter.handle_padding(padded);
            }
            if self.pcm.len > before {
                let made = &self.pcm.buffer[before..self.pcm.len];
                self.voiced = !is_silent(made);
                self.audible = !is_nothing(made);
                // What is quiet but for the end of another codec's sound is no silence to be cut.
                if played && !faded {
                    self.shorten(before, now);
                }
            }
        }
        self.report(stats);
        if self.ready > now {
            return None;
        }
        Some(self.cut(whole))
    }

    /// Takes out sound as far as the buffer, or else the far end, is deeper than it need be: silence if this is some, else periods of
    /// the voice.
    fn shorten(&mut self, before: usize, now: Nanos) {
        let rate = self.format.rate;
        let made = self.pcm.len - before;
        self.stretch.handle_played(Ticks::of_samples(made, rate));
        let excess = self.jitter.excess();
        let far = if self.far_end == Nanos(0) { Duration::ZERO } else { self.far_end_depth(now) };
        let far = Ticks::from_nanos(far.as_nanos() as i64) - FAR_END_LEAD;
        self.pause = if self.voiced { Ticks(0) } else { self.pause + Ticks::of_samples(made, rate) };
        let least = Ticks::from_nanos(self.jitter.target().as_nanos() as i64).0 / LEAST_CUT_SHARE;
        let least = Ticks(least).clamp(LEAST_CUT.0, LEAST_CUT.1);
        let mut here = excess >= least || self.lead > Ticks(0);
        let cut = if !self.voiced {
            let wanted = excess.max(far);
            // Silent as a whole, it may still end in the beginning of a word, which would then begin with a click.
            let calm = self.pcm.buffer[before..self.pcm.len].chunks(rate.samples(5)).all(is_silent);
            let now = calm && (self.pause >= LEAST_PAUSE || wanted >= URGENT_CUT);
            if now && (here || far >= least) { self.drop_silence(before, wanted) } else { 0 }
        } else {
            // What is left of a packet makes no frame until the next is here, which is then wanted so much before its time.
            // So there must be a frame too much, or what is left of one.
            let frame = Ticks::from_millis(i64::from(FRAME_MS));
            let most = if excess - self.lead >= frame { frame } else { self.lead.min(excess) };
            here = most > Ticks(0);
            let most = if here { most } else { far };
            self.stretch.shorten(&mut self.pcm.buffer[..self.pcm.len], most.samples(rate))
        };
        if cut == 0 {
            return;
        }
        self.pcm.len -= cut;
        self.added.1 = self.added.1.wrapping_add(self.clock_ticks(cut));
        if before == 0 {
            self.source = self.added.1;
        }
        if here {
            let cut = Ticks::of_samples(cut, rate);
            let piece = made.min(self.frame_samples());
            let piece = Ticks::of_samples(piece, rate).0.max(1);
            let whole = self.pcm.len.is_multiple_of(self.frame_samples());
            self.lead = if whole { Ticks(0) } else { Ticks((self.lead.0 - cut.0).rem_euclid(piece)) };
            self.jitter.handle_cut(cut, self.lead);
        }
    }

    /// How much of the silence decoded last can go: whole frames, because what is left of one would wait for the next;
    /// and what is beyond a frame that it completes.
    fn drop_silence(&self, before: usize, wanted: Ticks) -> usize {
        let frame = self.frame_samples();
        let made = self.pcm.len - before;
        let kept = before.next_multiple_of(frame);
        let piece = made.min(frame);
        let wanted = wanted.samples(self.format.rate).max(1).div_ceil(piece) * piece;
        let beyond = self.pcm.len.saturating_sub(kept);
        if before > 0 { beyond % piece } else { beyond.min(wanted) / piece * piece }
    }

    /// RTP timestamp of what comes after all that is decoded.
    fn next_source(&self) -> u32 {
        let (start, source) = self.added;
        source.wrapping_add(self.clock_ticks(self.pcm.len.saturating_sub(start)))
    }

    /// So many samples on the RTP clock of the codec played last.
    fn clock_ticks(&self, samples: usize) -> u32 {
        (samples as u64 * u64::from(self.codec.rtp_clock()) / u64::from(self.format.rate.hz())) as u32
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
        frame.source = self.source;
        frame.generation = self.generation;
        self.time += whole as u64;
        let (start, source) = self.added;
        self.source = if start < whole {
            source.wrapping_add(self.clock_ticks(whole - start))
        } else {
            self.source.wrapping_add(self.clock_ticks(whole))
        };
        self.added = (start.saturating_sub(whole), if start < whole { self.source } else { source });
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
        stats.set_target(self.jitter.target(), self.jitter.wait());
    }

    fn frame_samples(&self) -> usize {
        self.format.rate.samples(FRAME_MS)
    }
}

#[cfg(test)]
#[path = "downlink_tests.rs"]
mod tests;
