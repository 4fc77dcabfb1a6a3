//! Runs a trace through the whole downlink in simulated time, and listens at the end of what comes after it.
//!
//! What comes after plays first in, first out, as Twilio does: a frame is heard when it is sent or when the one before has been heard,
//! whichever is later. So sending early gains nothing, and a frame sent late is a hole. It plays at any moment rather than
//! on a grid of its own, as NetEq's figures are of NetEq alone.

use pipeline::{CallStats, Downlink, JitterConfig, MediaFormat, ModelCodec, Nanos, Packet};

use super::score::Score;
use super::voice::Voice;
use super::{PACKET_MS, Profile, Sent};

/// Where the clock starts, ms: nothing may happen before its origin.
const ORIGIN_MS: f64 = 10_000.0;

/// A moment of the trace on the buffer's clock.
pub fn nanos(ms: f64) -> Nanos {
    Nanos(((ORIGIN_MS + ms) * 1e6) as u64)
}

fn millis(at: Nanos) -> f64 {
    at.0 as f64 / 1e6 - ORIGIN_MS
}

/// What became of the packets.
pub struct Run {
    pub score: Score,
    /// Of each frame played: when its first sample was sent and by how much it is heard later than that plus the base path, ms.
    pub played: Vec<(f64, f64)>,
}

/// Plays a trace.
pub fn play(profile: &Profile, trace: &[Sent], voice: &Voice, config: JitterConfig) -> Run {
    let mut arrivals: Vec<(Nanos, usize)> =
        trace.iter().enumerate().filter_map(|(i, sent)| Some((nanos(sent.arrival?), i))).collect();
    arrivals.sort_unstable();
    let stats = CallStats::default();
    let mut downlink = Downlink::new(MediaFormat::default(), config).expect("a decoder for 8 kHz exists");
    let mut listener = Listener::new(profile, trace, voice.codec, &arrivals);
    for (at, i) in arrivals.iter().copied() {
        while let Some(due) = downlink.next_due().filter(|due| *due < at) {
            while let Some((frame, _)) = downlink.poll(due, &stats) {
                listener.hear(due, frame.born, frame.source);
            }
        }
        downlink.handle_packet(&packet(&trace[i], voice, at), &stats);
    }
    let mut score = listener.score;
    score.fec_ms = stats.fec.get() as f64 * PACKET_MS;
    score.concealed_ms -= score.fec_ms;
    score.discarded = stats.late.get() + stats.dropped_full.get();
    score.sent = trace.len() as u64;
    score.lost = trace.iter().filter(|sent| sent.arrival.is_none()).count() as u64;
    score.added = listener.played.iter().map(|(_, added)| *added as f32).collect();
    Run { score, played: listener.played }
}

fn packet(sent: &Sent, voice: &Voice, now: Nanos) -> Packet {
    let timestamp = (sent.number * u64::from(voice.codec.rtp_clock()) / 50) as u32;
    let payload = voice.payload(sent.number, sent.voiced);
    Packet::new(now, voice.codec, sent.number as u16, timestamp, false, payload).expect("it fits a packet")
}

/// Hears frames one after the other and compares them with what was sent.
struct Listener<'a> {
    profile: &'a Profile,
    trace: &'a [Sent],
    clock: f64,
    /// When which packet came, in that order.
    came: &'a [(Nanos, usize)],
    score: Score,
    played: Vec<(f64, f64)>,
    /// When what was sent so far has been heard, ms.
    end: Option<f64>,
    /// Where in the stream, in packets, the last real frame began, and whether somebody spoke in it.
    last: (f64, bool),
    /// Made up or empty since then, ms: it counts if the stream goes on.
    missing_ms: f64,
}

impl<'a> Listener<'a> {
    fn new(profile: &'a Profile, trace: &'a [Sent], codec: ModelCodec, came: &'a [(Nanos, usize)]) -> Self {
        Self {
            profile,
            trace,
            clock: f64::from(codec.rtp_clock()),
            came,
            score: Score::default(),
            played: Vec::with_capacity(trace.len()),
            end: None,
            last: (0.0, false),
            missing_ms: 0.0,
        }
    }

    fn hear(&mut self, sent: Nanos, born: Nanos, source: u32) {
        let at = millis(sent);
        let end = self.end.unwrap_or(at);
        let heard = at.max(end);
        let gap = heard - end;
        self.end = Some(heard + PACKET_MS);
        let Ok(packet) = self.came.binary_search_by_key(&born, |came| came.0) else {
            self.missing_ms += PACKET_MS + gap;
            self.score.gap_ms += gap;
            return;
        };
        let packet = self.came[packet].1;
        let place = f64::from(source) * 50.0 / self.clock;
        let advanced = place - self.last.0;
        // Silence that was here and is shorter now: what is left of it is heard as a hole, which it was.
        let silence = (self.last.0 as usize + 1..packet)
            .filter(|i| self.trace[*i].arrival.is_some() && !self.trace[*i].voiced)
            .count();
        let hole = (gap - silence as f64 * PACKET_MS).max(0.0);
        let was_here = millis(born) <= end;
        if was_here && !self.last.1 {
            self.score.stretched_ms += hole; // a pause became longer
        } else {
            self.missing_ms += hole;
            self.score.gap_ms += hole;
        }
        if self.missing_ms == 0.0 && self.last.1 && (1.0..1.9).contains(&advanced) {
            self.score.stretched_ms += (advanced - 1.0) * PACKET_MS;
        }
        self.score.concealed_ms += std::mem::take(&mut self.missing_ms);
        let spoken = place * PACKET_MS / (1.0 + self.profile.drift_ppm * 1e-6);
        self.played.push((spoken, heard - spoken - self.profile.base_ms));
        self.last = (place, self.trace[packet].voiced);
    }
}
