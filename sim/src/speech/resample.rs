//! Rate conversion by a windowed-sinc filter: a polyphase table for the two rates, applied to the whole recording at once.
//!
//! Not a live path: whole recordings in, whole recordings out, no delay between the two (the filter is centred on each output sample).

use std::f64::consts::PI;

/// Zero crossings of the sinc on each side of its centre. 24 puts the transition of a conversion to 8 kHz between 3.4 and 4 kHz; half of it would blur sibilants,
/// twice of it costs twice the work.
const CROSSINGS: usize = 24;

/// Where the pass band ends, as a part of the lower Nyquist frequency: 0.92 of 4 kHz is 3.7 kHz, beyond the telephone's 3.4 kHz.
const PASS: f64 = 0.92;

/// Brings `samples` from `from_hz` to `to_hz`. The result has `ceil(len * to / from)` samples; equal rates give a copy.
///
/// # Panics
/// If a rate is zero.
pub fn resample(samples: &[i16], from_hz: u32, to_hz: u32) -> Vec<i16> {
    assert!(from_hz > 0 && to_hz > 0, "a rate of zero has no samples");
    if from_hz == to_hz {
        return samples.to_vec();
    }
    let common = gcd(from_hz, to_hz);
    // One output sample advances the input by `step / phases` samples, so there are `phases` different filters.
    let (phases, step) = ((to_hz / common) as usize, (from_hz / common) as usize);
    let filters: Vec<Vec<f64>> =
        (0..phases).map(|p| filter(p, phases, f64::from(from_hz), f64::from(to_hz))).collect();
    let reach = filters[0].len() / 2 - 1;
    let out_len = (samples.len() * phases).div_ceil(step);
    (0..out_len)
        .map(|n| {
            let (base, phase) = (n * step / phases, n * step % phases);
            let sum: f64 = filters[phase]
                .iter()
                .enumerate()
                .filter_map(|(k, tap)| Some(tap * f64::from(*samples.get((base + k).checked_sub(reach)?)?)))
                .sum();
            sum.round().clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16
        })
        .collect()
}

/// The taps for an output sample that lies `phase / phases` of an input sample after its base.
fn filter(phase: usize, phases: usize, from: f64, to: f64) -> Vec<f64> {
    let cutoff = PASS * (to / from).min(1.0);
    let reach = (CROSSINGS as f64 / cutoff).ceil();
    let fraction = phase as f64 / phases as f64;
    let taps: Vec<f64> = (0..2 * (reach as usize + 1))
        .map(|k| {
            let x = k as f64 - reach - fraction;
            let sinc = if x == 0.0 { 1.0 } else { (PI * cutoff * x).sin() / (PI * cutoff * x) };
            // Blackman: side lobes below -70 dB, so that nothing above 4 kHz folds into the band audibly.
            let w = (PI * (x / (reach + 1.0)).clamp(-1.0, 1.0)).cos();
            cutoff * sinc * (0.42 + 0.5 * w + 0.08 * (2.0 * w * w - 1.0))
        })
        .collect();
    // Unity gain at 0 Hz whatever the phase, or a ripple at the phase rate would be heard.
    let sum: f64 = taps.iter().sum();
    taps.into_iter().map(|t| t / sum).collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f64, rate: u32, len: usize) -> Vec<i16> {
        (0..len).map(|n| (10_000.0 * (2.0 * PI * hz * n as f64 / f64::from(rate)).sin()) as i16).collect()
    }

    /// The level of the middle of a signal, away from the filter's edges, as a part of a 10 000 peak sine.
    fn gain(samples: &[i16]) -> f64 {
        let mid = &samples[samples.len() / 4..samples.len() * 3 / 4];
        (mid.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / mid.len() as f64).sqrt()
            / (10_000.0 / 2f64.sqrt())
    }

    #[test]
    fn the_telephone_band_passes_and_what_would_fold_does_not() {
        for hz in [300.0, 1_000.0, 3_000.0, 3_400.0] {
            let g = gain(&resample(&tone(hz, 16_000, 16_000), 16_000, 8_000));
            assert!((g - 1.0).abs() < 0.05, "{hz} Hz: {g}");
        }
        for hz in [4_300.0, 5_000.0, 7_000.0] {
            let g = gain(&resample(&tone(hz, 16_000, 16_000), 16_000, 8_000));
            assert!(g < 0.01, "{hz} Hz leaks {g}");
        }
    }

    #[test]
    fn nothing_is_shifted_in_time() {
        let mut click = vec![0i16; 4_410];
        click[2_205] = 20_000;
        let out = resample(&click, 44_100, 8_000);
        let peak = out.iter().enumerate().max_by_key(|(_, s)| s.abs()).map(|(i, _)| i);
        assert_eq!(peak, Some(400), "50 ms is sample 400 at 8 kHz");
        assert_eq!(out.len(), 800);
    }

    #[test]
    fn upward_and_equal_rates_work() {
        let up = resample(&tone(1_000.0, 8_000, 8_000), 8_000, 24_000);
        assert_eq!(up.len(), 24_000);
        assert!((gain(&up) - 1.0).abs() < 0.02);
        assert_eq!(resample(&[1, 2, 3], 8_000, 8_000), [1, 2, 3]);
        assert!(resample(&[], 16_000, 8_000).is_empty());
    }
}
