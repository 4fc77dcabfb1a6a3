//! Takes time out of speech: one period of the voice is faded into the next, so that less is played and no part of it is missing.
//!
//! Waveform similarity overlap-add (W. Verhelst and M. Roelands, ICASSP 1993), as NetEq's `Accelerate` uses it: what is
//! played next and what comes a lag later are alike, so one may glide into the other. What follows a queue that plays
//! first in, first out has no other way to become sooner than that less is played.

use crate::units::{SampleRate, Ticks};

/// Of what is played, one part in so many may be taken out: a tenth. NetEq hurries by 10 to 15 %. More is heard as haste;
/// less keeps the delay of a stall for longer.
const SHARE: i64 = 10;
/// What may be taken out at once after a time of nothing: a tenth of 600 ms. More hurries harder after a stall;
/// with less a stall of 200 ms is not made up for in a second and a half.
pub const BURST: Ticks = Ticks::from_millis(60);
/// Played between one piece and the next, at least. NetEq leaves 50 ms. Less is heard as stutter; more takes out too little of
/// a high voice, whose periods are short.
const APART: Ticks = Ticks::from_millis(40);
/// Likeness (normalised correlation) from which one period may stand for the next, as in NetEq. Lower is heard as roughness;
/// higher finds no place in a lively voice.
const ALIKE: f32 = 0.9;
/// Of lags that are alike, the longest within so much of the best: fewer splices for the same time.
const AS_GOOD: f32 = 0.02;
/// Mean magnitude below which any lag will do: −44 dBFS, the hiss between words.
const QUIET: u64 = 200;

/// The budget of what may be taken out, and the doing.
pub(crate) struct Stretch {
    rate: SampleRate,
    budget: Ticks,
    /// Of what was played, too little yet to be worth a tick.
    rest: i64,
    /// Played since something was taken out.
    since: Ticks,
}

impl Stretch {
    pub(crate) fn new(rate: SampleRate) -> Self {
        Self { rate, budget: BURST, rest: 0, since: APART }
    }

    /// So much was decoded.
    pub(crate) fn handle_played(&mut self, played: Ticks) {
        self.since = (self.since + played).min(APART);
        let earned = played.0 + self.rest;
        self.rest = earned % SHARE;
        self.budget = (self.budget + Ticks(earned / SHARE)).min(BURST);
    }

    /// Shortest and longest piece that is taken out, in samples: 2.5 and 10 ms, periods of 400 and 100 Hz.
    fn lags(&self) -> (usize, usize) {
        (self.rate.samples(5) / 2, self.rate.samples(10))
    }

    /// Takes up to `most` samples out near the beginning of `samples`, whose first still follows what was before. Gives how many: the
    /// rest has moved up and as many at the end are void. None if the sound has no period to spare or the budget is spent.
    pub(crate) fn shorten(&mut self, samples: &mut [i16], most: usize) -> usize {
        let (least, longest) = self.lags();
        let most = most.min(longest).min(samples.len() / 2).min(self.budget.samples(self.rate));
        if most < least || self.since < APART {
            return 0;
        }
        let level: u64 = samples.iter().map(|s| u64::from(s.unsigned_abs())).sum();
        let quiet = level < QUIET * samples.len() as u64;
        let lag = if quiet { Some(most) } else { self.period(samples, least, most) };
        let Some(lag) = lag else { return 0 };
        let total = lag as i32 + 1;
        for i in 0..lag {
            let (now, later, weight) = (i32::from(samples[i]), i32::from(samples[i + lag]), i as i32 + 1);
            samples[i] = ((now * (total - weight) + later * weight) / total) as i16;
        }
        samples.copy_within(2 * lag.., lag);
        self.budget = self.budget - Ticks::of_samples(lag, self.rate);
        self.since = Ticks(0);
        lag
    }

    /// The longest lag at which the samples are as like themselves as at any, if that is alike enough.
    fn period(&self, samples: &[i16], least: usize, most: usize) -> Option<usize> {
        // Compared at 8 kHz whatever the rate: pitch is below 400 Hz.
        let step = (self.rate.hz() / SampleRate::Hz8000.hz()) as usize;
        let window = (samples.len() - most).min(self.lags().1);
        let (compared, row) = (window.div_ceil(step), MOST_COMPARED / step);
        // A row for each phase of a lag, so that what is compared lies side by side.
        let mut rows = [0.0_f32; MOST_COMPARED];
        for (i, sample) in samples[..window + most].iter().enumerate() {
            rows[i % step * row + i / step] = f32::from(*sample);
        }
        let now = &rows[..compared];
        let energy = dot(now, now).max(1.0);
        let mut likeness = [0.0_f32; LONGEST_LAG + 1];
        let mut best = 0.0_f32;
        for lag in least..=most {
            let later = &rows[lag % step * row + lag / step..][..compared];
            likeness[lag] = dot(now, later) / (energy * dot(later, later).max(1.0)).sqrt();
            best = best.max(likeness[lag]);
        }
        let enough = ALIKE.max(best - AS_GOOD);
        (least..=most).rev().find(|lag| likeness[*lag] >= enough)
    }
}

/// Longest lag at the highest rate, samples.
const LONGEST_LAG: usize = 240;
/// A window and the longest lag behind it, at the highest rate.
const MOST_COMPARED: usize = 2 * LONGEST_LAG;

/// The sum of products, in eight sums that are made side by side: a period is looked for in every packet as long as there is too much
/// sound, and this is nearly all of it.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
#[path = "stretch_tests.rs"]
mod tests;
