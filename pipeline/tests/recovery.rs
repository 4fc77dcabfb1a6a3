//! After one stall the delay comes back quickly, and a stream is heard at once.

#[allow(dead_code)] // other tests use the rest
mod profiles;

use pipeline::JitterConfig;
use profiles::{PROFILES, play};

/// Longest way back to within 5 ms of where the delay was, ms of speech.
const RECOVERY_MS: f64 = 1_500.0;

#[test]
fn a_stall_of_200_ms_is_made_up_for_in_a_second_and_a_half() {
    let profile = PROFILES.iter().find(|p| p.name == "inet").expect("it is one of them");
    for seed in 1..=20 {
        let mut trace = profile.trace(seed * 104_729);
        // Nobody pauses, so that nothing is won by cutting silence.
        for sent in &mut trace {
            sent.voiced = true;
        }
        let begun = 30_000.0 + seed as f64 * 7.0;
        let end = begun + 200.0 + profile.base_ms;
        for sent in trace.iter_mut().filter(|sent| (begun..end).contains(&sent.at)) {
            sent.arrival = sent.arrival.map(|at| at.max(end));
        }
        let played = play::play(profile, &trace, JitterConfig::default()).played;
        let peak = played.iter().filter(|(at, _)| (begun..end).contains(at)).map(|p| p.1).fold(0.0, f64::max);
        assert!(peak > 100.0, "seed {seed}: what was held up is played, not thrown away: {peak}");
        // What it is aimed at from then on; the stall may have taught to wait a little longer.
        let later: Vec<f64> = played
            .iter()
            .filter(|p| (end + RECOVERY_MS..end + RECOVERY_MS + 500.0).contains(&p.0))
            .map(|p| p.1)
            .collect();
        let target = later.iter().sum::<f64>() / later.len() as f64;
        assert!(target < 20.0, "seed {seed}: one stall is no habit: {target}");
        let back = played.iter().find(|(at, added)| *at > end && *added <= target + 5.0);
        let took = back.expect("it comes back").0 - end;
        assert!(took <= RECOVERY_MS, "seed {seed}: {took} ms");
    }
}

#[test]
fn the_first_packet_is_played_within_20_ms_of_its_arrival() {
    for profile in &PROFILES {
        let trace = profile.trace(5);
        let first = trace.iter().find(|sent| sent.arrival.is_some()).expect("not all are lost");
        let came = first.arrival.expect("it was just seen");
        let (sent, added) = play::play(profile, &trace, JitterConfig::default()).played[0];
        if sent == first.at {
            let waited = sent + profile.base_ms + added - came;
            assert!((0.0..=20.0).contains(&waited), "{}: {waited}", profile.name);
        }
    }
}
