//! Tones: made, put through mu-law, and found again. Textbook code, so that no mistake of the bridge's own is repeated here.

use std::f64::consts::TAU;

/// Below this RMS a block is not tone but codec noise, a fade or silence.
const LOUD: f64 = 1_000.0;
const AMPLITUDE: f64 = 8_000.0;

/// `samples` of a sine from `phase` (samples since its start) on.
pub fn sine(hz: f64, rate: u32, phase: usize, samples: usize) -> Vec<i16> {
    (phase..phase + samples)
        .map(|i| (AMPLITUDE * (TAU * hz * i as f64 / f64::from(rate)).sin()) as i16)
        .collect()
}

/// ITU-T G.711 mu-law.
pub fn to_mulaw(sample: i16) -> u8 {
    let magnitude = i32::from(sample).abs().min(32_635) + 132;
    let segment = (24 - magnitude.leading_zeros()) as u8;
    let code = (segment << 4) | ((magnitude >> (segment + 3)) & 0x0F) as u8;
    !(code | if sample < 0 { 0x80 } else { 0 })
}

/// ITU-T G.711 mu-law.
pub fn from_mulaw(code: u8) -> i16 {
    let code = !code;
    let magnitude = (((i32::from(code & 0x0F) << 3) + 132) << ((code >> 4) & 7)) - 132;
    (if code & 0x80 == 0 { magnitude } else { -magnitude }) as i16
}

/// Seconds of loud sound and its frequency by zero crossings, over whole 20 ms blocks.
pub fn find(samples: &[i16], rate: u32) -> (f64, f64) {
    let (mut blocks, mut crossings, mut spans) = (0, 0, 0.0);
    for block in samples.chunks_exact(rate as usize / 50) {
        let energy: f64 = block.iter().map(|s| f64::from(*s).powi(2)).sum();
        if (energy / block.len() as f64).sqrt() < LOUD {
            continue;
        }
        blocks += 1;
        let rising: Vec<f64> = (1..block.len())
            .filter(|i| block[i - 1] < 0 && block[*i] >= 0)
            .map(|i| i as f64 - f64::from(block[i]) / (f64::from(block[i]) - f64::from(block[i - 1])))
            .collect();
        if let [first, .., last] = rising[..] {
            crossings += rising.len() - 1;
            spans += (last - first) / f64::from(rate);
        }
    }
    (f64::from(blocks) * 0.02, if spans > 0.0 { crossings as f64 / spans } else { 0.0 })
}

#[test]
fn a_tone_is_found_and_silence_is_not() {
    for hz in [440.0, 600.0] {
        let tone: Vec<i16> = sine(hz, 8_000, 0, 8_000).iter().map(|s| from_mulaw(to_mulaw(*s))).collect();
        let (seconds, found) = find(&tone, 8_000);
        assert!((seconds - 1.0).abs() < 0.001 && (found - hz).abs() < 2.0, "{hz}: {seconds} s of {found} Hz");
    }
    assert_eq!(find(&[0; 8_000], 8_000), (0.0, 0.0));
    assert_eq!(to_mulaw(0), 0xFF);
}
