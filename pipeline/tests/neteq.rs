//! The jitter buffer against libwebrtc's NetEq: twelve networks, ten runs of five minutes each, in simulated time.
//!
//! NetEq's figures were measured with its own code on traces of the same parameters, 20 ms PCMU packets of real speech
//! on a simulated clock. "added" is when a packet is played less when it was sent and the base path; "conc" is all
//! time in which the listener hears something else than the stream, as `concealedSamples` is.
//!
//! A goal that is missed fails the test. One of them nobody can reach: at no more than 15 ms nothing of a lost packet's successor is
//! here when the lost one is due, and what is sent is whole frames, so 20 ms are made up for each. NetEq is 6 % below that on
//! `loss1`, at 21.8 ms, by stretching the successor over the hole. There the best constant delay of 15 ms is the measure.
#![allow(clippy::disallowed_macros, clippy::disallowed_methods)] // a test may print its table and ask for a picture

#[allow(dead_code)] // other tests use the rest
mod profiles;

use pipeline::JitterConfig;
use profiles::score::{Score, impairment, weighed};
use profiles::svg::{Series, picture};
use profiles::voice::Voice;
use profiles::{PROFILES, others, play};

/// NetEq on the profiles, in their order: added mean, p95, p99 (ms), concealed and lost on its wire (%).
const NETEQ: [(&str, f64, f64, f64, f64, f64); 12] = [
    ("clean", 30.1, 30.0, 30.0, 0.004, 0.0),
    ("lan", 31.0, 31.0, 31.0, 0.004, 0.0),
    ("inet", 26.7, 34.1, 34.6, 0.064, 0.054),
    ("wifi", 78.6, 96.3, 105.6, 0.525, 0.505),
    ("lte", 107.1, 205.7, 256.2, 0.874, 0.485),
    ("loss1", 21.8, 30.1, 33.5, 0.931, 0.987),
    ("ge5", 24.5, 35.5, 41.1, 4.938, 5.03),
    ("reorder2", 55.9, 60.5, 65.2, 0.028, 0.0),
    ("spike200", 52.4, 207.0, 212.0, 0.592, 0.0),
    ("tcphol", 48.0, 114.0, 189.0, 0.362, 0.0),
    ("drift+100", 31.2, 37.5, 39.1, 0.052, 0.05),
    ("drift-100", 20.4, 28.8, 33.8, 0.047, 0.05),
];

/// The same with Opus and in-band FEC: added mean and concealed.
const NETEQ_FEC: [(&str, f64, f64); 2] = [("loss1", 41.4, 0.128), ("ge5", 39.4, 3.34)];
/// Runs of a profile with Opus, whose decoder takes time.
const FEC_SEEDS: u64 = 4;

/// What the packets of a run cost, and what is asked.
struct Row {
    name: &'static str,
    ours: Score,
    /// What a constant delay of 15 ms conceals, %, known in hindsight.
    bound: f64,
}

impl Row {
    /// Measures, their figures and their limits.
    fn goals(&self) -> Vec<(&'static str, f64, f64)> {
        let (_, neteq_mean, _, _, neteq_concealed, _) =
            NETEQ.into_iter().find(|row| row.0 == self.name).expect("NetEq was measured on every profile");
        let [p99] = self.ours.quantiles([0.99]);
        let (mean, concealed) = (self.ours.mean(), self.ours.concealed());
        match self.name {
            // Concealed 0, to the three digits it is told in.
            "clean" | "lan" => vec![("mean", mean, 3.0), ("p99", p99, 5.0), ("concealed", concealed, 0.0005)],
            "inet" | "drift+100" | "drift-100" => {
                vec![
                    ("mean", mean, 11.0),
                    ("p99", p99, 20.0),
                    ("concealed", concealed, self.ours.wire() + 0.02),
                ]
            }
            "loss1" => vec![("mean", mean, 15.0), ("concealed", concealed, self.bound + 0.03)],
            "ge5" => vec![
                ("mean", mean, 15.0),
                ("concealed", concealed, neteq_concealed),
                ("concealed, against the bound", concealed, self.bound + 0.08),
            ],
            _ => vec![
                ("J", weighed(mean, concealed), weighed(neteq_mean, neteq_concealed)),
                ("dR", impairment(mean, concealed), impairment(neteq_mean, neteq_concealed)),
            ],
        }
    }
}

#[test]
fn ahead_of_neteq() {
    let voice = Voice::pcmu();
    let mut rows = Vec::new();
    let mut series: Vec<Vec<(f64, f64)>> = vec![Vec::new(); 5];
    let draw = std::env::var_os("JITTER_PARETO").is_some();
    println!(
        "{:10}|{:^31}|{:^18}|{:^15}|{:^15}| {:>7} {:>7} {:>6}",
        "", "added mean / p95 / p99 ms", "concealed % (wire)", "J", "dR", "gap %", "stretch", "late"
    );
    for (profile, neteq) in PROFILES.iter().zip(NETEQ) {
        assert_eq!(profile.name, neteq.0);
        let mut scores = vec![Score::default(); 5];
        for seed in 1..=profile.seeds {
            let trace = profile.trace(seed * 7_919);
            scores[0].add(&play::play(profile, &trace, &voice, JitterConfig::default()).score);
            scores[4].add(&others::fixed(profile, &trace, 15.0));
            if draw {
                scores[1].add(&others::fixed(profile, &trace, 40.0));
                scores[2].add(&others::fixed(profile, &trace, 60.0));
                scores[3].add(&others::asterisk(profile, &trace));
            }
        }
        let (mean, concealed) = (scores[0].mean(), scores[0].concealed());
        let [p95, p99] = scores[0].quantiles([0.95, 0.99]);
        println!(
            "{:10}|{mean:6.1} {p95:6.1} {p99:6.1}           |{concealed:7.3} ({:.3})   |{:7.1}        |{:7.2}        | {:7.3} {:7.3} {:6}",
            profile.name,
            scores[0].wire(),
            weighed(mean, concealed),
            impairment(mean, concealed),
            scores[0].gaps(),
            scores[0].stretched(),
            scores[0].discarded,
        );
        println!(
            "{:>10}|{:6.1} {:6.1} {:6.1}           |{:7.3} ({:.3})   |{:7.1}        |{:7.2}        |",
            "NetEq",
            neteq.1,
            neteq.2,
            neteq.3,
            neteq.4,
            neteq.5,
            weighed(neteq.1, neteq.4),
            impairment(neteq.1, neteq.4),
        );
        series[0].push((neteq.1, neteq.4));
        for (series, score) in series[1..].iter_mut().zip(&scores[..4]) {
            series.push((score.mean(), score.concealed()));
        }
        let bound = scores[4].concealed();
        rows.push(Row { name: profile.name, ours: scores.swap_remove(0), bound });
    }
    if draw {
        let legend = [
            ("NetEq", "#d62728"),
            ("ours", "#1f77b4"),
            ("fixed 40", "#bbbbbb"),
            ("fixed 60", "#777777"),
            ("Asterisk", "#ff9900"),
        ];
        let series: Vec<Series> = legend
            .into_iter()
            .zip(series)
            .map(|((name, colour), points)| Series { name, colour, points })
            .collect();
        let names: Vec<&str> = PROFILES.iter().map(|p| p.name).collect();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/jitter-pareto.svg");
        std::fs::write(path, picture(&names, &series)).expect("docs can be written to");
    }
    judge(&rows);
}

fn judge(rows: &[Row]) {
    let mut missed = Vec::new();
    for row in rows {
        for (measure, figure, limit) in row.goals() {
            if figure > limit {
                missed.push(format!("{} {measure}: {figure:.3} > {limit:.3}", row.name));
            }
        }
    }
    assert!(missed.is_empty(), "missed:\n{}", missed.join("\n"));
}

#[test]
fn in_band_fec_recovers_what_is_lost() {
    let voice = Voice::opus_with_fec();
    for (name, neteq_mean, neteq_concealed) in NETEQ_FEC {
        let profile = PROFILES.iter().find(|p| p.name == name).expect("it is one of them");
        let mut score = Score::default();
        for seed in 1..=FEC_SEEDS {
            let mut trace = profile.trace(seed * 7_919);
            // Packets of silence carry no copies.
            trace.iter_mut().for_each(|sent| sent.voiced = true);
            score.add(&play::play(profile, &trace, &voice, JitterConfig::default()).score);
        }
        let [p95, p99] = score.quantiles([0.95, 0.99]);
        let (mean, concealed) = (score.mean(), score.concealed());
        println!(
            "{name:6} with FEC: {mean:.1} {p95:.1} {p99:.1} ms, concealed {concealed:.3} % of {:.3} % lost, {:.3} % recovered; \
             NetEq {neteq_mean:.1} ms, {neteq_concealed:.3} %",
            score.wire(),
            score.recovered(),
        );
        if name == "loss1" {
            assert!(mean <= 42.0 && concealed <= 0.15, "{mean:.1} ms, {concealed:.3} %");
        }
        let (ours, neteq) = (weighed(mean, concealed), weighed(neteq_mean, neteq_concealed));
        assert!(ours <= neteq, "{name}: J {ours:.1}, NetEq {neteq:.1}");
    }
}
