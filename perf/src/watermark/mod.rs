//! Sound that tells where it comes from: every 20 ms of it are one of sixteen short noises, and any four in a row occur once.
//!
//! Each noise is a sum of the harmonics of 50 Hz between 350 and 3000 Hz in random phases, so it passes a telephone line and a speech
//! codec, and a matched filter finds it to the sample (125 µs). Who hears four of them knows the place in the recording, hence when it was
//! said; whoever says it begins elsewhere, hence who said it.

mod listener;

use std::collections::HashMap;
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
/// Samples at 8 kHz over which a frame rises and falls, so that its edges do not click: 1 ms.
const EDGE: usize = 8;

/// A recording that marks its own time.
pub struct Score {
    symbols: Box<[u8]>,
    templates: Box<[[f32; FRAME]; SYMBOLS]>,
    words: HashMap<u32, usize>,
    wide: Arc<[i16]>,
    narrow: Box<[[u8; FRAME]; SYMBOLS]>,
}

impl Score {
    /// A recording of `frames` frames (at most a third of 16⁴, so that words stay unique) from a seed. Recordings of different seeds
    /// share no noise.
    pub fn new(frames: usize, seed: u64) -> Self {
        assert!(frames <= SYMBOLS.pow(WORD as u32) / 3, "longer recordings would repeat themselves");
        let mut random = SmallRng::seed_from_u64(seed);
        let phases: Vec<Vec<f64>> =
            (0..SYMBOLS).map(|_| HARMONICS.map(|_| TAU * random.random::<f64>()).collect()).collect();
        let (symbols, words) = sequence(frames, &mut random);
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
        let wide = symbols.iter().flat_map(|symbol| at_16k[usize::from(*symbol)].iter().copied()).collect();
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
        self.narrow[usize::from(self.symbols[frame % self.frames()])]
    }

    fn symbol(&self, frame: usize) -> usize {
        usize::from(self.symbols[frame % self.frames()])
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

/// A sequence in which no word occurs twice, also not across its end, and where each word is.
fn sequence(frames: usize, random: &mut SmallRng) -> (Vec<u8>, HashMap<u32, usize>) {
    loop {
        let mut symbols: Vec<u8> = (0..WORD - 1).map(|_| random.random_range(0..SYMBOLS as u8)).collect();
        let mut words = HashMap::with_capacity(frames);
        let mut free = |symbols: &[u8], at: usize| {
            let word = key((0..WORD).map(|i| usize::from(symbols[(at + i) % symbols.len().max(1)])));
            let new = !words.contains_key(&word);
            if new {
                words.insert(word, at);
            }
            new
        };
        while symbols.len() < frames {
            let first = random.random_range(0..SYMBOLS as u8);
            let found = (0..SYMBOLS as u8).any(|step| {
                symbols.push((first + step) % SYMBOLS as u8);
                let new = free(&symbols, symbols.len() - WORD);
                if !new {
                    symbols.pop();
                }
                new
            });
            if !found {
                break;
            }
        }
        // The words that run over the end.
        if symbols.len() == frames && (frames - WORD + 1..frames).all(|at| free(&symbols, at)) {
            return (symbols, words);
        }
    }
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
        for at in [0, 1, 777, 1_996, 1_999] {
            let word = [0, 1, 2, 3].map(|i| score.symbol(at + i));
            assert_eq!(score.find(word), Some(at));
        }
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
