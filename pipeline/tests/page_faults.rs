//! A worker that has warmed up touches no new memory: the thread's page faults stay where they are for a minute of audio.
#![allow(clippy::disallowed_macros)] // text for people, off the audio road
#![cfg(target_os = "linux")]

use std::cell::Cell;
use std::sync::Arc;

use pipeline::{CallConfig, CallPorts, Clock, MediaFrame, ModelCodec, Nanos, Packet, Silent, Worker, call};

const CALLS: usize = 20;
/// Faults of a minute. None is the rule; the kernel may move a page or two for reasons of its own.
const LIMIT: i64 = 8;

struct Time(Cell<u64>);

impl Clock for Time {
    fn now(&self) -> Nanos {
        Nanos(self.0.get())
    }
}

/// Page faults of this thread so far, served from memory and from disk.
fn faults() -> (i64, i64) {
    // SAFETY: a zeroed rusage is valid, and the kernel writes one to where the pointer says.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_THREAD, &mut usage), 0);
        (usage.ru_minflt, usage.ru_majflt)
    }
}

struct Rig {
    worker: Worker,
    ports: Vec<CallPorts>,
    time: Time,
    frame: u64,
}

impl Rig {
    /// Seconds of speech both ways. Every seventh second the network stands still for 200 ms and then brings everything at once.
    fn seconds(&mut self, n: u64) {
        for _ in 0..n * 50 {
            let held = self.frame % 350 < 10;
            let burst = if self.frame % 350 == 10 { 11 } else { 1 };
            for ports in self.ports.iter_mut().filter(|_| !held) {
                for back in (0..burst).rev() {
                    let i = self.frame.saturating_sub(back);
                    let payload = [0x11 + (i * 37 % 60) as u8; 160];
                    let _ = ports.media.push(&MediaFrame::new(self.time.now(), i * 160, &payload).unwrap());
                    let packet = Packet::new(
                        self.time.now(),
                        ModelCodec::Pcmu,
                        i as u16,
                        i as u32 * 160,
                        false,
                        &payload,
                    );
                    let _ = ports.model.push(&packet.unwrap());
                }
            }
            for _ in 0..20 {
                self.worker.tick(&self.time);
                self.time.0.set(self.time.0.get() + 1_000_000);
                for ports in &mut self.ports {
                    while ports.media.pop().is_some() {}
                    while ports.model.pop().is_some() {}
                }
            }
            self.frame += 1;
        }
    }
}

#[test]
fn page_faults_are_flat_after_warm_up() {
    let mut rig = Rig {
        worker: Worker::alone(CALLS),
        ports: Vec::new(),
        time: Time(Cell::new(1_000_000_000)),
        frame: 20,
    };
    for _ in 0..CALLS {
        let (ports, slot) = call(CallConfig::default(), Arc::new(Silent), Arc::new(Silent));
        rig.worker.add(slot).unwrap();
        rig.ports.push(ports);
    }
    let cold = faults();
    rig.seconds(20);
    let warm = faults();
    rig.seconds(60);
    let after = faults();
    let frames: u64 = rig.ports.iter().map(|ports| ports.control.stats().frames_out.get()).sum();
    println!("warm-up {} faults, the minute after it {}", warm.0 - cold.0, after.0 - warm.0);
    assert!(frames > CALLS as u64 * 70 * 50, "{frames} frames");
    assert!(warm.0 > cold.0, "the first touch of a call's memory is a fault, and is counted");
    assert!(after.0 - warm.0 <= LIMIT, "{} faults", after.0 - warm.0);
    assert_eq!(after.1, cold.1, "nothing came from disk");
}
