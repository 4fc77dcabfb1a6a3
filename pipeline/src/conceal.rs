//! What to play when nothing is there: how much of it, and for G.711 (whose decoder cannot) how it is made.

use crate::units::{SampleRate, Ticks};

/// Longest concealment of a proven loss. Beyond it there is nothing left of the sound to continue; silence follows.
pub const MAX_CONCEALED: Ticks = Ticks::from_millis(120);
/// Longest concealment while it is not known whether packets are lost or the sender stopped.
/// Longer bridges longer stalls; shorter rings on less after an abrupt stop.
pub const MAX_BLIND: Ticks = Ticks::from_millis(60);

/// Mean magnitude below which a piece of audio counts as silent: −50 dBFS. Comfort noise is below, breath above.
pub const SILENT_LEVEL: u32 = 100;

/// Whether nobody would miss these samples.
pub fn is_silent(samples: &[i16]) -> bool {
    let sum: u64 = samples.iter().map(|s| u64::from(s.unsigned_abs())).sum();
    sum < u64::from(SILENT_LEVEL) * (samples.len().max(1) as u64)
}

const RATE: SampleRate = SampleRate::Hz8000;
/// Shortest and longest pitch period looked for: 200 to 66 Hz (ITU-T G.711 Appendix I).
const MIN_LAG: usize = 40;
const MAX_LAG: usize = 120;
/// Samples compared to find the pitch: 20 ms.
const COMPARED: usize = 160;
const HISTORY: usize = MAX_LAG + COMPARED;
/// Samples over which real speech takes over again: 5 ms.
const MERGE: usize = 40;
/// Full level for 10 ms, then linearly to nothing at 60 ms (ITU-T G.711 Appendix I).
const FADE_FROM: usize = 80;
const FADE_TO: usize = 480;

/// Continues 8 kHz speech by repeating its last pitch period, in the manner of ITU-T G.711 Appendix I but without
/// that one's 3.75 ms of delay: what has been played is not held back to be blended.
pub struct PitchRepeater {
    history: [i16; HISTORY],
    period: [i16; MAX_LAG],
    lag: usize,
    /// Samples made since the last real one; 0 when not concealing.
    made: usize,
}

impl Default for PitchRepeater {
    fn default() -> Self {
        Self { history: [0; HISTORY], period: [0; MAX_LAG], lag: MIN_LAG, made: 0 }
    }
}

impl PitchRepeater {
    /// Real samples go by; right after concealment their first 5 ms are blended with its continuation.
    pub fn pass(&mut self, samples: &mut [i16]) {
        if self.made > 0 {
            let n = MERGE.min(samples.len());
            for (i, sample) in samples[..n].iter_mut().enumerate() {
                let (old, weight) = (i32::from(self.next()), i as i32 + 1);
                let total = n as i32 + 1;
                *sample = ((i32::from(*sample) * weight + old * (total - weight)) / total) as i16;
            }
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
            *sample = self.next();
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
        self.history[HISTORY - new.len()..].copy_from_slice(new);
    }

    fn start(&mut self) {
        self.lag = self.pitch();
        let start = HISTORY - self.lag;
        self.period[..self.lag].copy_from_slice(&self.history[start..]);
        // The last quarter of the period glides into what came before its first sample, so that the loop has no click.
        let quarter = self.lag / 4;
        for i in 0..quarter {
            let (weight, total) = (i as i32 + 1, quarter as i32 + 1);
            let before = i32::from(self.history[start - quarter + i]);
            let own = i32::from(self.period[self.lag - quarter + i]);
            self.period[self.lag - quarter + i] = ((before * weight + own * (total - weight)) / total) as i16;
        }
    }

    fn next(&mut self) -> i16 {
        let sample = i32::from(self.period[self.made % self.lag]);
        let left = FADE_TO.saturating_sub(self.made).min(FADE_TO - FADE_FROM);
        self.made += 1;
        (sample * left as i32 / (FADE_TO - FADE_FROM) as i32) as i16
    }

    /// The lag at which the last 20 ms are most like what came before them.
    fn pitch(&self) -> usize {
        let recent = &self.history[MAX_LAG..];
        let mut best = (f32::MIN, MIN_LAG);
        for lag in MIN_LAG..=MAX_LAG {
            let earlier = &self.history[MAX_LAG - lag..HISTORY - lag];
            // Integers, because their sums may be reordered into vectors; 8 bits less, so that 160 products fit.
            let (mut cross, mut energy) = (0_i32, 1_i32);
            for (a, b) in recent.iter().zip(earlier) {
                let (a, b) = (i32::from(*a), i32::from(*b));
                cross += (a * b) >> 8;
                energy += (b * b) >> 8;
            }
            let likeness = cross as f32 / (energy as f32).sqrt();
            if likeness > best.0 {
                best = (likeness, lag);
            }
        }
        best.1
    }
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

    #[test]
    fn a_steady_tone_goes_on_then_fades() {
        let signal = buzz(1600, 100.0); // a period of 80 samples
        let mut repeater = PitchRepeater::default();
        repeater.pass(&mut signal[..800].to_vec());
        let mut lost = [0; 160];
        repeater.conceal(&mut lost);
        for (made, real) in lost[..FADE_FROM].iter().zip(&signal[800..]) {
            assert!((made - real).abs() < 400, "{made} {real}");
        }
        repeater.conceal(&mut lost);
        repeater.conceal(&mut lost);
        repeater.conceal(&mut lost);
        assert_eq!(lost, [0; 160], "nothing is left after 60 ms");
    }

    #[test]
    fn real_speech_takes_over_without_a_jump() {
        let signal = buzz(1600, 100.0);
        let mut repeater = PitchRepeater::default();
        repeater.pass(&mut signal[..800].to_vec());
        let mut lost = [0; 160];
        repeater.conceal(&mut lost);
        let mut real = signal[960..1120].to_vec();
        repeater.pass(&mut real);
        assert!((real[0] - lost[159]).abs() < 1500);
        assert_eq!(real[MERGE..], signal[960 + MERGE..1120], "after 5 ms it is untouched");
    }

    #[test]
    fn silence_is_told_from_speech() {
        assert!(is_silent(&[0; 160]));
        assert!(is_silent(&[90; 160]));
        assert!(!is_silent(&buzz(160, 100.0)));
        assert!(is_silent(&[]));
    }
}
