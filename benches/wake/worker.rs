//! A real worker with many calls: how often it wakes, what it costs, and how old frames get.

use std::sync::Arc;
use std::time::Duration;

use crate::load::sleep_until;
use pipeline::g711::{self, Law};
use pipeline::opus::Encoder;
use pipeline::{
    AgeHistogram, CallConfig, MediaFrame, ModelCodec, OpusConfig, Packet, SampleRate, Silent, Workers,
    WorkersConfig, call, now,
};

#[path = "../signal/mod.rs"]
mod signal;

/// What is said, as media frames and as the model's packets.
struct Speech {
    said: Vec<[u8; 160]>,
    replies: Vec<Vec<u8>>,
}

impl Speech {
    fn new(codec: ModelCodec) -> Self {
        let mut encoder =
            Encoder::new(SampleRate::Hz8000, &OpusConfig::default()).expect("the defaults are valid");
        let (said, replies) = (0..400)
            .map(|frame| {
                let pcm = signal::speech(SampleRate::Hz8000, frame);
                let (mut codes, mut out) = ([0; 160], [0; 1275]);
                g711::encode(Law::Mu, &pcm, &mut codes);
                let n = encoder.encode(&pcm, &mut out).expect("20 ms is what it takes");
                (codes, if codec == ModelCodec::Opus { out[..n].to_vec() } else { codes.to_vec() })
            })
            .unzip();
        Self { said, replies }
    }
}

/// CPU time of the thread of this name, from the kernel's own account.
fn cpu_of(name: &str) -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let read = |task: &std::fs::DirEntry, file: &str| {
        std::fs::read_to_string(task.path().join(file)).unwrap_or_default()
    };
    let ns: u64 = tasks
        .flatten()
        .filter(|task| read(task, "comm").trim() == name)
        .filter_map(|task| read(&task, "schedstat").split(' ').next()?.parse::<u64>().ok())
        .sum();
    Duration::from_nanos(ns)
}

fn measure(pace: Duration, codec: ModelCodec, calls: usize, length: Duration) {
    let speech = Speech::new(codec);
    let workers = Workers::start(WorkersConfig {
        count: Some(1),
        pace,
        calls_per_worker: 512,
        ..WorkersConfig::default()
    })
    .expect("the machine has a core");
    let mut ports: Vec<_> = (0..calls)
        .map(|_| {
            let config = CallConfig { codec, ..CallConfig::default() };
            let (ports, slot) = call(config, Arc::new(Silent), Arc::new(Silent));
            workers.add(slot).expect("the table has room");
            ports
        })
        .collect();
    let begin = now().0 + 5_000_000;
    let mut before = (Duration::ZERO, 0, 0);
    let frames = (length.as_millis() as u64 / 20).max(3);
    // The first third settles the jitter buffers.
    for frame in 0..frames + frames / 2 {
        if frame == frames / 2 {
            before = (cpu_of("audio-0"), workers.load()[0].steps, now().0);
        }
        for slot in 0..40_u64 {
            sleep_until(begin + frame * 20_000_000 + slot * 500_000);
            for (i, ports) in ports.iter_mut().enumerate().skip(slot as usize).step_by(40) {
                let at = (frame as usize + i * 37) % speech.said.len();
                let _ = ports
                    .media
                    .push(&MediaFrame::new(now(), frame * 160, &speech.said[at]).expect("160 bytes fit"));
                let time = frame as u32 * (codec.rtp_clock() / 50);
                let packet = Packet::new(now(), codec, frame as u16, time, false, &speech.replies[at]);
                let _ = ports.model.push(&packet.expect("a packet fits"));
                while ports.media.pop().is_some() {}
                while ports.model.pop().is_some() {}
            }
        }
    }
    let seconds = (now().0 - before.2) as f64 / 1e9;
    let cpu = (cpu_of("audio-0") - before.0).as_secs_f64() / seconds * 100.0;
    let wakes = (workers.load()[0].steps - before.1) as f64 / seconds;
    let (up, down) = (AgeHistogram::new(), AgeHistogram::new());
    for ports in &ports {
        up.merge(&ports.control.stats().uplink_age);
        down.merge(&ports.control.stats().downlink_age);
    }
    let ages = |h: &AgeHistogram| {
        let ms = |q| h.percentile(q).as_secs_f64() * 1e3;
        format!("{:.2} / {:.2} ms", ms(0.5), ms(0.99))
    };
    println!(
        "| {pace:?} | {codec:?} | {calls} | {wakes:.0} | {:.1} | {:.3} | {} | {} |",
        wakes / calls as f64,
        cpu / calls as f64,
        ages(&up),
        ages(&down)
    );
    workers.shutdown();
}

pub fn measure_all(length: Duration) {
    for codec in [ModelCodec::Pcmu, ModelCodec::Opus] {
        for calls in [1, 10, 100, 300] {
            // 300 Opus calls are more than one core of this class takes.
            if codec == ModelCodec::Opus && calls > 100 {
                continue;
            }
            for pace in [0, 500, 1_000, 2_000].map(Duration::from_micros) {
                measure(pace, codec, calls, length);
            }
        }
    }
}
