//! What to play when nothing is there: how much of it, and for G.711 (whose decoder cannot) how it is made.

use crate::lpc::{ORDER, Predictor, dot};
use crate::units::{SampleRate, Ticks};

/// Longest concealment of a proven loss. Beyond it there is nothing left of the sound to continue; silence follows.
pub const MAX_CONCEALED: Ticks = Ticks::from_millis(120);
/// Longest concealment while it is not known whether packets are lost or the sender stopped; where losses are frequent it is
/// [`MAX_CONCEALED`]. Longer bridges longer stalls; shorter rings on less after an abrupt stop.
pub const MAX_BLIND: Ticks = Ticks::from_millis(60);

/// Mean magnitude below which a piece of audio counts as silent: −50 dBFS. Comfort noise is below, breath above.
pub const SILENT_LEVEL: u32 = 100;

/// Whether nobody would miss these samples.
pub fn is_silent(samples: &[i16]) -> bool {
    mean_below(samples, SILENT_LEVEL)
}

/// Mean magnitude below which there is nothing to go on with when something is missing: −69 dBFS, the least that mu-law tells from
/// nothing. At [`SILENT_LEVEL`] the end of a word would break off.
const NOTHING_LEVEL: u32 = 12;

/// Whether concealment has nothing to continue here.
pub(crate) fn is_nothing(samples: &[i16]) -> bool {
    mean_below(samples, NOTHING_LEVEL)
}

fn mean_below(samples: &[i16], level: u32) -> bool {
    let sum: u64 = samples.iter().map(|s| u64::from(s.unsigned_abs())).sum();
    sum < u64::from(level) * (samples.len().max(1) as u64)
}

/// Concealment may be cut off at [`MAX_BLIND`] and is at [`MAX_CONCEALED`]. Its level is nothing just there, and falls and rises
/// again within so much: half of it would be heard as a click, twice of it as a second hole.
const SEAM: Ticks = Ticks::from_millis(5);

/// The level, 0 to 1, of the sample with `made` made up before it, so that where concealment is cut off there is no click.
pub(crate) fn seam(made: usize, rate: SampleRate) -> f32 {
    let (width, made) = (SEAM.samples(rate) as f32, made as f32);
    let to_blind = (made - MAX_BLIND.samples(rate) as f32).abs();
    let to_end = MAX_CONCEALED.samples(rate) as f32 - made;
    (to_blind.min(to_end) / width).clamp(0.0, 1.0)
}

const RATE: SampleRate = SampleRate::Hz8000;
/// Shortest and longest pitch period looked for: 500 to 50 Hz, a child's voice to a man's lowest.
const MIN_LAG: usize = 16;
const MAX_LAG: usize = 160;
/// Samples compared to find the pitch: the last 10 ms. More hears a pitch that has moved on since.
const COMPARED: usize = 80;
/// What a start looks back on: the longest period, the quarter before it that it glides into, and the filter's memory.
const HISTORY: usize = MAX_LAG + COMPARED + ORDER;

/// Likeness of successive periods (−1 to 1) up to which speech is all noise, and from which it is all voice.
const UNVOICED: f32 = 0.3;
const VOICED: f32 = 0.8;
/// Level of the noise in what is not voice: a fifth at first, because a listener misses noise less than he minds it; more in a
/// longer loss, which would buzz.
const NOISE: (f32, f32) = (0.2, 0.7);
/// Part of the voice that has turned into noise by then.
const HOARSE: f32 = 0.4;
/// Samples after which noise begins to grow, and is full grown: 20 and 60 ms.
const GROWTH: (usize, usize) = (160, 480);

/// The level: full for 10 ms, down to 0.8 at 20 ms, then slowly, and from [`MAX_CONCEALED`] on nothing. A quicker fade is better for
/// single losses that cover a word's end and worse for bursts (ITU-T G.711 Appendix I is silent after 60 ms and loses 0.1 MOS
/// at 5 % in bursts).
const FADE: [(usize, f32); 3] = [(80, 1.0), (160, 0.8), (960, 0.36)];
/// A voice that was dying away goes on doing so for the first 20 ms, by no more than half a period.
const LEAST_TREND: f32 = 0.5;

/// Samples over which real speech takes over again: 11 ms.
const MERGE: usize = 90;
/// The same if a word began unheard: nothing is made up that could take over from.
const ONSET_MERGE: usize = 8;
/// Power of real speech against what was made up last that tells such a beginning.
const ONSET: f32 = 10.0;
/// Samples of real speech that are weighed for it.
const ONSET_SPAN: usize = 60;
/// Most samples by which what was made up is bent to meet real speech in phase.
const BEND: usize = 16;

/// Continues 8 kHz speech from itself when a packet is missing.
///
/// The speech so far is taken apart into a vocal tract (linear prediction) and what drives it. The last pitch period of the latter
/// is repeated, mixed with noise as far as it did not repeat itself before, and drives the filter, which still rings with the
/// real samples: the splice has no click, and nothing played is held back to be blended. When real speech comes again, what
/// was made up is bent in time until both are in phase, and fades into it.
///
/// No delay. `conceal` makes what is asked for, a lost frame of 20 ms is 160 samples. Allocates nothing.
pub struct PitchRepeater {
    history: [f32; HISTORY],
    predictor: Predictor,
    /// One period of what drives the filter.
    period: [f32; MAX_LAG],
    lag: usize,
    /// 0: noise alone, 1: the repeated period alone.
    voice: f32,
    /// Root mean square of the excitation.
    strength: f32,
    /// Gain a sample while the trend lasts.
    trend: f32,
    level: f32,
    seed: u32,
    /// Samples made since the last real one; 0 when not concealing.
    made: usize,
}

impl Default for PitchRepeater {
    fn default() -> Self {
        Self {
            history: [0.0; HISTORY],
            predictor: Predictor::default(),
            period: [0.0; MAX_LAG],
            lag: MIN_LAG,
            voice: 0.0,
            strength: 0.0,
            trend: 1.0,
            level: 1.0,
            seed: 1,
            made: 0,
        }
    }
}

impl PitchRepeater {
    /// Real samples go by; right after concealment their first 11 ms are blended with its continuation.
    pub fn pass(&mut self, samples: &mut [i16]) {
        if self.made > 0 {
            self.merge(samples);
            self.made = 0;
        }
        self.remember(samples);
    }

    /// Makes up all of `lost`.
    pub fn conceal(&mut self, lost: &mut [i16]) {
        if self.made == 0 {
            self.start();
        }
        for sample in lost.iter_mut() {
            *sample = self.next().round() as i16;
        }
        self.remember(lost);
    }

    /// Forgets the signal so far.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    fn remember(&mut self, samples: &[i16]) {
        let new = &samples[samples.len().saturating_sub(HISTORY)..];
        self.history.copy_within(new.len().., 0);
        for (kept, sample) in self.history[HISTORY - new.len()..].iter_mut().zip(new) {
            *kept = f32::from(*sample);
        }
    }

    fn start(&mut self) {
        let (lag, likeness) = self.pitch();
        self.lag = lag;
        self.voice = ((likeness - UNVOICED) / (VOICED - UNVOICED)).clamp(0.0, 1.0);
        self.predictor = Predictor::fit(&self.history);
        let begin = HISTORY - lag;
        for i in 0..lag {
            self.period[i] = self.predictor.excitation(&self.history, begin + i);
        }
        self.strength = (energy(&self.period[..lag]) / lag as f32).sqrt();
        // The last quarter of the period glides into what came before its first sample, so that the loop has no jump.
        let quarter = lag / 4;
        for i in 0..quarter {
            let weight = (i + 1) as f32 / (quarter + 1) as f32;
            let before = self.predictor.excitation(&self.history, begin - quarter + i);
            let own = &mut self.period[lag - quarter + i];
            *own += (before - *own) * weight;
        }
        let span = lag.clamp(ONSET_SPAN, HISTORY / 2);
        let (earlier, recent) = self.history[HISTORY - 2 * span..].split_at(span);
        let gain = ((energy(recent) + 1.0) / (energy(earlier) + 1.0)).sqrt().clamp(LEAST_TREND, 1.0);
        self.trend = gain.powf(1.0 / span as f32);
        self.level = 1.0;
    }

    fn next(&mut self) -> f32 {
        let grown = (self.made as f32 - GROWTH.0 as f32) / (GROWTH.1 - GROWTH.0) as f32;
        let grown = grown.clamp(0.0, 1.0);
        let voice = self.voice * (1.0 - HOARSE * grown);
        let noise = (NOISE.0 + (NOISE.1 - NOISE.0) * grown) * (1.0 - voice * voice).sqrt() * self.strength;
        let excitation = self.period[self.made % self.lag] * voice + self.random() * noise;
        let sample = self.predictor.next(excitation) * self.level * fade(self.made) * seam(self.made, RATE);
        if self.made < GROWTH.0 {
            self.level *= self.trend;
        }
        self.made += 1;
        sample
    }

    /// White noise of unit power.
    fn random(&mut self) -> f32 {
        self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((self.seed >> 8) as f32 / (1 << 24) as f32 - 0.5) * 12.0_f32.sqrt()
    }

    /// The lag at which the last 10 ms are most like what came before them, and how much.
    fn pitch(&self) -> (usize, f32) {
        let begin = HISTORY - COMPARED;
        let recent = &self.history[begin..];
        let own = energy(recent) + 1.0;
        let mut best = (MIN_LAG, f32::MIN);
        for lag in MIN_LAG..=MAX_LAG {
            let earlier = &self.history[begin - lag..HISTORY - lag];
            let likeness = dot(recent, earlier) / ((energy(earlier) + 1.0) * own).sqrt();
            if likeness > best.1 {
                best = (lag, likeness);
            }
        }
        best
    }

    /// Blends the continuation of what was made up into `real`.
    fn merge(&mut self, real: &mut [i16]) {
        let power = |samples: &[f32]| energy(samples) / samples.len().max(1) as f32;
        let mut heard = [0.0; MERGE];
        for (float, sample) in heard.iter_mut().zip(&*real) {
            *float = f32::from(*sample);
        }
        let heard = &heard[..MERGE.min(real.len())];
        let begun = power(&heard[..ONSET_SPAN.min(heard.len())]);
        let onset = begun > ONSET * power(&self.history[HISTORY - ONSET_SPAN..]);
        let span = if onset { ONSET_MERGE.min(heard.len()) } else { heard.len() };

        // The continuation, and as much to both sides of it as it may be bent.
        let mut made = [0.0; MERGE + 2 * BEND + 1];
        made[..BEND].copy_from_slice(&self.history[HISTORY - BEND..]);
        for sample in &mut made[BEND..] {
            *sample = self.next();
        }
        let bend = best_bend(&made, &heard[..span]);
        for (i, sample) in real[..span].iter_mut().enumerate() {
            let part = (i + 1) as f32 / (span + 1) as f32;
            let weight = 0.5 - 0.5 * (part * std::f32::consts::PI).cos();
            let at = (BEND + i) as f32 + bend * part;
            let (whole, rest) = (at as usize, at.fract());
            let bent = made[whole] + (made[whole + 1] - made[whole]) * rest;
            *sample = (heard[i] * weight + bent * (1.0 - weight)).round() as i16;
        }
    }
}

/// By how many samples what was made up should be ahead (or behind) of its time to be in phase with `heard`.
fn best_bend(made: &[f32], heard: &[f32]) -> f32 {
    let mut best = (0.0, f32::MIN);
    for offset in 0..=2 * BEND {
        let made = &made[offset..offset + heard.len()];
        let likeness = dot(made, heard) / (energy(made) + 1.0).sqrt();
        if likeness > best.1 {
            best = (offset as f32 - BEND as f32, likeness);
        }
    }
    best.0
}

/// The level after so many samples, by [`FADE`].
fn fade(made: usize) -> f32 {
    let mut from = FADE[0];
    for to in FADE {
        if made < to.0 {
            if from.0 == to.0 {
                return to.1;
            }
            return from.1 + (to.1 - from.1) * (made - from.0) as f32 / (to.0 - from.0) as f32;
        }
        from = to;
    }
    from.1
}

fn energy(samples: &[f32]) -> f32 {
    dot(samples, samples)
}

/// The rate that [`PitchRepeater`] works at.
pub const fn repeater_rate() -> SampleRate {
    RATE
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    fn buzz(samples: usize, hz: f64) -> Vec<i16> {
        (0..samples).map(|i| ((TAU * hz * i as f64 / 8000.0).sin() * 8000.0) as i16).collect()
    }

    fn after(signal: &[i16]) -> PitchRepeater {
        let mut repeater = PitchRepeater::default();
        repeater.pass(&mut signal.to_vec());
        repeater
    }

    #[test]
    fn a_steady_tone_goes_on_then_fades() {
        let signal = buzz(1600, 100.0); // a period of 80 samples
        let mut repeater = after(&signal[..800]);
        let mut lost = [0; 160];
        repeater.conceal(&mut lost);
        for (made, real) in lost[..80].iter().zip(&signal[800..]) {
            assert!((made - real).abs() < 400, "{made} {real}");
        }
        for _ in 0..5 {
            repeater.conceal(&mut lost);
        }
        assert!(lost[..40].iter().any(|s| s.abs() > 1000), "a long loss keeps its level");
        assert!(lost[159].abs() < 200, "it ends in nothing: {}", lost[159]);
        repeater.conceal(&mut lost);
        assert_eq!(lost, [0; 160], "nothing is left after 120 ms");
    }

    #[test]
    fn where_concealment_may_be_cut_off_its_level_is_nothing() {
        for limit in [MAX_BLIND, MAX_CONCEALED] {
            let mut repeater = after(&buzz(800, 170.0));
            let mut lost = vec![0; limit.samples(RATE)];
            repeater.conceal(&mut lost);
            assert!(lost[lost.len() - 1].abs() < 200, "{:?}: {}", limit, lost[lost.len() - 1]);
            assert!(lost[lost.len() - 120..lost.len() - 40].iter().any(|s| s.abs() > 1000));
        }
    }

    #[test]
    fn real_speech_takes_over_without_a_jump() {
        let signal = buzz(1600, 100.0);
        let mut repeater = after(&signal[..800]);
        let mut lost = [0; 160];
        repeater.conceal(&mut lost);
        let mut real = signal[960..1120].to_vec();
        repeater.pass(&mut real);
        assert!((real[0] - lost[159]).abs() < 1500);
        assert_eq!(real[MERGE..], signal[960 + MERGE..1120], "after 11 ms it is untouched");
    }

    #[test]
    fn a_voice_that_moved_on_is_met_in_phase() {
        // A quarter period out of phase: faded into each other as they are, their sum would dip to 0.64.
        let mut repeater = after(&buzz(800, 200.0));
        let mut lost = [0; 160];
        repeater.conceal(&mut lost);
        let mut real: Vec<i16> = buzz(1130, 200.0)[970..].to_vec();
        repeater.pass(&mut real);
        let level = |s: &[i16]| energy(&s.iter().map(|s| f32::from(*s)).collect::<Vec<_>>()).sqrt();
        assert!(level(&real[20..60]) > 0.75 * level(&real[100..140]));
    }

    #[test]
    fn a_word_that_begins_after_a_loss_is_not_muffled() {
        let mut repeater = after(&[0; 800]);
        repeater.conceal(&mut [0; 160]);
        let word = buzz(160, 200.0);
        let mut real = word.clone();
        repeater.pass(&mut real);
        assert_eq!(real[ONSET_MERGE..], word[ONSET_MERGE..]);
    }

    #[test]
    fn pieces_of_any_length_are_one_loss() {
        let signal = buzz(800, 130.0);
        let (mut whole, mut pieces) = (after(&signal), after(&signal));
        let (mut one, mut many) = ([0; 160], [0; 160]);
        whole.conceal(&mut one);
        many.chunks_mut(33).for_each(|piece| pieces.conceal(piece));
        assert_eq!(one, many);
        pieces.pass(&mut []);
        pieces.pass(&mut [5; 3]);
    }

    #[test]
    fn the_loudest_signal_stays_within_bounds() {
        let square: Vec<i16> = (0..800).map(|i| if i / 20 % 2 == 0 { i16::MAX } else { i16::MIN }).collect();
        let mut repeater = after(&square);
        let mut lost = [0; 960];
        repeater.conceal(&mut lost);
        let mut real = square.clone();
        repeater.pass(&mut real);
        assert!(lost[..80].iter().any(|s| s.unsigned_abs() > 20_000));
    }

    #[test]
    fn silence_is_told_from_speech() {
        assert!(is_silent(&[0; 160]));
        assert!(is_silent(&[90; 160]));
        assert!(!is_silent(&buzz(160, 100.0)));
        assert!(is_silent(&[]));
    }
}
