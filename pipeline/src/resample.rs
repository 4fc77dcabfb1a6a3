//! Rate conversion by rubato, for calls whose media rate is not G.711's: L16 at 16 or 24 kHz with a G.711 model codec.
//!
//! Opus calls never come here: libopus codes at the media rate. Of rubato's types the FFT one is the one that keeps the telephone
//! band whole and aliases nothing at a delay that does not depend on the rates; its sinc type needs 256 taps to be as flat, which cost
//! 5 to 16 ms and ten times the work, its polynomial type does not filter at all (`examples/resamplers.rs` measures them,
//! `docs/sound.md` has the figures). Buffers are fixed and `process` allocates nothing.

use audioadapter_buffers::direct::SequentialSlice;
use rubato::{Fft, FixedSync, Resampler as _, WindowFunction};

use crate::frame::FRAME_MS;
use crate::units::SampleRate;

/// Pieces that a frame is converted in: the filter is as long as one. One piece would keep 3.6 kHz whole (a loss of 1 dB with two) at
/// twice the delay; four would lose 0.3 dB at 3.4 kHz, the telephone band's end, at half of it.
const PIECES: usize = 2;
/// How much a signal is late after conversion: half a piece. It is the same at all frequencies (linear phase).
pub const DELAY_MS: u32 = FRAME_MS / PIECES as u32 / 2;
/// Falls off fast enough for so short a filter; what it lets through of foreign tones is below −130 dB all the same.
const WINDOW: WindowFunction = WindowFunction::Hann2;

/// The rates cannot be converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsupported;

/// Converts whole 20 ms blocks of mono samples from one rate to another, [`DELAY_MS`] late.
///
/// From 300 to 3400 Hz within 0.01 dB; what the lower rate cannot carry is below −130 dB; some 2 µs a frame.
pub struct Resampler {
    inner: Fft<f32>,
    input: Box<[f32]>,
    output: Box<[f32]>,
}

impl Resampler {
    /// A converter between two rates.
    pub fn new(from: SampleRate, to: SampleRate) -> Result<Self, Unsupported> {
        let (block_in, block_out) = (from.samples(FRAME_MS), to.samples(FRAME_MS));
        let (hz_in, hz_out) = (from.hz() as usize, to.hz() as usize);
        let inner = Fft::<f32>::new_custom(hz_in, hz_out, block_in / PIECES, 1, 1, WINDOW, FixedSync::Both)
            .map_err(|_| Unsupported)?;
        if inner.input_frames_next() * PIECES != block_in || inner.output_frames_next() * PIECES != block_out
        {
            return Err(Unsupported);
        }
        Ok(Self {
            inner,
            input: vec![0.0; block_in].into_boxed_slice(),
            output: vec![0.0; block_out].into_boxed_slice(),
        })
    }

    /// Converts 20 ms. Both slices must be exactly 20 ms at their rate, else `to` is left silent.
    pub fn process(&mut self, from: &[i16], to: &mut [i16]) {
        to.fill(0);
        if from.len() != self.input.len() || to.len() != self.output.len() {
            debug_assert!(false, "{} samples in, {} out", from.len(), to.len());
            return;
        }
        for (float, sample) in self.input.iter_mut().zip(from) {
            *float = f32::from(*sample);
        }
        let (piece_in, piece_out) = (self.input.len() / PIECES, self.output.len() / PIECES);
        for (input, output) in self.input.chunks_exact(piece_in).zip(self.output.chunks_exact_mut(piece_out))
        {
            let Ok(input) = SequentialSlice::new(input, 1, piece_in) else { return };
            let Ok(mut output) = SequentialSlice::new_mut(output, 1, piece_out) else { return };
            if self.inner.process_into_buffer(&input, &mut output, None).is_err() {
                return;
            }
        }
        for (sample, float) in to.iter_mut().zip(&self.output) {
            // The cast saturates, which is what overshoot at full scale needs.
            *sample = float.round() as i16;
        }
    }

    /// Samples that `process` takes.
    pub fn block_in(&self) -> usize {
        self.input.len()
    }

    /// Samples that `process` gives.
    pub fn block_out(&self) -> usize {
        self.output.len()
    }

    /// Forgets the signal so far.
    pub fn reset(&mut self) {
        self.inner.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    fn tone(hz: f64, rate: SampleRate, samples: usize) -> Vec<i16> {
        (0..samples).map(|i| ((TAU * hz * i as f64 / f64::from(rate.hz())).sin() * 8000.0) as i16).collect()
    }

    fn convert(signal: &[i16], from: SampleRate, to: SampleRate) -> Vec<i16> {
        let mut resampler = Resampler::new(from, to).unwrap();
        let mut out = vec![0; resampler.block_out()];
        let mut all = Vec::new();
        for block in signal.chunks_exact(resampler.block_in()) {
            resampler.process(block, &mut out);
            all.extend_from_slice(&out);
        }
        all
    }

    fn level(signal: &[i16]) -> f64 {
        (signal.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / signal.len() as f64).sqrt()
    }

    const PAIRS: [(SampleRate, SampleRate); 4] = [
        (SampleRate::Hz16000, SampleRate::Hz8000),
        (SampleRate::Hz24000, SampleRate::Hz8000),
        (SampleRate::Hz8000, SampleRate::Hz16000),
        (SampleRate::Hz8000, SampleRate::Hz24000),
    ];

    #[test]
    fn a_tone_in_the_band_keeps_level_and_comes_as_late_as_stated() {
        for (from, to) in PAIRS {
            let out = convert(&tone(1000.0, from, from.samples(400)), from, to);
            let (tail, delay) = (out.len() / 2, to.samples(DELAY_MS));
            let reference = tone(1000.0, to, out.len());
            let error: Vec<i16> =
                out[tail..].iter().zip(&reference[tail - delay..]).map(|(a, b)| a - b).collect();
            assert!(level(&error) < level(&out[tail..]) / 1000.0, "{from:?} {to:?}: {}", level(&error));
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_carry_is_gone() {
        for from in [SampleRate::Hz16000, SampleRate::Hz24000] {
            let out = convert(&tone(6000.0, from, from.samples(400)), from, SampleRate::Hz8000);
            assert!(level(&out[out.len() / 2..]) < 8.0);
        }
    }
}
