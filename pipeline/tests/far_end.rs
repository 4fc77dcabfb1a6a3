//! What waits at the far end, in simulated time: the downlink, its ring, and a Twilio that plays first in, first out, 20 ms at a time on a grid
//! and a clock of its own, and never catches up.

#[allow(dead_code)] // other tests use the rest
mod profiles;

use std::collections::VecDeque;

use pipeline::ring::{DOWNLINK_IN_MS, DOWNLINK_OUT_MS, Reader, Writer, ring};
use pipeline::{
    CallStats, Clock, Downlink, FRAME_MS, JitterConfig, MediaFormat, MediaFrame, ModelCodec, Nanos, Packet,
};
use profiles::random::Random;
use profiles::voice::Voice;

const MS: u64 = 1_000_000;
const ORIGIN: u64 = 10_000 * MS;
/// The goal: never more than this at the far end, but for a while after a stall.
const DEPTH_MS: f64 = 60.0;

struct At(u64);

impl Clock for At {
    fn now(&self) -> Nanos {
        Nanos(self.0)
    }
}

/// Twilio: plays the oldest frame at each beat of its clock, or nothing.
struct Far {
    beat_ns: f64,
    next: f64,
    queued: u64,
    played: u64,
    dry: u64,
}

impl Far {
    fn new(phase_ms: f64, ppm: f64) -> Self {
        let beat_ns = f64::from(FRAME_MS) * 1e6 / (1.0 + ppm * 1e-6);
        Self { beat_ns, next: ORIGIN as f64 + phase_ms * 1e6, queued: 0, played: 0, dry: 0 }
    }

    fn run(&mut self, now: u64) {
        while self.next <= now as f64 {
            self.next += self.beat_ns;
            if self.queued > 0 {
                self.queued -= 1;
                self.played += 1;
            } else if self.played > 0 {
                self.dry += 1;
            }
        }
    }

    /// When all that is here will have been played.
    fn ends(&self) -> u64 {
        (self.next + self.queued as f64 * self.beat_ns) as u64
    }
}

struct Rig {
    downlink: Downlink,
    stats: CallStats,
    voice: Voice,
    model: Writer<Packet>,
    input: Reader<Packet>,
    output: Writer<MediaFrame>,
    media: Reader<MediaFrame>,
    far: Far,
    /// Packets on their way: when they come, and their number.
    network: VecDeque<(u64, u64)>,
    sent: u64,
    now: u64,
}

impl Rig {
    fn new(phase_ms: f64, ppm: f64) -> Self {
        let (model, input) = ring(DOWNLINK_IN_MS);
        let (output, media) = ring(DOWNLINK_OUT_MS);
        Self {
            downlink: Downlink::new(MediaFormat::default(), JitterConfig::default())
                .expect("8 kHz is decoded"),
            stats: CallStats::default(),
            voice: Voice::pcmu(),
            model,
            input,
            output,
            media,
            far: Far::new(phase_ms, ppm),
            network: VecDeque::new(),
            sent: 0,
            now: ORIGIN,
        }
    }

    /// One millisecond: `speaks`, and whether the network and the socket let anything through. Gives the depth, ms.
    fn step(&mut self, random: &mut Random, speaks: bool, network: bool, socket: bool) -> f64 {
        self.now += MS;
        if (self.now - ORIGIN) / (u64::from(FRAME_MS) * MS) > self.sent {
            let last = self.network.back().map_or(0, |sent| sent.0);
            let jitter = (random.gamma(2.0) * 1e6) as u64;
            self.network.push_back((last.max(self.now + 20 * MS + jitter), self.sent));
            self.sent += 1;
        }
        while network && self.network.front().is_some_and(|sent| sent.0 <= self.now) {
            let Some((_, n)) = self.network.pop_front() else { break };
            let payload = self.voice.payload(n, speaks);
            let packet =
                Packet::new(Nanos(self.now), ModelCodec::Pcmu, n as u16, n as u32 * 160, false, payload);
            let _ = self.model.push(&packet.expect("160 bytes fit"));
        }
        self.downlink.tick(&At(self.now), &mut self.input, &mut self.output, &self.stats);
        self.far.run(self.now);
        while socket && self.media.pop().is_some() {
            self.far.queued += 1;
        }
        if self.far.queued > 0 {
            self.downlink.set_far_end(Nanos(self.far.ends()));
        }
        (self.far.ends().saturating_sub(self.now)) as f64 / 1e6
    }
}

#[test]
fn after_any_stall_it_is_shallow_again_within_two_seconds_of_speech() {
    for seed in 1..=20_u64 {
        let mut random = Random::new(seed * 7_919);
        let stall_ms = 80 + random.below(221) as usize;
        for of_socket in [false, true] {
            let mut rig = Rig::new(seed as f64, 0.0);
            for _ in 0..5_000 {
                rig.step(&mut random, true, true, true);
            }
            for _ in 0..stall_ms {
                rig.step(&mut random, true, of_socket, !of_socket);
            }
            let mut last_deep = None;
            let mut deepest = 0.0_f64;
            for ms in 0..6_000 {
                let depth = rig.step(&mut random, true, true, true);
                deepest = deepest.max(depth);
                if depth > DEPTH_MS {
                    last_deep = Some(ms);
                }
            }
            assert!(
                last_deep.is_none_or(|ms| ms <= 2_000),
                "seed {seed}, {stall_ms} ms, of the socket: {of_socket}: {last_deep:?} {deepest}"
            );
            if of_socket && stall_ms > 120 {
                assert!(
                    deepest > DEPTH_MS,
                    "seed {seed}, {stall_ms} ms: there was something to take out: {deepest}"
                );
            }
            assert_eq!(rig.stats.late.get(), 0, "nothing that came is thrown away");
        }
    }
}

#[test]
fn an_hour_of_drift_never_makes_it_deep() {
    for (ppm, phase_ms, pauses) in
        [(-100.0, 3.0, true), (100.0, 11.0, true), (-100.0, 17.0, false), (100.0, 19.5, false)]
    {
        let mut random = Random::new(99);
        let mut rig = Rig::new(phase_ms, ppm);
        let mut deepest = 0.0_f64;
        let mut taken_out = 0;
        for ms in 0..3_600_000_u64 {
            let speaks = !pauses || ms % 3_000 < 2_500;
            deepest = deepest.max(rig.step(&mut random, speaks, true, true));
            taken_out = rig.sent.saturating_sub(rig.far.played + rig.far.queued);
        }
        assert!(deepest <= DEPTH_MS, "{ppm} ppm: {deepest}");
        // In unbroken speech 360 ms come too many, 18 frames; or are missing, and then nothing may be taken out that is needed.
        if !pauses && ppm < 0.0 {
            assert!((14..=24).contains(&taken_out), "{ppm} ppm: {taken_out} frames");
        } else if !pauses {
            assert!(taken_out <= 6 && rig.far.dry <= 30, "{ppm} ppm: {taken_out}, {}", rig.far.dry);
        }
    }
}
