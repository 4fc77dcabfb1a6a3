//! Sound that tells where it comes from: every 20 ms of it are one of sixteen short noises, and any four in a row occur once. Like speech it
//! pauses now and then, because a bridge may use pauses.
//!
//! Each noise is a sum of the harmonics of 50 Hz between 350 and 3000 Hz in random phases, so it passes a telephone line and a speech
//! codec, and a matched filter finds it to the sample (125 µs). Who hears four of them knows the place in the recording, hence when it was
//! said; whoever says it begins elsewhere, hence who said it.

mod listener;

use std::collections::{HashMap, HashSet};
use std::f64::consts::TAU;
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use sim::phone::g711;

pub use listener::{Heard, Listener, Sighting};

/// Samples of a frame at 8 kHz: 20 ms.
pub const FRAME: usize = 160;
/// Different noises.
const SYMBOLS: usize = 16;
/// Noises in a row that occur once.
const WORD: usize = 4;
/// Harmonics of 50 Hz: 350 to 3000 Hz.
const HARMONICS: std::ops::RangeInclusive<u32> = 7..=60;
/// Loudness, RMS: about −20 dBFS, a firm voice. Louder clips, softer drowns in mu-law's steps.
const LEVEL: f64 = 3_000.0;
/// Frames of speech, and frames of the pause behind them: phrases of three seconds.
const PHRASE: usize = 150;
const PAUSE: usize = 20;
/// Samples at 8 kHz over which a frame rises and falls, so that its edges do not click: 1 ms.
const EDGE: usize = 8;

/// A recording that marks its own time.
pub struct Score {
    /// The noise of each frame; none in a pause.
    symbols: Box<[Option<u8>]>,
    templates: Box<[[f32; FRAME]; SYMBOLS]>,
    words: HashMap<u32, usize>,
    wide: Arc<[i16]>,
    narrow: Box<[[u8; FRAME]; SYMBOLS]>,
}

impl Score {
    /// A recording of about `frames` frames (at most a third of 16⁴, so that words stay unique) from a seed. Recordings of different seeds
    /// share no noise.
    pub fn new(frames: usize, seed: u64) -> Self {
        assert!(frames <= SYMBOLS.pow(WORD as u32) / 3, "longer recordings would repeat themselves");
        let mut random = SmallRng::seed_from_u64(seed);
        let phases: Vec<Vec<f64>> =
            (0..SYMBOLS).map(|_| HARMONICS.map(|_| TAU * random.random::<f64>()).collect()).collect();
        let phrases = frames.div_ceil(PHRASE + PAUSE).max(1);
        let noises = sequence(phrases * PHRASE, &mut random);
        let phrase =
            |noises: &[u8]| noises.iter().copied().map(Some).chain([None; PAUSE]).collect::<Vec<_>>();
        let symbols: Vec<Option<u8>> = noises.chunks(PHRASE).flat_map(phrase).collect();
        let words = words(&symbols);
        let at_8k: Vec<Vec<f64>> = phases.iter().map(|phases| noise(phases, FRAME)).collect();
        let at_16k: Vec<Vec<i16>> =
            phases.iter().map(|p| noise(p, 2 * FRAME).into_iter().map(|s| s as i16).collect()).collect();
        let mut templates = Box::new([[0.0; FRAME]; SYMBOLS]);
        let mut narrow = Box::new([[0; FRAME]; SYMBOLS]);
        for (symbol, samples) in at_8k.iter().enumerate() {
            let norm = samples.iter().map(|s| s * s).sum::<f64>().sqrt();
            for (i, sample) in samples.iter().enumerate() {
                templates[symbol][i] = (sample / norm) as f32;
                narrow[symbol][i] = g711::encode(*sample as i16);
            }
        }
        let silence = vec![0; 2 * FRAME];
        let sound = |symbol: &Option<u8>| symbol.map_or(&silence, |symbol| &at_16k[usize::from(symbol)]);
        let wide = symbols.iter().flat_map(|symbol| sound(symbol).iter().copied()).collect();
        Self { symbols: symbols.into(), templates, words, wide, narrow }
    }

    /// Its length in frames; after the last the first follows.
    pub fn frames(&self) -> usize {
        self.symbols.len()
    }

    /// All of it, 16 kHz.
    pub fn wide(&self) -> Arc<[i16]> {
        Arc::clone(&self.wide)
    }

    /// A frame as mu-law, 8 kHz.
    pub fn mulaw(&self, frame: usize) -> [u8; FRAME] {
        self.symbol(frame).map_or([g711::SILENCE; FRAME], |symbol| self.narrow[symbol])
    }

    /// Whether a frame is of a pause: nobody can tell that he hears it.
    pub fn is_pause(&self, frame: usize) -> bool {
        self.symbol(frame).is_none()
    }

    /// Frames of a pause behind `frame`, `count` frames long.
    fn pauses(&self, frame: usize, count: usize) -> usize {
        (frame..frame + count).filter(|frame| self.is_pause(*frame)).count()
    }

    fn symbol(&self, frame: usize) -> Option<usize> {
        self.symbols[frame % self.frames()].map(usize::from)
    }

    /// Where these noises follow each other.
    fn find(&self, word: [usize; WORD]) -> Option<usize> {
        self.words.get(&key(word.into_iter())).copied()
    }

    /// How like a noise the samples are: 1 for the same, 0 for anything else.
    fn likeness(&self, symbol: usize, samples: &[f32]) -> f32 {
        let (mut product, mut energy) = ([0.0_f32; 8], [1e-3_f32; 8]);
        for (x, t) in samples[..FRAME].chunks_exact(8).zip(self.templates[symbol].chunks_exact(8)) {
            for lane in 0..8 {
                product[lane] += x[lane] * t[lane];
                energy[lane] += x[lane] * x[lane];
            }
        }
        product.iter().sum::<f32>() / energy.iter().sum::<f32>().sqrt()
    }
}

/// A sequence in which no word occurs twice.
fn sequence(length: usize, random: &mut SmallRng) -> Vec<u8> {
    loop {
        let mut symbols: Vec<u8> = (0..WORD - 1).map(|_| random.random_range(0..SYMBOLS as u8)).collect();
        let mut seen = HashSet::with_capacity(length);
        let mut is_new = |symbols: &[u8], symbol: u8| {
            let before = symbols[symbols.len() - (WORD - 1)..].iter().copied();
            seen.insert(key(before.chain([symbol]).map(usize::from)))
        };
        while symbols.len() < length {
            let first = random.random_range(0..SYMBOLS as u8);
            let next =
                (0..SYMBOLS as u8).map(|step| (first + step) % SYMBOLS as u8).find(|s| is_new(&symbols, *s));
            match next {
                Some(symbol) => symbols.push(symbol),
                None => break,
            }
        }
        // A sequence may run into a corner; another one does not.
        if symbols.len() == length {
            return symbols;
        }
    }
}

/// Where each word is.
fn words(symbols: &[Option<u8>]) -> HashMap<u32, usize> {
    let word = |at: usize| {
        let word: Option<Vec<u8>> = symbols[at..at + WORD].iter().copied().collect();
        Some((key(word?.into_iter().map(usize::from)), at))
    };
    (0..=symbols.len() - WORD).filter_map(word).collect()
}

fn key(word: impl Iterator<Item = usize>) -> u32 {
    word.fold(0, |key, symbol| key * SYMBOLS as u32 + symbol as u32)
}

/// 20 ms of a noise in `samples` samples.
fn noise(phases: &[f64], samples: usize) -> Vec<f64> {
    let gain = LEVEL * (2.0 / phases.len() as f64).sqrt();
    let edge = EDGE * samples / FRAME;
    (0..samples)
        .map(|i| {
            let t = i as f64 / samples as f64;
            let sum: f64 =
                HARMONICS.zip(phases).map(|(h, phase)| (TAU * f64::from(h) * t + phase).sin()).sum();
            let to_edge = i.min(samples - 1 - i);
            let rise = if to_edge >= edge { 1.0 } else { (to_edge as f64 + 0.5) / edge as f64 };
            (sum * gain * rise).clamp(-32_000.0, 32_000.0)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_where_it_is() {
        let score = Score::new(2_000, 1);
        let period = PHRASE + PAUSE;
        for at in [0, 1, period, 5 * period + 7, 6 * period - PAUSE - WORD] {
            let word = [0, 1, 2, 3].map(|i| score.symbol(at + i).expect("it is spoken"));
            assert_eq!(score.find(word), Some(at));
        }
        assert!(score.is_pause(PHRASE) && !score.is_pause(period) && score.is_pause(score.frames() - 1));
        assert_eq!(score.pauses(PHRASE - 1, PAUSE + 2), PAUSE);
    }

    #[test]
    fn noises_are_like_themselves_and_unlike_all_others() {
        let (score, other) = (Score::new(100, 1), Score::new(100, 2));
        for a in 0..SYMBOLS {
            for b in 0..SYMBOLS {
                let likeness = score.likeness(a, &score.templates[b]);
                assert!(if a == b { likeness > 0.99 } else { likeness.abs() < 0.5 }, "{a} {b}: {likeness}");
                assert!(score.likeness(a, &other.templates[b]).abs() < 0.5);
            }
        }
    }
}
