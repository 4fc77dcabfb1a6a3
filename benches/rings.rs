//! Rings, and how long a sleeping audio thread takes to answer.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, clippy::disallowed_types)] // the network side waits

use std::hint::black_box;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use pipeline::ring::{UPLINK_IN_MS, ring};
use pipeline::{Bell, CallConfig, MediaFrame, ModelCodec, Packet, Silent, Workers, WorkersConfig, call, now};

fn rings(criterion: &mut Criterion) {
    let frame = MediaFrame::new(now(), 0, &[0x55; 160]).expect("160 bytes fit");
    let (mut writer, mut reader) = ring(UPLINK_IN_MS);
    let mut popped = MediaFrame::default();
    criterion.bench_function("ring/media_frame", |b| {
        b.iter(|| {
            let _ = writer.push(black_box(&frame));
            reader.pop_into(black_box(&mut popped))
        });
    });
    let packet = Packet::new(now(), ModelCodec::Opus, 0, 0, false, &[0x55; 80]).expect("80 bytes fit");
    let (mut writer, mut reader) = ring(UPLINK_IN_MS);
    let mut popped = Packet::default();
    criterion.bench_function("ring/packet", |b| {
        b.iter(|| {
            let _ = writer.push(black_box(&packet));
            reader.pop_into(black_box(&mut popped))
        });
    });
}

/// Tells a thread that waits in a channel: what a bell of tokio's does, without tokio.
struct Tell(mpsc::SyncSender<()>);

impl Bell for Tell {
    fn ring(&self) {
        let _ = self.0.try_send(());
    }
}

/// Push a frame, sleep until the packet is there: a wake of the audio thread, G.711's work, and a wake of this one.
fn wake(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wake");
    group.sample_size(20).measurement_time(Duration::from_secs(4));
    for (name, spin) in [("parked", Duration::ZERO), ("spin_200us", Duration::from_micros(200))] {
        let config = WorkersConfig { count: Some(1), spin, ..WorkersConfig::default() };
        let workers = Workers::start(config).expect("the machine has a core");
        let (tell, told) = mpsc::sync_channel(1);
        let config = CallConfig { codec: ModelCodec::Pcmu, ..CallConfig::default() };
        let (mut ports, slot) = call(config, Arc::new(Silent), Arc::new(Tell(tell)));
        workers.add(slot).expect("the table is empty");
        let mut time = 0;
        group.bench_function(name, |b| {
            b.iter_custom(|rounds| {
                let mut total = Duration::ZERO;
                for _ in 0..rounds {
                    // The pace of a burst is limited; this keeps below the limit, as a call does.
                    std::thread::sleep(Duration::from_millis(5));
                    let begin = Instant::now();
                    let frame = MediaFrame::new(now(), time, &[0x55; 160]).expect("160 bytes fit");
                    time += 160;
                    let _ = ports.media.push(&frame);
                    while ports.model.pop().is_none() {
                        let _ = told.recv_timeout(Duration::from_millis(100));
                    }
                    total += begin.elapsed();
                }
                total
            });
        });
        let age = ports.control.stats();
        println!("wake/{name}: age of a frame in the audio thread {:?}", age.uplink_age);
        workers.shutdown();
    }
    group.finish();
}

criterion_group!(benches, rings, wake);
criterion_main!(benches);
