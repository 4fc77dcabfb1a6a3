//! Goal B5: level within 0.3 dB, no direct current, and no more distortion than mu-law's own, through each chain.

use pipeline::g711::{self, Law};
use pipeline::{MediaEncoding, MediaFormat, ModelCodec, OpusConfig, Packet, SampleRate, Uplink};

use crate::measure::{RATES, bytes, convert, db, dc, distortion, fit, rms, samples, speech, tone};
use crate::road::{Arriving, decoded, down, heard, up};
use crate::sender::{Made, Sender};

/// What Opus itself makes of a tone, coded as speech (the uplink) and as anything (the stranger's encoder): it is a codec for speech
/// and no chain of ours can give it more.
const SPEECH_CODED: f64 = -30.0;
const TRANSFORM_CODED: f64 = -22.0;

const NARROW: SampleRate = SampleRate::Hz8000;

fn l16(rate: SampleRate) -> MediaFormat {
    MediaFormat { encoding: MediaEncoding::L16, rate }
}

/// A chain: what went in, and what came out, at one rate.
struct Passed {
    chain: String,
    rate: SampleRate,
    given: Vec<i16>,
    got: Vec<i16>,
}

/// Through every chain that exists. `sound` gives the signal at a rate.
fn through_all(sound: impl Fn(SampleRate) -> Vec<i16>) -> Vec<Passed> {
    let mut all = Vec::new();
    let mut add = |chain: String, rate, given: &[i16], got| {
        all.push(Passed { chain, rate, given: given.to_vec(), got });
    };
    let narrow = sound(NARROW);
    let coded = mulaw(&narrow);
    for (format, media) in [
        (MediaFormat::default(), coded.clone()),
        (l16(SampleRate::Hz16000), bytes(&sound(SampleRate::Hz16000))),
        (l16(SampleRate::Hz24000), bytes(&sound(SampleRate::Hz24000))),
    ] {
        let (rate, given) = (format.rate, sound(format.rate));
        let mut uplink = Uplink::new(format, ModelCodec::Opus, &OpusConfig::default()).unwrap();
        let packets = up(&mut uplink, format, &media);
        let got = decoded(packets.iter().map(Packet::payload), rate);
        add(format!("{format:?} → Opus"), rate, &given, got);

        let mut uplink = Uplink::new(format, ModelCodec::Pcmu, &OpusConfig::default()).unwrap();
        let packets = up(&mut uplink, format, &media);
        let sent: Vec<u8> = packets.iter().flat_map(Packet::payload).copied().collect();
        add(format!("{format:?} → G.711"), NARROW, &narrow, linear(&sent));

        for bitrate in [24_000, 32_000] {
            let wide = sound(SampleRate::Hz16000);
            let got = played(down(opus_packets(&wide, bitrate), format), format);
            add(format!("Opus at {bitrate} → {format:?}"), rate, &given, got);
        }
        let packets = coded.chunks_exact(160).enumerate().map(g711_packet).collect();
        add(format!("G.711 → {format:?}"), rate, &given, played(down(packets, format), format));
    }
    all
}

fn opus_packets(wide: &[i16], bitrate: u32) -> Vec<Arriving> {
    let mut sender = Sender::new(16_000, bitrate, Made::ForAnything);
    let n = sender.samples();
    let packet = |(i, pcm): (usize, &[i16])| Arriving {
        at_ms: i as f64 * 20.0,
        codec: ModelCodec::Opus,
        seq: i as u16,
        timestamp: i as u32 * 960,
        payload: sender.encode(pcm),
    };
    wide.chunks_exact(n).enumerate().map(packet).collect()
}

fn g711_packet((i, payload): (usize, &[u8])) -> Arriving {
    let (seq, timestamp) = (i as u16, i as u32 * 160);
    Arriving { at_ms: i as f64 * 20.0, codec: ModelCodec::Pcmu, seq, timestamp, payload: payload.to_vec() }
}

fn played(frames: Vec<(f64, pipeline::MediaFrame)>, format: MediaFormat) -> Vec<i16> {
    match format.encoding {
        MediaEncoding::Mulaw => heard(&frames),
        MediaEncoding::L16 => frames.iter().flat_map(|(_, frame)| samples(frame.payload())).collect(),
    }
}

fn mulaw(samples: &[i16]) -> Vec<u8> {
    let mut codes = vec![0; samples.len()];
    g711::encode(Law::Mu, samples, &mut codes);
    codes
}

fn linear(codes: &[u8]) -> Vec<i16> {
    let mut samples = vec![0; codes.len()];
    g711::decode(Law::Mu, codes, &mut samples);
    samples
}

#[test]
fn speech_keeps_its_level_and_gains_no_direct_current() {
    // From one narrow source, so that all rates carry the same and Opus has nothing to leave out.
    let narrow = speech(NARROW);
    for passed in
        through_all(|rate| if rate == NARROW { narrow.clone() } else { convert(&narrow, NARROW, rate) })
    {
        let Passed { chain, given, got, .. } = &passed;
        let power = |s: &[i16]| rms(s) * (s.len() as f64).sqrt();
        let (change, offset) = (db(power(got) / power(given)), dc(got) - dc(given));
        println!("{chain}: {change:+.2} dB, DC {offset:+.1e}");
        assert!(change.abs() <= 0.3, "{chain}: {change:+.2} dB");
        assert!(offset.abs() < 1e-3, "{chain}: {offset}");
    }
}

/// ITU-T O.132's tone: 1000 Hz would meet the same eight codes again and again.
const HZ: f64 = 1020.0;

#[test]
fn a_tone_is_distorted_no_more_than_by_mu_law() {
    let own = distortion(&linear(&mulaw(&tone(HZ, 8_000, 800))), HZ, 8_000);
    println!("mu-law alone: {own:.1} dB");
    for passed in through_all(|rate| tone(HZ, rate.hz(), 800)) {
        let Passed { chain, rate, got, .. } = &passed;
        let got = &got[..rate.samples(800).min(got.len())];
        let (amplitude, _) = fit(got, HZ, rate.hz());
        let distortion = distortion(got, HZ, rate.hz());
        println!("{chain}: {distortion:.1} dB, level {:+.2} dB", db(amplitude / crate::measure::TONE));
        let limit = if chain.ends_with("→ Opus") {
            SPEECH_CODED
        } else if chain.starts_with("Opus") {
            TRANSFORM_CODED
        } else {
            own + 1.0
        };
        assert!(distortion <= limit, "{chain}: {distortion:.1} dB, at most {limit:.1}");
    }
}

#[test]
fn all_rates_are_tried() {
    assert_eq!(through_all(|rate| vec![0; rate.samples(100)]).len(), RATES.len() * 5);
}
