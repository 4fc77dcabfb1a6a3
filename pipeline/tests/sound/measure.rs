//! Signals and what is measured of them.

use std::f64::consts::TAU;

use pipeline::SampleRate;
use pipeline::conceal::SILENT_LEVEL;
use pipeline::resample::Resampler;

pub const RATES: [SampleRate; 3] = [SampleRate::Hz8000, SampleRate::Hz16000, SampleRate::Hz24000];

/// A sine of a quarter of full scale.
pub const TONE: f64 = 8000.0;

pub fn tone(hz: f64, rate_hz: u32, ms: u32) -> Vec<i16> {
    let step = TAU * hz / f64::from(rate_hz);
    (0..rate_hz / 1000 * ms).map(|i| ((step * f64::from(i)).sin() * TONE).round() as i16).collect()
}

/// Six seconds of real speech at a rate of ours.
pub fn speech(rate: SampleRate) -> Vec<i16> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../sim/src/speech/clips/thank-you-for-calling.wav");
    let mut wav = hound::WavReader::open(path).expect("the clip is in the repository");
    assert_eq!(wav.spec().sample_rate, 16_000);
    let samples: Vec<i16> = wav.samples().map(|s| s.expect("a whole file")).collect();
    match rate {
        SampleRate::Hz16000 => samples,
        _ => convert(&samples, SampleRate::Hz16000, rate),
    }
}

/// By the road's own converter, its delay included.
pub fn convert(signal: &[i16], from: SampleRate, to: SampleRate) -> Vec<i16> {
    let mut resampler = Resampler::new(from, to).expect("rates of ours");
    let mut out = vec![0; resampler.block_out()];
    signal
        .chunks_exact(resampler.block_in())
        .flat_map(|block| {
            resampler.process(block, &mut out);
            out.clone()
        })
        .collect()
}

pub fn bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|s| s.to_le_bytes()).collect()
}

pub fn samples(bytes: &[u8]) -> Vec<i16> {
    bytes.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect()
}

pub fn rms(signal: &[i16]) -> f64 {
    (signal.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / signal.len().max(1) as f64).sqrt()
}

pub fn db(ratio: f64) -> f64 {
    20.0 * ratio.max(1e-9).log10()
}

/// Mean, as a part of full scale.
pub fn dc(signal: &[i16]) -> f64 {
    signal.iter().map(|s| f64::from(*s)).sum::<f64>() / signal.len() as f64 / 32768.0
}

/// A tone's amplitude in the second half of the signal, and all else that is there, DC apart, as a root mean square.
pub fn fit(signal: &[i16], hz: f64, rate_hz: u32) -> (f64, f64) {
    let window = (f64::from(rate_hz) / 10.0) as usize; // whole periods of any multiple of 10 Hz
    let steady = &signal[signal.len() - signal.len() / 2 / window * window..];
    let mean = steady.iter().map(|s| f64::from(*s)).sum::<f64>() / steady.len() as f64;
    let angle = |i: usize| TAU * hz * i as f64 / f64::from(rate_hz);
    let (mut sine, mut cosine) = (0.0, 0.0);
    for (i, s) in steady.iter().enumerate() {
        sine += f64::from(*s) * angle(i).sin() * 2.0 / steady.len() as f64;
        cosine += f64::from(*s) * angle(i).cos() * 2.0 / steady.len() as f64;
    }
    let rest: f64 = steady
        .iter()
        .enumerate()
        .map(|(i, s)| (f64::from(*s) - mean - sine * angle(i).sin() - cosine * angle(i).cos()).powi(2))
        .sum();
    (sine.hypot(cosine), (rest / steady.len() as f64).sqrt())
}

/// Total harmonic distortion and noise, dB below the tone.
pub fn distortion(signal: &[i16], hz: f64, rate_hz: u32) -> f64 {
    let (amplitude, rest) = fit(signal, hz, rate_hz);
    db(rest / (amplitude / 2.0_f64.sqrt()))
}

/// Steps that are no click whatever is around them: from one side of what counts as silence to the other, −44 dBFS.
const INAUDIBLE: u32 = 2 * SILENT_LEVEL;
/// Samples to each side whose steps are compared with: 10 ms at 8 kHz, longer than a period of speech.
const AROUND: usize = 80;

/// By how much the step into sample `at` is above the largest in the 10 ms to each side of it (itself and its neighbours apart), dB.
pub fn click(signal: &[i16], at: usize) -> f64 {
    let step = |i: usize| i32::from(signal[i]).abs_diff(i32::from(signal[i - 1]));
    let near = at.saturating_sub(1)..=at + 1;
    let from = at.saturating_sub(AROUND).max(1);
    let until = (at + AROUND).min(signal.len());
    let around = (from..until).filter(|i| !near.contains(i)).map(step).max().unwrap_or(0);
    db(f64::from(step(at)) / f64::from(around.max(INAUDIBLE)))
}

/// The worst of the splices.
pub fn worst_click(signal: &[i16], splices: impl IntoIterator<Item = usize>) -> f64 {
    splices.into_iter().map(|at| click(signal, at)).fold(f64::MIN, f64::max)
}

#[test]
fn a_jump_is_a_click_and_speech_is_not() {
    let mut signal = tone(300.0, 8_000, 100);
    assert!((100..700).all(|i| click(&signal, i) < 6.0));
    signal[400..].iter_mut().for_each(|s| *s = -*s / 2 + 9000);
    assert!(click(&signal, 400) > 6.0);
    assert!(distortion(&tone(1020.0, 8_000, 400), 1020.0, 8_000) < -75.0);
    let clipped: Vec<i16> = tone(1020.0, 8_000, 400).iter().map(|s| (*s).clamp(-6000, 6000)).collect();
    assert!(distortion(&clipped, 1020.0, 8_000) > -30.0);
}
