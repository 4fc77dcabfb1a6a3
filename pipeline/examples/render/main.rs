//! Renders a recording through the real chains, so that the result can be scored against it (`perf/sound`).
//!
//! ```text
//! render IN.wav OUT.wav PATH [name=value …]
//! ```
//! The output is 8 kHz mono. Paths, and what they take:
//! - `mulaw`: encoded and decoded, nothing else: the ceiling of a telephone line;
//! - `down`: model to caller; `codec=opus|pcmu`, `bitrate`, `network` (a profile's name, or `none`), `seed`,
//!   `lead` (what the far end's player has in hand, ms);
//! - `up`: caller to model, decoded as the model would; `bitrate`, `complexity`, `fec=0|1`, `lowdelay=0|1`;
//! - `conceal`: packets of mu-law lost and concealed behind an ideal buffer; `loss=random|bursts` and `percent`, or the
//!   name of a network whose losses are taken; `seed`, `method=ours|silence|repeat`;
//! - `drift`: a clock that is off by `ppm`, put right by `method=rubato|silence|period|none` (see `drift.rs`).
//!
//! One line of JSON says what it cost.
#![allow(clippy::disallowed_macros, clippy::disallowed_methods)] // a tool beside the road, not on it

mod drift;
mod loss;
#[allow(dead_code)] // tests use the rest
#[path = "../../tests/profiles/mod.rs"]
mod profiles;
#[allow(dead_code)]
#[path = "../../tests/sound/road.rs"]
mod road;
#[path = "../../tests/sound/sender.rs"]
mod sender;

use std::time::Instant;

use pipeline::g711::{self, Law};
use pipeline::opus::Encoder;
use pipeline::{MediaFormat, ModelCodec, OpusConfig, SampleRate, Uplink};
use road::Arriving;
use sender::{Made, Sender};

/// `name=value` arguments.
pub struct Settings(Vec<(String, String)>);

impl Settings {
    fn text(&self, name: &str, default: &str) -> String {
        self.0.iter().find(|(n, _)| n == name).map_or(default, |(_, v)| v).to_owned()
    }

    fn number(&self, name: &str, default: f64) -> f64 {
        let text = self.text(name, &default.to_string());
        text.parse().unwrap_or_else(|_| panic!("{name}: not a number: {text}"))
    }
}

/// 8 kHz sound, or any of Opus' rates on the way down.
struct Recording {
    hz: u32,
    samples: Vec<i16>,
}

fn read(path: &str) -> Recording {
    let mut wav = hound::WavReader::open(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let spec = wav.spec();
    assert!(spec.channels == 1 && spec.bits_per_sample == 16, "{path}: mono of 16 bits is wanted");
    let samples = wav.samples::<i16>().map(|s| s.expect("a whole file")).collect();
    Recording { hz: spec.sample_rate, samples }
}

fn write(path: &str, samples: &[i16]) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(path, spec).unwrap_or_else(|e| panic!("{path}: {e}"));
    samples.iter().for_each(|s| wav.write_sample(*s).expect("the disk takes it"));
    wav.finalize().expect("the disk takes it");
}

/// Mu-law bytes of whole 20 ms.
pub fn mulaw(samples: &[i16]) -> Vec<u8> {
    let mut bytes = vec![g711::MULAW_SILENCE; samples.len().next_multiple_of(160)];
    g711::encode(Law::Mu, samples, &mut bytes);
    bytes
}

/// Samples of mu-law bytes.
pub fn linear(bytes: &[u8]) -> Vec<i16> {
    let mut samples = vec![0; bytes.len()];
    g711::decode(Law::Mu, bytes, &mut samples);
    samples
}

fn at_8k(recording: &Recording) -> &[i16] {
    assert_eq!(recording.hz, 8_000, "this path takes 8 kHz");
    &recording.samples
}

/// When each of so many packets arrives behind a network, ms after the first was sent; `None`: lost.
fn arrivals(network: &str, packets: usize, seed: u64) -> Option<Vec<Option<f64>>> {
    let mut profile = *profiles::PROFILES.iter().find(|p| p.name == network)?;
    profile.seconds = (packets as u64).div_ceil(50);
    Some(profile.trace(seed).iter().map(|sent| sent.arrival).collect())
}

fn down(recording: &Recording, settings: &Settings) -> Vec<i16> {
    let payloads: Vec<Vec<u8>> = match settings.text("codec", "opus").as_str() {
        "opus" => {
            let mut sender =
                Sender::new(recording.hz, settings.number("bitrate", 24_000.0) as u32, Made::ForSpeech);
            let mut padded = recording.samples.clone();
            padded.resize(padded.len().next_multiple_of(sender.samples()), 0);
            padded.chunks_exact(sender.samples()).map(|pcm| sender.encode(pcm)).collect()
        }
        "pcmu" => mulaw(at_8k(recording)).chunks_exact(160).map(<[u8]>::to_vec).collect(),
        other => panic!("codec: opus or pcmu, not {other}"),
    };
    let codec = if settings.text("codec", "opus") == "opus" { ModelCodec::Opus } else { ModelCodec::Pcmu };
    let name = settings.text("network", "none");
    let arrivals: Vec<Option<f64>> = if name == "none" {
        (0..payloads.len()).map(|i| Some(i as f64 * 20.0)).collect()
    } else {
        let seed = settings.number("seed", 1.0) as u64;
        arrivals(&name, payloads.len(), seed).unwrap_or_else(|| panic!("network: no profile {name}"))
    };
    let step = codec.rtp_clock() / 50;
    let packets = payloads.into_iter().zip(arrivals).enumerate().filter_map(|(i, (payload, arrival))| {
        let (seq, timestamp) = (i as u16, (i as u32).wrapping_mul(step));
        Some(Arriving { at_ms: arrival?, codec, seq, timestamp, payload })
    });
    let mut frames = road::down(packets.collect(), MediaFormat::default());
    // The far end's player begins so much after the first frame has come: later ones may then be late by that without a hole.
    let lead = settings.number("lead", 0.0);
    if let Some((at, _)) = frames.first_mut() {
        *at += lead;
    }
    road::heard(&frames)
}

fn up(recording: &Recording, settings: &Settings) -> Vec<i16> {
    let config = OpusConfig {
        bitrate: settings.number("bitrate", f64::from(OpusConfig::default().bitrate)) as u32,
        complexity: settings.number("complexity", f64::from(OpusConfig::default().complexity)) as u8,
        fec: settings.number("fec", f64::from(u8::from(OpusConfig::default().fec))) != 0.0,
        low_delay: settings.number("lowdelay", f64::from(u8::from(OpusConfig::default().low_delay))) != 0.0,
        ..OpusConfig::default()
    };
    let media = mulaw(at_8k(recording));
    let format = MediaFormat::default();
    let mut uplink = Uplink::new(format, ModelCodec::Opus, &config).expect("libopus takes our rates");
    let packets = road::up(&mut uplink, format, &media);

    // The encoder alone, for its cost.
    let mut encoder = Encoder::new(SampleRate::Hz8000, &config).expect("libopus takes our rates");
    let mut out = [0; 1275];
    let mut costs: Vec<f64> = linear(&media)
        .chunks_exact(160)
        .map(|pcm| {
            let begun = Instant::now();
            encoder.encode(pcm, &mut out).expect("20 ms of sound");
            begun.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    costs.sort_by(f64::total_cmp);
    let bytes: usize = packets.iter().map(|p| p.payload().len()).sum();
    println!(
        "{{\"encode_us_median\": {:.1}, \"bits_a_second\": {:.0}, \"lookahead\": {}}}",
        costs[costs.len() / 2],
        bytes as f64 * 400.0 / packets.len() as f64,
        encoder.lookahead(),
    );
    road::decoded(packets.iter().map(pipeline::Packet::payload), SampleRate::Hz8000)
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| arguments.next().unwrap_or_else(|| panic!("{what} is missing"));
    let (input, output, path) = (next("IN.wav"), next("OUT.wav"), next("PATH"));
    let settings = Settings(
        arguments
            .map(|a| {
                let (name, value) = a.split_once('=').unwrap_or_else(|| panic!("{a}: name=value is wanted"));
                (name.to_owned(), value.to_owned())
            })
            .collect(),
    );
    let recording = read(&input);
    let samples = match path.as_str() {
        "mulaw" => linear(&mulaw(at_8k(&recording))),
        "down" => down(&recording, &settings),
        "up" => up(&recording, &settings),
        "conceal" => loss::render(at_8k(&recording), &settings),
        "drift" => drift::render(at_8k(&recording), &settings),
        other => panic!("PATH: mulaw, down, up, conceal or drift, not {other}"),
    };
    write(&output, &samples);
}
