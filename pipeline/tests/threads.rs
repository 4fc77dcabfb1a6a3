//! Real audio threads, twenty calls, and two threads that play the network: every frame arrives, in order and in time.
#![allow(clippy::disallowed_methods)] // the network side may wait

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pipeline::{
    Bell, CallConfig, CallPorts, Command, MediaFrame, ModelCodec, Monotonic, Nanos, Packet, StartError,
    Workers, WorkersConfig, call, cores, now,
};

const CALLS: usize = 20;
const FRAMES: u64 = 150;

#[derive(Default)]
struct Count(AtomicU64);

impl Bell for Count {
    fn ring(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn config() -> CallConfig {
    CallConfig { codec: ModelCodec::Pcmu, ..CallConfig::default() }
}

/// Loud mu-law that carries its number where concealment's blending does not reach.
fn audio(call: usize, frame: u64) -> [u8; 160] {
    let mut bytes = [0; 160];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = ((i * 37 + call * 5) % 60) as u8 | if i % 3 == 0 { 0x80 } else { 0 };
    }
    bytes[100..108].copy_from_slice(&frame.to_le_bytes());
    bytes[108] = call as u8;
    bytes
}

/// The number in a frame, if the frame is as it was sent.
fn number(call: usize, bytes: &[u8]) -> Option<u64> {
    let frame = u64::from_le_bytes(bytes.get(100..108)?.try_into().ok()?);
    (frame < FRAMES && bytes[40..] == audio(call, frame)[40..]).then_some(frame)
}

#[test]
fn twenty_calls_on_real_threads() {
    // No real-time priority: the test shares its cores with the threads that play the network.
    let workers =
        Workers::start(WorkersConfig { priority: false, count: Some(2), ..WorkersConfig::default() })
            .expect("the machine has a core");
    let mut ports = Vec::new();
    let bells: Vec<_> = (0..CALLS).map(|_| Arc::new(Count::default())).collect();
    for bell in &bells {
        let (p, slot) = call(config(), bell.clone(), Arc::new(Count::default()));
        workers.add(slot).expect("there is room");
        ports.push(p);
    }
    let load = workers.load();
    assert_eq!(load.iter().map(|worker| worker.calls).collect::<Vec<_>>(), [CALLS / 2; 2]);
    assert!(load.iter().all(|worker| worker.core.is_some()));

    let (mut media, mut model, mut controls) = (Vec::new(), Vec::new(), Vec::new());
    for CallPorts { media: a, model: b, control } in ports {
        media.push(a);
        model.push(b);
        controls.push(control);
    }
    let done = Arc::new(AtomicBool::new(false));

    // The model's side: checks what it hears and says the same back at once.
    let its_done = Arc::clone(&done);
    let echo = thread::spawn(move || {
        let mut heard = [0_u64; CALLS];
        while !its_done.load(Ordering::Relaxed) {
            for (call, port) in model.iter_mut().enumerate() {
                while let Some(packet) = port.pop() {
                    if heard[call] == FRAMES {
                        // The caller has stopped: silence is sent in its place until the call ends.
                        assert_eq!(packet.payload(), [0xFF; 160]);
                        continue;
                    }
                    assert_eq!(packet.payload(), audio(call, heard[call]), "in order and untouched");
                    assert_eq!(u64::from(packet.timestamp), heard[call] * 160);
                    heard[call] += 1;
                    let back = Packet::new(
                        now(),
                        packet.codec,
                        packet.seq,
                        packet.timestamp,
                        false,
                        packet.payload(),
                    );
                    port.push(&back.expect("no longer than it came")).expect("the ring holds a second");
                }
            }
            thread::sleep(Duration::from_micros(300));
        }
        heard
    });

    // The media side: 20 ms pace, all calls at once as the worst case.
    let mut got = vec![Vec::new(); CALLS];
    let begin = Instant::now();
    let mut frame = 0;
    while begin.elapsed() < Duration::from_millis(FRAMES * 20 + 600) {
        if frame < FRAMES && begin.elapsed() >= Duration::from_millis(frame * 20) {
            for (call, port) in media.iter_mut().enumerate() {
                port.push(&MediaFrame::new(now(), frame * 160, &audio(call, frame)).unwrap()).unwrap();
            }
            frame += 1;
        }
        for (call, port) in media.iter_mut().enumerate() {
            while let Some(frame) = port.pop() {
                got[call].extend(number(call, frame.payload()));
            }
        }
        thread::sleep(Duration::from_micros(300));
    }
    done.store(true, Ordering::Relaxed);
    assert_eq!(echo.join().expect("the echo saw nothing wrong"), [FRAMES; CALLS]);

    for control in &controls {
        control.send(Command::Stop).unwrap();
    }
    let until = Instant::now() + Duration::from_secs(5);
    let mut freed = 0;
    while freed < CALLS && Instant::now() < until {
        freed += workers.reap();
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(freed, CALLS);
    // Only now does nobody count any more.
    for (call, control) in controls.iter().enumerate() {
        let stats = control.stats();
        assert!(got[call].windows(2).all(|pair| pair[0] < pair[1]), "in order: {:?}", got[call]);
        // A machine that stood still may have made packets late; nothing else may be missing.
        let missing = FRAMES - got[call].len() as u64;
        assert!(
            missing <= stats.late.get() + stats.dropped_full.get(),
            "call {call}: {missing} missing, {stats:?}"
        );
        assert!(missing * 10 <= FRAMES, "call {call}: {missing} missing, {stats:?}");
        assert_eq!(stats.uplink_age.count(), stats.packets_out.get());
        assert_eq!(stats.packets_out.get() - stats.silence_filled.get(), FRAMES);
        assert_eq!(stats.downlink_age.count(), stats.frames_out.get());
        assert!(stats.uplink_age.percentile(0.5) < Duration::from_millis(20), "{stats:?}");
        assert!(bells[call].0.load(Ordering::Relaxed) > 0);
    }
    assert!(media.iter().all(|port| port.is_closed()));
    assert!(workers.load().iter().all(|worker| worker.calls == 0 && worker.panics == 0));
    workers.shutdown();
}

/// Media as fast as it is caught up with, a peer of the model's that runs the uplink when it hears its bell and now and then stops to, and codecs that call
/// it back: each in a thread of its own.
#[test]
fn an_uplink_that_changes_hands_under_way_loses_nothing() {
    const LENT: u64 = 1_000;
    let workers =
        Workers::start(WorkersConfig { priority: false, count: Some(1), ..WorkersConfig::default() })
            .expect("the machine has a core");
    let bell = Arc::new(Count::default());
    let (ports, slot) = call(config(), Arc::new(Count::default()), bell.clone());
    workers.add(slot).expect("there is room");
    let CallPorts { mut media, mut model, control } = ports;
    let caller = thread::spawn(move || {
        for frame in 0..LENT {
            // A whole backlog would be cut.
            while control.stats().packets_out.get() + 4 < frame {
                thread::sleep(Duration::from_micros(100));
            }
            let codec = if frame / 7 % 3 == 0 { ModelCodec::Pcma } else { ModelCodec::Pcmu };
            let _ = control.send(Command::SetCodec(codec));
            media.push(&MediaFrame::new(now(), frame * 160, &audio(0, frame)).unwrap()).unwrap();
        }
        (control, media)
    });
    let (mut heard, mut here, mut bells) = (0, 0, 0);
    let mut next = Nanos::MAX;
    let until = Instant::now() + Duration::from_secs(60);
    while heard < LENT && Instant::now() < until {
        let rung = bell.0.load(Ordering::Relaxed);
        if rung == bells && now() < next {
            thread::yield_now();
            continue;
        }
        bells = rung;
        if rung % 50 == 0 {
            model.leave();
            next = Nanos::MAX;
        } else {
            let progress = model.run_uplink(&Monotonic);
            here += u64::from(progress.pushed);
            next = progress.next;
        }
        while let Some(packet) = model.pop() {
            assert_eq!(u64::from(packet.seq), heard % (1 << 16));
            assert_eq!(u64::from(packet.timestamp), heard * 160, "in order");
            if packet.codec == ModelCodec::Pcmu {
                assert_eq!(packet.payload(), audio(0, heard));
            }
            heard += 1;
        }
    }
    assert_eq!(heard, LENT, "something waits that nobody was told of");
    let (control, _media) = caller.join().unwrap();
    assert!(here > LENT / 20, "it was hardly ever lent: {here}");
    assert!(here < control.stats().packets_out.get(), "the audio thread has done nothing");
}

/// Rung on an audio thread, and elsewhere.
#[derive(Default)]
struct Where([AtomicU64; 2]);

impl Bell for Where {
    fn ring(&self) {
        let audio = thread::current().name().is_some_and(|name| name.starts_with("audio-"));
        self.0[usize::from(audio)].fetch_add(1, Ordering::Relaxed);
    }
}

/// A peer of the model's that runs the downlink, now and then stops to, and is interrupted: what is said comes to the caller whole and in
/// order whoever has the chain, and after an interruption nothing that came before it.
#[test]
fn a_downlink_that_changes_hands_under_way_loses_nothing() {
    let workers =
        Workers::start(WorkersConfig { priority: false, count: Some(1), ..WorkersConfig::default() })
            .expect("the machine has a core");
    let (media_bell, bell) = (Arc::new(Where::default()), Arc::new(Count::default()));
    let (ports, slot) = call(config(), media_bell.clone(), bell.clone());
    workers.add(slot).expect("there is room");
    let CallPorts { mut media, mut model, control } = ports;
    let stats = control.stats();
    let done = Arc::new(AtomicBool::new(false));
    let caller = thread::spawn({
        let done = Arc::clone(&done);
        move || {
            let mut heard = Vec::new();
            while !done.load(Ordering::Relaxed) {
                while let Some(frame) = media.pop() {
                    heard.extend(number(0, frame.payload()).map(|number| (number, frame.generation)));
                }
                thread::sleep(Duration::from_micros(200));
            }
            heard
        }
    });
    let begin = Instant::now();
    let (mut sent, mut rung, mut due) = (0, 0, Nanos::MAX);
    let mut interrupted = 0;
    while begin.elapsed() < Duration::from_millis(FRAMES * 20 + 300) {
        let bells = bell.0.load(Ordering::Relaxed);
        let mut look = bells != rung || now() >= due;
        rung = bells;
        if sent < FRAMES && begin.elapsed() >= Duration::from_millis(sent * 20) {
            if sent == FRAMES / 2 {
                interrupted = stats.packets_in.get();
                control.send(Command::Flush { generation: 1 }).unwrap();
                control.send(Command::OpenDownlink).unwrap();
            }
            let packet =
                Packet::new(now(), ModelCodec::Pcmu, sent as u16, sent as u32 * 160, false, &audio(0, sent));
            model.push(&packet.unwrap()).unwrap();
            sent += 1;
            look = true;
            if sent % 40 == 0 {
                model.leave();
                (look, due) = (false, Nanos::MAX);
            }
        }
        if look {
            due = model.run_downlink(&Monotonic);
        }
        thread::sleep(Duration::from_micros(200));
    }
    done.store(true, Ordering::Relaxed);
    let heard = caller.join().unwrap();
    assert_eq!(stats.packets_in.get(), FRAMES, "a packet waits that nobody was told of");
    assert!(heard.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1), "{heard:?}");
    let old = heard.iter().filter(|(number, generation)| *generation == 1 && *number + 1 < interrupted);
    assert_eq!(old.count(), 0, "{heard:?}");
    // A machine that stood still may have made packets late; what was there at the interruption is gone as it should be.
    let missing = FRAMES - heard.len() as u64;
    assert!(
        missing <= stats.late.get() + stats.muted.get() + stats.concealed.get() + 2,
        "{missing} missing, {stats:?}"
    );
    let [elsewhere, audio] = [0, 1].map(|at| media_bell.0[at].load(Ordering::Relaxed));
    assert!(elsewhere > FRAMES / 20 && audio > 0, "it has hardly changed hands: {elsewhere}, {audio}");
}

#[test]
fn a_flood_on_one_call_leaves_its_neighbour_in_time() {
    let workers =
        Workers::start(WorkersConfig { priority: false, count: Some(1), ..WorkersConfig::default() })
            .expect("the machine has a core");
    let mut both: Vec<CallPorts> = (0..2)
        .map(|_| {
            let (ports, slot) =
                call(CallConfig::default(), Arc::new(Count::default()), Arc::new(Count::default()));
            workers.add(slot).expect("there is room");
            ports
        })
        .collect();
    let mut flooded = both.pop().unwrap();
    let mut calm = both.pop().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let its_stop = Arc::clone(&stop);
    let flood = thread::spawn(move || {
        let mut time = 0;
        while !its_stop.load(Ordering::Relaxed) {
            for _ in 0..50 {
                let _ = flooded.media.push(&MediaFrame::new(now(), time, &[0x23; 160]).unwrap());
                time += 160;
                let _ = flooded.model.push(
                    &Packet::new(now(), ModelCodec::Opus, time as u16, 7, false, &[0xFF; 200]).unwrap(),
                );
                flooded.model.pop();
            }
            thread::sleep(Duration::from_millis(1));
        }
        flooded.control.stats()
    });
    for frame in 0..50 {
        calm.media.push(&MediaFrame::new(now(), frame * 160, &audio(0, frame)).unwrap()).unwrap();
        thread::sleep(Duration::from_millis(20));
        while calm.model.pop().is_some() {}
    }
    stop.store(true, Ordering::Relaxed);
    let flooded = flood.join().unwrap();
    assert!(flooded.dropped_full.get() > 0, "the flood was a flood");
    let stats = calm.control.stats();
    assert_eq!((stats.packets_out.get(), stats.dropped_full.get()), (50, 0));
    assert!(stats.uplink_age.percentile(0.5) < Duration::from_millis(10), "{stats:?}");
}

#[test]
fn shutting_down_closes_calls_that_run() {
    let workers =
        Workers::start(WorkersConfig { priority: false, count: Some(1), ..WorkersConfig::default() })
            .expect("the machine has a core");
    let (ports, slot) = call(config(), Arc::new(Count::default()), Arc::new(Count::default()));
    workers.add(slot).unwrap();
    workers.shutdown();
    assert!(ports.media.is_closed());
}

#[test]
fn only_cores_that_exist_are_taken() {
    let unknown = cores().iter().max().unwrap() + 1;
    let config = WorkersConfig { cores: Some(vec![unknown]), ..WorkersConfig::default() };
    assert!(matches!(Workers::start(config), Err(StartError::UnknownCore(core)) if core == unknown));
    let config = WorkersConfig { cores: Some(vec![]), ..WorkersConfig::default() };
    assert!(matches!(Workers::start(config), Err(StartError::NoCores)));
}
