//! Each stage of the audio path alone, 20 ms at a time.
#![allow(clippy::disallowed_macros)] // text for people, off the audio road

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use pipeline::conceal::PitchRepeater;
use pipeline::delay::DelayEstimator;
use pipeline::g711::{self, Law};
use pipeline::jitter::JitterBuffer;
use pipeline::opus::{Decoder, Encoder};
use pipeline::resample::Resampler;
use pipeline::{
    CallStats, Downlink, JitterConfig, MediaFormat, MediaFrame, ModelCodec, Nanos, OpusConfig, Packet,
    SampleRate, Ticks, Uplink,
};

#[path = "signal/mod.rs"]
mod signal;

const UTTERANCE: u64 = 400;

fn utterance(rate: SampleRate) -> Vec<Vec<i16>> {
    (0..UTTERANCE).map(|frame| signal::speech(rate, frame)).collect()
}

fn encoded(rate: SampleRate, config: &OpusConfig) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(rate, config).expect("the configuration is valid");
    let mut out = [0; 1275];
    utterance(rate)
        .iter()
        .map(|pcm| {
            let n = encoder.encode(pcm, &mut out).expect("20 ms is what it takes");
            out[..n].to_vec()
        })
        .collect()
}

fn g711_stages(criterion: &mut Criterion) {
    let pcm = signal::speech(SampleRate::Hz8000, 3);
    let (mut codes, mut back) = ([0; 160], [0; 160]);
    criterion.bench_function("g711/encode", |b| {
        b.iter(|| g711::encode(Law::Mu, black_box(&pcm), &mut codes));
    });
    criterion.bench_function("g711/decode", |b| {
        b.iter(|| g711::decode(Law::Mu, black_box(&codes), &mut back));
    });
    criterion.bench_function("g711/conceal_one_loss", |b| {
        let mut repeater = PitchRepeater::default();
        b.iter(|| {
            repeater.conceal(&mut back);
            repeater.pass(&mut pcm.clone());
        });
    });
}

fn opus_stages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("opus");
    group.sample_size(50).measurement_time(Duration::from_secs(3));
    for rate in [SampleRate::Hz8000, SampleRate::Hz16000, SampleRate::Hz24000] {
        let frames = utterance(rate);
        for complexity in [0, 1, 2, 5] {
            let config = OpusConfig { complexity, ..OpusConfig::default() };
            let mut encoder = Encoder::new(rate, &config).expect("the configuration is valid");
            let (mut out, mut at) = ([0; 1275], 0);
            group.bench_function(format!("encode/{}hz/complexity{complexity}", rate.hz()), |b| {
                b.iter(|| {
                    at = (at + 1) % frames.len();
                    encoder.encode(&frames[at], &mut out)
                });
            });
        }
        let packets = encoded(rate, &OpusConfig::default());
        let mut decoder = Decoder::new(rate).expect("the rate is one of ours");
        let (mut pcm, mut at) = (vec![0; rate.samples(20)], 0);
        group.bench_function(format!("decode/{}hz", rate.hz()), |b| {
            b.iter(|| {
                at = (at + 1) % packets.len();
                decoder.decode(&packets[at], &mut pcm)
            });
        });
        group.bench_function(format!("conceal/{}hz", rate.hz()), |b| b.iter(|| decoder.conceal(&mut pcm)));
    }
    // What a full-band sender costs: encoded at 24 kHz, decoded straight to 8 kHz.
    let packets = encoded(SampleRate::Hz24000, &OpusConfig { bitrate: 32_000, ..OpusConfig::default() });
    let mut decoder = Decoder::new(SampleRate::Hz8000).expect("the rate is one of ours");
    let (mut pcm, mut at) = ([0; 160], 0);
    group.bench_function("decode/24000hz_to_8000hz", |b| {
        b.iter(|| {
            at = (at + 1) % packets.len();
            decoder.decode(&packets[at], &mut pcm)
        });
    });
    group.finish();
}

fn resample_stages(criterion: &mut Criterion) {
    for (from, to) in [
        (SampleRate::Hz16000, SampleRate::Hz8000),
        (SampleRate::Hz24000, SampleRate::Hz8000),
        (SampleRate::Hz8000, SampleRate::Hz16000),
        (SampleRate::Hz8000, SampleRate::Hz24000),
    ] {
        let mut resampler = Resampler::new(from, to).expect("both rates are ours");
        let pcm = signal::speech(from, 3);
        let mut out = vec![0; resampler.block_out()];
        criterion.bench_function(&format!("resample/{}_to_{}", from.hz(), to.hz()), |b| {
            b.iter(|| resampler.process(black_box(&pcm), &mut out));
        });
    }
}

fn jitter_stages(criterion: &mut Criterion) {
    let mut seed = 1_u64;
    let mut jitter = move || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) % 5_000_000
    };
    let mut estimator = DelayEstimator::new(Duration::from_millis(10), Duration::from_millis(300));
    criterion.bench_function("jitter/delay_estimate", |b| {
        b.iter(|| {
            estimator.handle_arrival(jitter() as i64, Ticks::from_millis(20));
            estimator.target()
        });
    });
    let mut buffer = JitterBuffer::new(JitterConfig::default());
    let mut i = 0_u64;
    criterion.bench_function("jitter/packet_in_and_out", |b| {
        b.iter(|| {
            let at = Nanos(1_000_000_000 + i * 20_000_000 + jitter());
            let packet = Packet::new(at, ModelCodec::Pcmu, i as u16, i as u32 * 160, false, &[0x11; 160])
                .expect("160 bytes fit");
            buffer.handle_packet(&packet);
            i += 1;
            let mut played = 0;
            while buffer.poll(Nanos(1_000_000_000 + i * 20_000_000), true).is_some() {
                played += 1;
            }
            played
        });
    });
}

/// Each direction whole, from a frame to a packet and back, without rings or threads.
fn chains(criterion: &mut Criterion) {
    let stats = CallStats::default();
    let (frames, format) = (utterance(SampleRate::Hz8000), MediaFormat::default());
    let said: Vec<[u8; 160]> = frames
        .iter()
        .map(|pcm| {
            let mut codes = [0; 160];
            g711::encode(Law::Mu, pcm, &mut codes);
            codes
        })
        .collect();
    let opus = encoded(SampleRate::Hz8000, &OpusConfig::default());
    for (name, codec) in [("opus", ModelCodec::Opus), ("pcmu", ModelCodec::Pcmu)] {
        let mut uplink = Uplink::new(format, codec, &OpusConfig::default()).expect("the defaults are valid");
        let mut i = 0_u64;
        criterion.bench_function(&format!("chain/uplink/{name}"), |b| {
            b.iter(|| {
                let frame = MediaFrame::new(Nanos(i * 20_000_000), i * 160, &said[i as usize % said.len()]);
                i += 1;
                let mut bytes = 0;
                uplink.handle_frame(&frame.expect("160 bytes fit"), &stats, |p| bytes = p.payload().len());
                bytes
            });
        });
        let mut downlink = Downlink::new(format, JitterConfig::default()).expect("the rate is one of ours");
        let mut i = 0_u64;
        criterion.bench_function(&format!("chain/downlink/{name}"), |b| {
            b.iter(|| {
                let at = Nanos(1_000_000_000 + i * 20_000_000);
                let payload = match codec {
                    ModelCodec::Opus => &opus[i as usize % opus.len()][..],
                    _ => &said[i as usize % said.len()][..],
                };
                let time = i as u32 * (codec.rtp_clock() / 50);
                let packet = Packet::new(at, codec, i as u16, time, false, payload).expect("it fits");
                downlink.handle_packet(&packet, &stats);
                i += 1;
                downlink.poll(at + Duration::from_millis(15), &stats).map(|(frame, _)| frame.due)
            });
        });
    }
}

criterion_group!(benches, g711_stages, opus_stages, resample_stages, jitter_stages, chains);
criterion_main!(benches);
