//! A sender's clock that is fast (or slow) against the listener's: ways to stay in step, and what each costs.

use std::time::Instant;

use audioadapter_buffers::direct::SequentialSlice;
use pipeline::conceal::is_silent;
use rubato::{Adjustable, Async, FixedAsync, SincInterpolationParameters, Slip, WindowFunction};

use crate::Settings;

/// Pitch periods looked for, samples at 8 kHz, and how many are compared.
const LAGS: std::ops::RangeInclusive<usize> = 20..=160;
const COMPARED: usize = 160;

/// The listener's sound: `ppm` parts per million shorter than the sender's.
pub fn render(samples: &[i16], settings: &Settings) -> Vec<i16> {
    let speed = 1.0 + settings.number("ppm", 100.0) * 1e-6;
    let mut costs = Vec::new();
    let (sound, delay) = match settings.text("method", "none").as_str() {
        "none" => (samples.to_vec(), 0),
        "rubato" => {
            let filter = SincInterpolationParameters::new(64, WindowFunction::BlackmanHarris2);
            let inner = Async::<f32>::new_sinc(1.0, 1.1, &filter, 160, 1, FixedAsync::Input);
            convert(inner.expect("a ratio of one"), samples, speed, &mut costs)
        }
        "slip" => {
            let inner = Slip::<f32>::new(160, 1, FixedAsync::Input).expect("160 are enough");
            convert(inner, samples, speed, &mut costs)
        }
        "silence" => (frames(samples, speed, &mut costs, leave_out_silence), 0),
        "period" => (frames(samples, speed, &mut costs, leave_out_a_period), 0),
        other => panic!("method: none, rubato, slip, silence or period, not {other}"),
    };
    costs.sort_by(f64::total_cmp);
    let at = |q: f64| costs.get((costs.len() as f64 * q) as usize).copied().unwrap_or(0.0);
    println!(
        "{{\"us_median\": {:.2}, \"us_p99\": {:.2}, \"delay_ms\": {:.3}, \"samples_left_over\": {}}}",
        at(0.5),
        at(0.99),
        delay as f64 / 8.0,
        sound.len() as f64 - (samples.len() / 160 * 160) as f64 / speed,
    );
    sound
}

fn convert(
    mut inner: impl Adjustable<f32>,
    samples: &[i16],
    speed: f64,
    costs: &mut Vec<f64>,
) -> (Vec<i16>, usize) {
    inner.set_resample_ratio(1.0 / speed, false).expect("a small change");
    let mut out = Vec::with_capacity(samples.len());
    let mut made = vec![0.0; inner.output_frames_max()];
    for frame in samples.chunks_exact(160) {
        let begun = Instant::now();
        let floats: Vec<f32> = frame.iter().map(|s| f32::from(*s)).collect();
        let room = made.len();
        let input = SequentialSlice::new(&floats[..], 1, 160).expect("160 are there");
        let mut output = SequentialSlice::new_mut(&mut made[..], 1, room).expect("there is room");
        let (_, n) = inner.process_into_buffer(&input, &mut output, None).expect("all sizes fit");
        out.extend(made[..n].iter().map(|s| s.round() as i16));
        costs.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    (out, inner.output_delay())
}

/// Takes frames as they come; `shorten` takes out up to so many samples and says how many.
fn frames(
    samples: &[i16],
    speed: f64,
    costs: &mut Vec<f64>,
    shorten: fn(&mut Vec<i16>, usize) -> usize,
) -> Vec<i16> {
    let mut out: Vec<i16> = Vec::with_capacity(samples.len());
    let mut excess = 0.0;
    for frame in samples.chunks_exact(160) {
        let begun = Instant::now();
        excess += 160.0 * (1.0 - 1.0 / speed);
        out.extend(frame);
        excess -= shorten(&mut out, excess as usize) as f64;
        costs.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    out
}

fn leave_out_silence(out: &mut Vec<i16>, excess: usize) -> usize {
    let last = out.len() - 160;
    if excess >= 160 && is_silent(&out[last..]) {
        out.truncate(last);
        return 160;
    }
    0
}

/// The last period goes where two are most alike, one faded into the other.
fn leave_out_a_period(out: &mut Vec<i16>, excess: usize) -> usize {
    if excess < *LAGS.start() || out.len() < COMPARED + LAGS.end() {
        return 0;
    }
    let end = out.len();
    let recent = &out[end - COMPARED..];
    let mut best = (0.0, 0);
    for lag in LAGS.filter(|lag| *lag <= excess) {
        let earlier = &out[end - COMPARED - lag..end - lag];
        let (mut cross, mut power) = (0.0, 1.0);
        for (a, b) in recent.iter().zip(earlier) {
            cross += f32::from(*a) * f32::from(*b);
            power += f32::from(*b) * f32::from(*b);
        }
        if cross / power.sqrt() > best.0 {
            best = (cross / power.sqrt(), lag);
        }
    }
    let lag = best.1;
    for i in 0..lag {
        let weight = (i + 1) as f32 / (lag + 1) as f32;
        let (early, late) = (f32::from(out[end - 2 * lag + i]), f32::from(out[end - lag + i]));
        out[end - 2 * lag + i] = (early * (1.0 - weight) + late * weight) as i16;
    }
    out.truncate(end - lag);
    lag
}
