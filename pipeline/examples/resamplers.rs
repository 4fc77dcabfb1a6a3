//! Rubato's types against each other, in blocks of 20 ms between a telephone's rate and a wideband one's: delay, what they do to the
//! telephone band (300–3400 Hz), what they let alias into it (or mirror out of it) from 4.2 kHz on, and their cost. See `docs/sound.md`.
#![allow(clippy::disallowed_macros, clippy::disallowed_methods)] // a tool beside the road, not on it

use std::f64::consts::TAU;
use std::time::Instant;

use audioadapter_buffers::direct::SequentialSlice;
use rubato::{
    Async, Fft, FixedAsync, FixedSync, PolynomialDegree, Resampler, SincInterpolationParameters,
    WindowFunction,
};

const LEVEL: f64 = 8000.0;

type Candidate = (&'static str, fn(usize, usize) -> Box<dyn Resampler<f32>>);

fn fft(from: usize, to: usize, pieces: usize, window: WindowFunction) -> Box<dyn Resampler<f32>> {
    let inner = Fft::new_custom(from, to, from / 50 / pieces, 1, 1, window, FixedSync::Both);
    Box::new(inner.expect("20 ms divide"))
}

fn sinc(from: usize, to: usize, length: usize) -> Box<dyn Resampler<f32>> {
    let filter = SincInterpolationParameters::new(length, WindowFunction::BlackmanHarris2);
    let ratio = to as f64 / from as f64;
    Box::new(Async::new_sinc(ratio, 1.0, &filter, from / 50, 1, FixedAsync::Input).expect("a fixed ratio"))
}

const CANDIDATES: [Candidate; 11] = [
    ("Fft, 20 ms, Blackman-Harris²", |f, t| fft(f, t, 1, WindowFunction::BlackmanHarris2)),
    ("Fft, 20 ms, Blackman", |f, t| fft(f, t, 1, WindowFunction::Blackman)),
    ("Fft, 10 ms, Blackman-Harris²", |f, t| fft(f, t, 2, WindowFunction::BlackmanHarris2)),
    ("Fft, 10 ms, Blackman", |f, t| fft(f, t, 2, WindowFunction::Blackman)),
    ("Fft, 10 ms, Hann²", |f, t| fft(f, t, 2, WindowFunction::Hann2)),
    ("Fft, 5 ms, Blackman", |f, t| fft(f, t, 4, WindowFunction::Blackman)),
    ("Fft, 5 ms, Hann", |f, t| fft(f, t, 4, WindowFunction::Hann)),
    ("sinc of 64", |f, t| sinc(f, t, 64)),
    ("sinc of 128", |f, t| sinc(f, t, 128)),
    ("sinc of 256", |f, t| sinc(f, t, 256)),
    ("septic polynomial", |f, t| {
        let ratio = t as f64 / f as f64;
        let inner = Async::new_poly(ratio, 1.0, PolynomialDegree::Septic, f / 50, 1, FixedAsync::Input);
        Box::new(inner.expect("a fixed ratio"))
    }),
];

fn convert(
    inner: &mut dyn Resampler<f32>,
    signal: &[f32],
    per_frame: usize,
    costs: &mut Vec<f64>,
) -> Vec<f64> {
    let mut made = vec![0.0; inner.output_frames_max()];
    let mut out = Vec::new();
    let block = inner.input_frames_next();
    for piece in signal.chunks_exact(block) {
        let begun = Instant::now();
        let room = made.len();
        let input = SequentialSlice::new(piece, 1, block).expect("a whole block");
        let mut output = SequentialSlice::new_mut(&mut made[..], 1, room).expect("there is room");
        let (_, n) = inner.process_into_buffer(&input, &mut output, None).expect("all sizes fit");
        costs.push(begun.elapsed().as_secs_f64() * 1e6 * (per_frame / block) as f64);
        out.extend(made[..n].iter().map(|s| f64::from(*s)));
    }
    out
}

fn tone(hz: f64, rate: usize) -> Vec<f32> {
    (0..rate * 6 / 5).map(|i| ((TAU * hz * i as f64 / rate as f64).sin() * LEVEL) as f32).collect()
}

/// Amplitude and phase of `hz` in half a second of the signal, and the root mean square of all the rest.
fn fit(signal: &[f64], hz: f64, rate: usize) -> (f64, f64, f64) {
    let steady = &signal[rate / 2..rate];
    let (mut re, mut im) = (0.0, 0.0);
    for (i, s) in steady.iter().enumerate() {
        let angle = TAU * hz * (i + rate / 2) as f64 / rate as f64;
        re += s * angle.sin() * 2.0 / steady.len() as f64;
        im += s * angle.cos() * 2.0 / steady.len() as f64;
    }
    let rest: f64 = steady
        .iter()
        .enumerate()
        .map(|(i, s)| {
            let angle = TAU * hz * (i + rate / 2) as f64 / rate as f64;
            (s - re * angle.sin() - im * angle.cos()).powi(2)
        })
        .sum();
    (re.hypot(im), im.atan2(re), (rest / steady.len() as f64).sqrt())
}

fn db(ratio: f64) -> f64 {
    20.0 * ratio.max(1e-9).log10()
}

fn main() {
    println!(
        "| from → to, kHz | type | delay, ms | 300–3400 Hz, dB | 3600 Hz, dB | foreign tones, dB | µs / 20 ms |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (from, to) in [(16_000, 8_000), (24_000, 8_000), (8_000, 16_000), (8_000, 24_000)] {
        for (name, make) in CANDIDATES {
            let mut costs = Vec::new();
            let mut run = |hz: f64| convert(&mut *make(from, to), &tone(hz, from), from / 50, &mut costs);
            let gain = |out: &[f64], hz: f64| db(fit(out, hz, to).0 / LEVEL);
            let mut gains = Vec::new();
            let mut foreign = f64::MIN;
            for step in 3..=34 {
                let hz = f64::from(step) * 100.0;
                let out = run(hz);
                gains.push(gain(&out, hz));
                if to > from {
                    foreign = foreign.max(db(fit(&out, hz, to).2 / (LEVEL / 2.0_f64.sqrt())));
                }
            }
            let edge = gain(&run(3600.0), 3600.0);
            if to < from {
                for hz in (4_200..from / 2).step_by(200) {
                    let (left, _, rest) = fit(&run(hz as f64), 1.0, to);
                    foreign = foreign
                        .max(db((left.powi(2) / 2.0 + rest.powi(2)).sqrt() / (LEVEL / 2.0_f64.sqrt())));
                }
            }
            // By the phases of two near tones.
            let phase = |hz: f64, out: &[f64]| fit(out, hz, to).1;
            let (low, high) = (run(1000.0), run(1010.0));
            let turn = (phase(1000.0, &low) - phase(1010.0, &high)).rem_euclid(TAU);
            let delay = turn / TAU / 10.0 * 1000.0;
            let (least, most) = gains.iter().fold((f64::MAX, f64::MIN), |(l, m), g| (l.min(*g), m.max(*g)));
            costs.sort_by(f64::total_cmp);
            println!(
                "| {} → {} | {name} | {delay:.2} | {least:+.2} … {most:+.2} | {edge:+.2} | {foreign:.0} | {:.1} |",
                from / 1000,
                to / 1000,
                costs[costs.len() / 2],
            );
        }
    }
}
