//! Minutes of impaired audio through both chains without one allocation.
//!
//! The whole test binary allocates through the guard; ticks run inside it, on a simulated clock. `pipeline`'s own
//! guard also covers the real threads of the last test whenever debug assertions are on.

use std::alloc::System;
use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pipeline::opus::Encoder;
use pipeline::{
    Bell, CallConfig, CallPorts, Clock, Command, GuardedAllocator, MediaEncoding, MediaFormat, MediaFrame,
    ModelCodec, Nanos, OpusConfig, Packet, SampleRate, Silent, Worker, Workers, WorkersConfig, call,
    forbid_alloc_always, now, violations,
};

#[global_allocator]
static ALLOCATOR: GuardedAllocator<System> = GuardedAllocator::counting(System);

/// The count is the process's, so the tests take turns.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Simulated(Cell<u64>);

impl Clock for Simulated {
    fn now(&self) -> Nanos {
        Nanos(self.0.get())
    }
}

/// Seeded noise for networks.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % n
    }
}

/// Something like speech: a chirping tone in syllables, with pauses.
fn speech(samples: &mut [i16], rate: SampleRate, from: u64) {
    for (i, sample) in samples.iter_mut().enumerate() {
        let t = (from + i as u64) as f32 / rate.hz() as f32;
        let envelope = if t % 4.0 > 3.0 { 0.0 } else { (t * 12.0).sin().abs() };
        let tone = (t * 900.0 + (t * 7.0).sin() * 20.0).sin() + 0.4 * (t * 4_100.0).sin();
        *sample = (tone * envelope * 7_000.0) as i16;
    }
}

/// What the model sends: encoded ahead, because its encoder may allocate.
fn replies(codec: ModelCodec, packets: usize) -> Vec<Vec<u8>> {
    let rate = SampleRate::Hz8000;
    let config = OpusConfig { expected_loss_percent: 20, ..OpusConfig::default() };
    let mut encoder = Encoder::new(rate, &config).unwrap();
    let (mut pcm, mut out) = ([0; 160], [0; 1275]);
    (0..packets as u64)
        .map(|i| {
            speech(&mut pcm, rate, i * 160);
            match codec {
                ModelCodec::Opus => {
                    let n = encoder.encode(&pcm, &mut out).unwrap();
                    out[..n].to_vec()
                }
                ModelCodec::Pcmu | ModelCodec::Pcma => {
                    let law = if codec == ModelCodec::Pcmu {
                        pipeline::g711::Law::Mu
                    } else {
                        pipeline::g711::Law::A
                    };
                    pipeline::g711::encode(law, &pcm, &mut out);
                    out[..160].to_vec()
                }
            }
        })
        .collect()
}

/// One call for `seconds`: the caller's frames in bursts, with gaps, duplicates and odd lengths; the model's packets
/// lost, late, overtaken, doubled, malformed, of mixed codecs; flushes, codec changes, slow readers.
/// Gives what was concealed, recovered and flushed away, so that the run can be seen to have been as rough as meant.
fn rough_call(seed: u64, media: MediaFormat, codec: ModelCodec, seconds: u64) -> (u64, u64, u64) {
    let clock = Simulated(Cell::new(1_000_000_000));
    let mut random = Random(seed);
    let mut worker = Worker::alone(2);
    let (ports, slot) =
        call(CallConfig { media, codec, ..CallConfig::default() }, Arc::new(Silent), Arc::new(Silent));
    worker.add(slot).unwrap();
    let CallPorts { media: mut phone, model: mut peer, control } = ports;
    let sent = replies(codec, 500);
    let other = replies(ModelCodec::Pcma, 50);
    let mut network: BinaryHeap<Reverse<(u64, u16)>> = BinaryHeap::new();
    let mut generation = 0;
    let mut pcm = vec![0; media.rate.samples(20)];
    let mut bytes = vec![0; media.frame_bytes()];

    for i in 0..seconds * 50 {
        // The caller: 20 ms each, now and then late and then all at once, or missing, or twice.
        let time = i * pcm.len() as u64;
        if i % 40 >= 5 && i % 97 != 0 {
            let burst = if i % 40 == 5 { 6 } else { 1 };
            for back in (0..burst).rev() {
                let time = time - back * pcm.len() as u64;
                speech(&mut pcm, media.rate, time);
                match media.encoding {
                    MediaEncoding::Mulaw => pipeline::g711::encode(pipeline::g711::Law::Mu, &pcm, &mut bytes),
                    MediaEncoding::L16 => {
                        bytes
                            .chunks_exact_mut(2)
                            .zip(&pcm)
                            .for_each(|(b, s)| b.copy_from_slice(&s.to_le_bytes()));
                    }
                }
                let cut = if i % 31 == 0 { bytes.len() / 2 } else { bytes.len() };
                let _ = phone.push(&MediaFrame::new(clock.now(), time, &bytes[..cut]).unwrap());
                if i % 53 == 0 {
                    let _ = phone.push(&MediaFrame::new(clock.now(), time, &bytes).unwrap());
                }
            }
        }
        // The model: speaks six seconds of seven.
        if i % 350 < 300 && random.below(100) >= 3 {
            let late = if random.below(50) == 0 {
                25_000_000 + random.below(20_000_000)
            } else {
                random.below(6_000_000)
            };
            network.push(Reverse((clock.0.get() + late, i as u16)));
        }
        if i % 400 == 399 {
            generation += 1;
            control.send(Command::Flush { generation }).unwrap();
        }
        if i % 400 == 20 {
            control.send(Command::OpenDownlink).unwrap();
        }
        if i % 600 == 500 {
            control.send(Command::SetCodec(ModelCodec::Pcmu)).unwrap();
            control.send(Command::SetCodec(codec)).unwrap();
        }
        // Time passes in steps of 2 ms; arrivals and ticks fall where they fall.
        for _ in 0..10 {
            clock.0.set(clock.0.get() + 2_000_000);
            while let Some(Reverse((_, seq))) =
                network.peek().copied().filter(|Reverse((at, _))| *at <= clock.0.get())
            {
                network.pop();
                let (its_codec, payload) = match seq % 100 {
                    70..73 => (ModelCodec::Pcma, &other[usize::from(seq % 50)]),
                    _ => (codec, &sent[usize::from(seq) % sent.len()]),
                };
                let step = its_codec.rtp_clock() / 50;
                let payload = if seq % 211 == 0 { &payload[..payload.len() / 3] } else { payload };
                let packet = Packet::new(
                    clock.now(),
                    its_codec,
                    seq,
                    u32::from(seq).wrapping_mul(step),
                    false,
                    payload,
                );
                let _ = peer.push(&packet.unwrap());
                if seq % 61 == 0 {
                    let _ = peer.push(&packet.unwrap());
                }
            }
            forbid_alloc_always(|| worker.tick(&clock));
            // The readers are slow for a second in ten.
            if i % 500 >= 50 {
                while phone.pop().is_some() {}
                while peer.pop().is_some() {}
            }
        }
    }
    let stats = control.stats();
    assert!(stats.frames_out.get() > seconds * 20 && stats.packets_out.get() > seconds * 35, "{stats:?}");
    assert!(stats.muted.get() > 0 && stats.duplicate.get() > 0 && stats.uplink_gaps.get() > 0, "{stats:?}");
    (stats.concealed.get(), stats.fec.get(), stats.reordered.get() + stats.late.get())
}

#[test]
fn impaired_audio_allocates_nothing() {
    let _turn = turn();
    let wide = |rate| MediaFormat { encoding: MediaEncoding::L16, rate };
    let before = violations();
    for (seed, media, codec) in [
        (1, MediaFormat::default(), ModelCodec::Opus),
        (2, MediaFormat::default(), ModelCodec::Pcmu),
        (3, MediaFormat::default(), ModelCodec::Pcma),
        (4, wide(SampleRate::Hz16000), ModelCodec::Opus),
        (5, wide(SampleRate::Hz16000), ModelCodec::Pcmu),
        (6, wide(SampleRate::Hz24000), ModelCodec::Opus),
        (7, wide(SampleRate::Hz24000), ModelCodec::Pcma),
        (8, wide(SampleRate::Hz8000), ModelCodec::Opus),
    ] {
        let (concealed, fec, disordered) = rough_call(seed, media, codec, 120);
        assert!(concealed > 20 && disordered > 20, "{media:?} {codec:?}: {concealed} {disordered}");
        assert!(codec != ModelCodec::Opus || fec > 20, "{fec}");
        assert_eq!(violations(), before, "{media:?} {codec:?} allocated in a tick");
    }
}

#[test]
fn the_guard_notices_one_allocation() {
    let _turn = turn();
    let before = violations();
    let kept = forbid_alloc_always(|| std::hint::black_box(Box::new(7_u8)));
    assert_eq!(violations(), before + 1, "an allocation");
    forbid_alloc_always(|| drop(kept));
    assert_eq!(violations(), before + 2, "a free");
    drop(std::hint::black_box(Box::new(7_u8)));
    assert_eq!(violations(), before + 2, "outside it is allowed");
}

/// A bell that does what no bell may.
struct Allocating;

impl Bell for Allocating {
    fn ring(&self) {
        drop(std::hint::black_box(Box::new(7_u8)));
    }
}

#[test]
fn one_allocation_inside_a_worker_is_caught() {
    let _turn = turn();
    let clock = Simulated(Cell::new(1_000_000_000));
    let mut worker = Worker::alone(1);
    let config = CallConfig { codec: ModelCodec::Pcmu, ..CallConfig::default() };
    let (mut ports, slot) = call(config, Arc::new(Silent), Arc::new(Allocating));
    worker.add(slot).unwrap();
    let before = violations();
    forbid_alloc_always(|| worker.tick(&clock));
    assert_eq!(violations(), before, "nothing was sent, so nothing rang");
    ports.media.push(&MediaFrame::new(clock.now(), 0, &[0x31; 160]).unwrap()).unwrap();
    forbid_alloc_always(|| worker.tick(&clock));
    assert_eq!(violations(), before + 2, "one allocation and its free");
}

#[test]
fn real_threads_allocate_nothing_while_calls_come_and_go() {
    let _turn = turn();
    let before = violations();
    let workers = Workers::start(WorkersConfig { priority: false, ..WorkersConfig::default() }).unwrap();
    let mut calls = Vec::new();
    for i in 0..60_u64 {
        let (ports, slot) = call(CallConfig::default(), Arc::new(Silent), Arc::new(Silent));
        workers.add(slot).unwrap();
        calls.push(ports);
        for ports in &mut calls {
            let _ = ports.media.push(&MediaFrame::new(now(), i * 160, &[0x31; 160]).unwrap());
            let payload = [0b0000_1000, 1, 2, 3, 4, 5, 6, 7];
            let packet = Packet::new(now(), ModelCodec::Opus, i as u16, i as u32 * 960, false, &payload);
            let _ = ports.model.push(&packet.unwrap());
            while ports.media.pop().is_some() {}
            while ports.model.pop().is_some() {}
        }
        if calls.len() > 8 {
            let gone = calls.remove(0);
            gone.control.send(Command::Stop).unwrap();
        }
        // Real time has to pass for the real threads to work in.
        std::thread::sleep(Duration::from_millis(10));
    }
    workers.shutdown();
    assert_eq!(violations(), before);
}
