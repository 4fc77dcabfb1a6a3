//! Loss behind an ideal buffer: every frame that was not lost is there in time.

use std::time::Instant;

use pipeline::conceal::PitchRepeater;

use crate::profiles::random::Random;
use crate::{Settings, arrivals, linear, mulaw};

/// Mean length of a burst, packets.
const BURST: f64 = 3.0;
/// What a repeated frame keeps of its level.
const DECAY: f64 = 0.7;

/// Which packets are lost. Gilbert-Elliott with all lost in the bad state; without bursts, each packet for itself.
fn by_chance(count: usize, share: f64, bursts: bool, seed: u64) -> Vec<bool> {
    let mut random = Random::new(seed);
    let (enter, stay) =
        if bursts { (share / (1.0 - share) / BURST, 1.0 - 1.0 / BURST) } else { (share, share) };
    let mut bad = false;
    let mut lost = || {
        bad = random.unit() < if bad { stay } else { enter };
        bad
    };
    (0..count).map(|_| lost()).collect()
}

pub fn render(samples: &[i16], settings: &Settings) -> Vec<i16> {
    let seed = settings.number("seed", 1.0) as u64;
    let share = settings.number("percent", 1.0) / 100.0;
    let count = samples.len().div_ceil(160);
    let losses = match settings.text("loss", "random").as_str() {
        "random" => by_chance(count, share, false, seed),
        "bursts" => by_chance(count, share, true, seed),
        network => {
            let arrivals = arrivals(network, count, seed);
            let arrivals =
                arrivals.unwrap_or_else(|| panic!("loss: random, bursts or a network, not {network}"));
            arrivals.iter().map(Option::is_none).collect()
        }
    };
    let method = settings.text("method", "ours");
    let mut sound = linear(&mulaw(samples));
    let mut repeater = PitchRepeater::default();
    let (mut last, mut level, mut missing) = ([0; 160], 1.0, 0_u32);
    let mut costs = Vec::new();
    for (frame, lost) in sound.chunks_exact_mut(160).zip(losses) {
        missing += u32::from(lost);
        match (method.as_str(), lost) {
            ("ours", true) => {
                let begun = Instant::now();
                repeater.conceal(frame);
                costs.push(begun.elapsed().as_secs_f64() * 1e6);
            }
            ("ours", false) => repeater.pass(frame),
            ("silence", true) => frame.fill(0),
            ("repeat", true) => {
                level *= DECAY;
                for (sample, before) in frame.iter_mut().zip(&last) {
                    *sample = (f64::from(*before) * level) as i16;
                }
            }
            ("silence" | "repeat", false) => {
                last.copy_from_slice(frame);
                level = 1.0;
            }
            (other, _) => panic!("method: ours, silence or repeat, not {other}"),
        }
    }
    costs.sort_by(f64::total_cmp);
    let median = costs.get(costs.len() / 2).copied().unwrap_or(0.0);
    println!("{{\"lost\": {missing}, \"conceal_us_median\": {median:.1}}}");
    linear(&mulaw(&sound))
}
