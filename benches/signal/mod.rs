//! Something like speech for the benches: a voice of moving pitch in syllables, with pauses.

use pipeline::SampleRate;

/// 20 ms at `rate`, the `frame`th of an endless utterance.
pub fn speech(rate: SampleRate, frame: u64) -> Vec<i16> {
    let n = rate.samples(20);
    (0..n as u64)
        .map(|i| {
            let t = (frame * n as u64 + i) as f32 / rate.hz() as f32;
            let envelope = if t % 4.0 > 3.0 { 0.001 } else { (t * 12.0).sin().powi(2) };
            let pitch = t * 754.0 + (t * 4.4).sin() * 40.0;
            let voice: f32 = (1..=20_u8)
                .map(|h| {
                    let h = f32::from(h);
                    let hz = 120.0 * h;
                    let formants: f32 =
                        [500.0, 1500.0, 2500.0].iter().map(|f| (-((hz - f) / 250.0_f32).powi(2)).exp()).sum();
                    (formants + 0.02) * (pitch * h).sin() / h.sqrt()
                })
                .sum();
            let hiss =
                ((i.wrapping_mul(2_654_435_761) ^ frame.wrapping_mul(40_503)) % 2_001) as f32 / 1_000.0 - 1.0;
            ((voice * 4_500.0 + hiss * 150.0) * envelope) as i16
        })
        .collect()
}
