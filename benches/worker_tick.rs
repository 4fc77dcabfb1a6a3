//! One worker's CPU for 20 ms of audio of many calls, both ways, arrivals spread over the 20 ms as in life.
//!
//! Figures to reach: 100 Opus calls within 12 ms, 100 G.711 calls within 1 ms. What is measured is this thread's CPU
//! time, so a busy machine spoils caches but does not add its neighbours' time.

use std::cell::Cell;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pipeline::g711::{self, Law};
use pipeline::opus::Encoder;
use pipeline::{
    CallConfig, CallPorts, Clock, MediaFrame, ModelCodec, Nanos, OpusConfig, Packet, SampleRate, Silent,
    Worker, call,
};

#[path = "signal/mod.rs"]
mod signal;

struct Simulated(Cell<u64>);

impl Clock for Simulated {
    fn now(&self) -> Nanos {
        Nanos(self.0.get())
    }
}

/// Calls on a worker, and what is said in them.
struct Load {
    worker: Worker,
    ports: Vec<CallPorts>,
    clock: Simulated,
    frame: u64,
    codec: ModelCodec,
    said: Vec<[u8; 160]>,
    replies: Vec<Vec<u8>>,
}

impl Load {
    fn new(calls: usize, codec: ModelCodec) -> Self {
        let mut worker = Worker::alone(calls);
        let ports = (0..calls)
            .map(|_| {
                let config = CallConfig { codec, ..CallConfig::default() };
                let (ports, slot) = call(config, Arc::new(Silent), Arc::new(Silent));
                worker.add(slot).expect("the table has room for each");
                ports
            })
            .collect();
        let rate = SampleRate::Hz8000;
        let mut encoder = Encoder::new(rate, &OpusConfig::default()).expect("the defaults are valid");
        let (mut said, mut replies) = (Vec::new(), Vec::new());
        for frame in 0..400 {
            let pcm = signal::speech(rate, frame);
            let mut codes = [0; 160];
            g711::encode(Law::Mu, &pcm, &mut codes);
            said.push(codes);
            let mut out = [0; 1275];
            let n = encoder.encode(&pcm, &mut out).expect("20 ms is what it takes");
            replies.push(if codec == ModelCodec::Opus { out[..n].to_vec() } else { codes.to_vec() });
        }
        Self { worker, ports, clock: Simulated(Cell::new(1_000_000_000)), frame: 0, codec, said, replies }
    }

    /// 20 ms of every call: each millisecond a twentieth of the calls gets its frame and its packet.
    fn frame(&mut self) -> u64 {
        let mut out = 0;
        let step = self.codec.rtp_clock() / 50;
        for ms in 0..20 {
            for call in (ms..self.ports.len()).step_by(20) {
                // Each call says something else.
                let at = (self.frame as usize + call * 37) % self.said.len();
                let frame = MediaFrame::new(self.clock.now(), self.frame * 160, &self.said[at]);
                let _ = self.ports[call].media.push(&frame.expect("160 bytes fit"));
                let packet = Packet::new(
                    self.clock.now(),
                    self.codec,
                    self.frame as u16,
                    self.frame as u32 * step,
                    false,
                    &self.replies[at],
                );
                let _ = self.ports[call].model.push(&packet.expect("a packet fits"));
            }
            self.worker.tick(&self.clock);
            self.clock.0.set(self.clock.0.get() + 1_000_000);
            for call in (ms..self.ports.len()).step_by(20) {
                out += u64::from(self.ports[call].model.pop().is_some());
                out += u64::from(self.ports[call].media.pop().is_some());
            }
        }
        self.frame += 1;
        out
    }
}

/// CPU time of this thread so far.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes a timespec to where the pointer says.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn worker_tick(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("worker_20ms");
    group.sample_size(20).measurement_time(Duration::from_secs(4));
    for (name, codec) in [("opus", ModelCodec::Opus), ("g711", ModelCodec::Pcmu)] {
        for calls in [1, 10, 100, 300] {
            let mut load = Load::new(calls, codec);
            // The first seconds settle the jitter buffers and warm the caches.
            let out: u64 = (0..100).map(|_| load.frame()).sum();
            assert!(out as usize >= 195 * calls, "{name}: both directions flow: {out} of {}", 200 * calls);
            group.throughput(Throughput::Elements(calls as u64));
            group.bench_with_input(BenchmarkId::new(name, calls), &calls, |bencher, _| {
                bencher.iter_custom(|rounds| {
                    let began = cpu_time();
                    for _ in 0..rounds {
                        black_box(load.frame());
                    }
                    cpu_time() - began
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, worker_tick);
criterion_main!(benches);
