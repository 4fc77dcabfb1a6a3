//! The rate converter's figures, as its documentation states them.

use pipeline::SampleRate;
use pipeline::resample::{DELAY_MS, Resampler};

use crate::measure::{RATES, TONE, convert, db, fit, tone};

fn pairs() -> impl Iterator<Item = (SampleRate, SampleRate)> {
    RATES.into_iter().flat_map(|from| RATES.into_iter().map(move |to| (from, to))).filter(|(f, t)| f != t)
}

#[test]
fn an_impulse_comes_as_late_as_stated() {
    for (from, to) in pairs() {
        let mut impulse = vec![0; from.samples(200)];
        impulse[from.samples(60)] = 30_000;
        let out = convert(&impulse, from, to);
        let peak = (0..out.len()).max_by_key(|i| out[*i].unsigned_abs()).unwrap();
        assert_eq!(peak, to.samples(60 + DELAY_MS), "{from:?} → {to:?}");
    }
}

#[test]
fn the_telephone_band_is_flat_and_nothing_is_mirrored_out_of_it() {
    for (from, to) in pairs() {
        let (mut flattest, mut mirrored) = (0.0_f64, f64::MIN);
        for hz in (300..=3400).step_by(100) {
            let out = convert(&tone(f64::from(hz), from.hz(), 600), from, to);
            let (amplitude, rest) = fit(&out, f64::from(hz), to.hz());
            let change = db(amplitude / TONE);
            flattest = if change.abs() > flattest.abs() { change } else { flattest };
            mirrored = mirrored.max(db(rest / (TONE / 2.0_f64.sqrt())));
        }
        println!("{from:?} → {to:?}: {flattest:+.3} dB, {mirrored:.1} dB of anything else");
        assert!(flattest.abs() <= 0.1 && mirrored <= -60.0, "{from:?} → {to:?}: {flattest} {mirrored}");
    }
}

#[test]
fn silence_stays_silence_and_a_wrong_block_is_silent() {
    let mut resampler = Resampler::new(SampleRate::Hz16000, SampleRate::Hz8000).unwrap();
    let mut out = [7; 160];
    resampler.process(&[0; 320], &mut out);
    assert_eq!(out, [0; 160]);
}
