//! After one stall the delay comes back quickly, and a stream is heard at once.

#[allow(dead_code)] // other tests use the rest
mod profiles;

use pipeline::JitterConfig;
use profiles::voice::Voice;
use profiles::{PROFILES, play};

/// Longest way back, ms of speech.
const RECOVERY_MS: f64 = 1_500.0;
/// Of unbroken speech only whole frames can be taken out, so that less than one of them may remain.
const FRAME_MS: f64 = 20.0;
/// What may remain above the delay aimed at, and by how much one stall may raise that.
const REST_MS: f64 = 5.0;
const LEARNT_MS: f64 = 3.0;

/// The internet with one stall of 200 ms. Gives when it ended, what was played, and the delay before.
fn stalled(seed: u64, pause: Option<f64>) -> (f64, Vec<(f64, f64)>, f64) {
    let profile = PROFILES.iter().find(|p| p.name == "inet").expect("it is one of them");
    let mut trace = profile.trace(seed * 104_729);
    let begun = 30_000.0 + seed as f64 * 7.0;
    let end = begun + 200.0 + profile.base_ms;
    for sent in &mut trace {
        // A pause every two seconds before, so that the delay is where it shall be.
        let since = if sent.at < begun - 500.0 { sent.at % 2_000.0 } else { sent.at - end };
        let paused = if sent.at < begun { Some(0.0) } else { pause };
        sent.voiced = paused.is_none_or(|paused| !(paused..paused + 200.0).contains(&since));
        if (begun..end).contains(&sent.at) {
            sent.arrival = sent.arrival.map(|at| at.max(end));
        }
    }
    let played = play::play(profile, &trace, &Voice::pcmu(), JitterConfig::default()).played;
    let peak = played.iter().filter(|(at, _)| (begun..end).contains(at)).map(|p| p.1).fold(0.0, f64::max);
    assert!(peak > 150.0, "seed {seed}: what was held up is played, not thrown away: {peak}");
    let before: Vec<f64> =
        played.iter().filter(|p| (begun - 2_000.0..begun - 500.0).contains(&p.0)).map(|p| p.1).collect();
    let before = before.iter().sum::<f64>() / before.len() as f64;
    assert!(before < 15.0, "seed {seed}: {before}");
    (end, played, before)
}

fn worst(played: &[(f64, f64)], from: f64, to: f64) -> f64 {
    played.iter().filter(|p| (from..to).contains(&p.0)).map(|p| p.1).fold(0.0, f64::max)
}

#[test]
fn a_stall_of_200_ms_is_made_up_for_in_a_second_and_a_half_of_unbroken_speech() {
    for seed in 1..=20 {
        let (end, played, before) = stalled(seed, None);
        let after = worst(&played, end + RECOVERY_MS, end + RECOVERY_MS + 1_000.0);
        assert!(after <= before + FRAME_MS + LEARNT_MS, "seed {seed}: {before} before, {after} after");
    }
}

#[test]
fn the_first_pause_of_200_ms_takes_what_is_left_of_a_stall() {
    for seed in 1..=20 {
        let (end, played, before) = stalled(seed, Some(300.0));
        let after = worst(&played, end + 500.0, end + 2_000.0);
        assert!(after <= before + REST_MS + LEARNT_MS, "seed {seed}: {before} before, {after} after");
    }
}

#[test]
fn the_first_packet_is_played_within_20_ms_of_its_arrival() {
    for profile in &PROFILES {
        let trace = profile.trace(5);
        let first = trace.iter().find(|sent| sent.arrival.is_some()).expect("not all are lost");
        let came = first.arrival.expect("it was just seen");
        let (sent, added) = play::play(profile, &trace, &Voice::pcmu(), JitterConfig::default()).played[0];
        if sent == first.at {
            let waited = sent + profile.base_ms + added - came;
            assert!((0.0..=20.0).contains(&waited), "{}: {waited}", profile.name);
        }
    }
}
