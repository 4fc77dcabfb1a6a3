use super::*;
use crate::speech::Speech;
use std::f64::consts::TAU;

const RATES: [SampleRate; 3] = [SampleRate::Hz8000, SampleRate::Hz16000, SampleRate::Hz24000];

fn tone(rate: SampleRate, hz: f64, ms: u32) -> Vec<i16> {
    let step = TAU * hz / f64::from(rate.hz());
    (0..rate.samples(ms)).map(|i| ((i as f64 * step).sin() * 8_000.0) as i16).collect()
}

/// Plays 20 ms pieces, each shortened as far as it may be; gives what is heard.
fn hurry(rate: SampleRate, sound: &[i16]) -> Vec<i16> {
    let mut stretch = Stretch::new(rate);
    let mut heard = Vec::new();
    for piece in sound.chunks_exact(rate.samples(20)) {
        stretch.handle_played(Ticks::from_millis(20));
        let mut piece = piece.to_vec();
        let gone = stretch.shorten(&mut piece, rate.samples(10));
        assert!(gone == 0 || (rate.samples(5) / 2..=rate.samples(10)).contains(&gone), "{gone}");
        heard.extend(&piece[..piece.len() - gone]);
    }
    heard
}

fn rms(samples: &[i16]) -> f64 {
    (samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len() as f64).sqrt()
}

/// Largest step from sample to sample.
fn step(samples: &[i16]) -> i32 {
    samples.windows(2).map(|w| (i32::from(w[1]) - i32::from(w[0])).abs()).max().unwrap_or(0)
}

#[test]
fn a_tone_stays_a_tone() {
    for rate in RATES {
        for hz in [110.0, 163.0, 240.0, 390.0] {
            let sound = tone(rate, hz, 2_000);
            let heard = hurry(rate, &sound);
            assert!(heard.len() < sound.len(), "{rate:?} {hz}: something is taken out");
            assert!((rms(&heard) / rms(&sound) - 1.0).abs() < 0.035, "{hz}: within 0.3 dB, {}", rms(&heard));
            assert!(
                step(&heard) <= step(&sound) * 5 / 4,
                "{hz}: no click, {} {}",
                step(&heard),
                step(&sound)
            );
        }
    }
}

#[test]
fn at_most_a_tenth_goes_and_the_burst() {
    for rate in RATES {
        let sound = tone(rate, 200.0, 5_000);
        let gone = sound.len() - hurry(rate, &sound).len();
        let most = sound.len() / 10 + BURST.samples(rate);
        assert!((most - rate.samples(10)..=most).contains(&gone), "{gone} of {most}");
    }
}

#[test]
fn speech_keeps_its_level_and_has_no_clicks() {
    for rate in RATES {
        for seed in 1..=8 {
            let mut sound = vec![0; rate.samples(8_000)];
            Speech::new(seed, rate).fill(&mut sound);
            let heard = hurry(rate, &sound);
            let gone = (sound.len() - heard.len()) as f64 / sound.len() as f64;
            assert!(gone > 0.05, "{rate:?} {seed}: a voice has periods to spare, {gone}");
            let level = 20.0 * (rms(&heard) / rms(&sound)).log10();
            assert!(level.abs() < 0.3, "{rate:?} {seed}: {level} dB");
            // No step more than 6 dB above the largest of the 20 ms around it in the original, wherever that lies now.
            assert!(step(&heard) <= step(&sound) * 2, "{} {}", step(&heard), step(&sound));
        }
    }
}

#[test]
fn the_splice_is_no_louder_than_its_surroundings() {
    let rate = SampleRate::Hz8000;
    let mut speech = Speech::new(3, rate);
    let mut last = 0;
    for _ in 0..400 {
        let mut piece = vec![0; 160];
        speech.fill(&mut piece);
        let whole = step(&piece).max((i32::from(piece[0]) - i32::from(last)).abs());
        last = piece[159];
        let gone = Stretch::new(rate).shorten(&mut piece, 80);
        let spliced = step(&piece[..160 - gone]);
        assert!(spliced <= whole * 2, "6 dB above the local peak: {spliced} {whole}");
    }
}

#[test]
fn noise_is_left_alone_and_hiss_is_not() {
    let mut seed = 1_u32;
    let mut noise = |level: i32| -> Vec<i16> {
        (0..160)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                ((seed >> 16) as i32 % (2 * level + 1) - level) as i16
            })
            .collect()
    };
    assert_eq!(Stretch::new(SampleRate::Hz8000).shorten(&mut noise(8_000), 80), 0);
    assert_eq!(Stretch::new(SampleRate::Hz8000).shorten(&mut noise(150), 33), 33, "exactly what is wished");
}

#[test]
fn too_little_to_take_out_is_nothing() {
    let mut sound = tone(SampleRate::Hz8000, 200.0, 20);
    let mut stretch = Stretch::new(SampleRate::Hz8000);
    for most in 0..20 {
        assert_eq!(stretch.shorten(&mut sound, most), 0);
    }
    assert_eq!(stretch.shorten(&mut [], 80), 0);
    assert_eq!(stretch.shorten(&mut sound[..30], 80), 0);
}
