//! A signal with the statistics of speech, for tests: voiced syllables of moving pitch, hiss, pauses. Seeded.

use std::f32::consts::TAU;

use crate::units::SampleRate;

/// Endless made-up speech.
pub(crate) struct Speech {
    rate: f32,
    seed: u64,
    sample: u64,
    phase: f32,
}

impl Speech {
    pub(crate) fn new(seed: u64, rate: SampleRate) -> Self {
        Self { rate: rate.hz() as f32, seed: seed | 1, sample: 0, phase: 0.0 }
    }

    pub(crate) fn fill(&mut self, samples: &mut [i16]) {
        for sample in samples {
            let seconds = self.sample as f32 / self.rate;
            // Four syllables a second, and a pause of a second after every three.
            let syllable = (seconds * 4.0).fract();
            let envelope = if seconds % 4.0 > 3.0 { 0.0 } else { (syllable * TAU / 2.0).sin().powi(2) };
            let pitch = 110.0 + 30.0 * (seconds * 0.7 * TAU).sin();
            self.phase = (self.phase + pitch / self.rate).fract();
            let mut voiced = 0.0;
            for harmonic in 1..=24_u8 {
                let h = f32::from(harmonic);
                let hz = pitch * h;
                let formants = [500.0, 1500.0, 2500.0];
                let gain: f32 = formants.iter().map(|f| (-((hz - f) / 200.0).powi(2)).exp()).sum();
                voiced += (gain + 0.02) * (self.phase * h * TAU).sin() / h.sqrt();
            }
            self.seed = self.seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let hiss = ((self.seed >> 40) as f32 / (1 << 24) as f32 - 0.5) * 0.02;
            *sample = ((voiced * 0.5 + hiss) * envelope * 9000.0) as i16;
            self.sample += 1;
        }
    }
}
