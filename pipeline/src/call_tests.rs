use std::cell::Cell;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use super::*;
use crate::frame::{MediaFrame, Packet};
use crate::worker::Worker;

#[path = "lent_downlink_tests.rs"]
mod lent_downlink;
#[path = "lent_uplink_tests.rs"]
mod lent_uplink;

/// A clock that the test sets.
#[derive(Default)]
struct Time(Cell<u64>);

impl Clock for Time {
    fn now(&self) -> Nanos {
        Nanos::from_millis(1_000 + self.0.get())
    }
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Bell for Count {
    fn ring(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Broken;

impl Bell for Broken {
    fn ring(&self) {
        panic!("a broken bell");
    }
}

struct Rig {
    worker: Worker,
    time: Time,
    model_bell: Arc<Count>,
}

impl Rig {
    fn new() -> Self {
        Self { worker: Worker::alone(4), time: Time::default(), model_bell: Arc::default() }
    }

    fn add(&mut self, media: Arc<dyn Bell>) -> CallPorts {
        self.add_with(media, Duration::ZERO)
    }

    fn add_with(&mut self, media: Arc<dyn Bell>, at_once: Duration) -> CallPorts {
        let start_delay = Duration::from_millis(1);
        let jitter = JitterConfig { start_delay, at_once, ..JitterConfig::default() };
        let config = CallConfig { codec: ModelCodec::Pcmu, jitter, ..CallConfig::default() };
        let (ports, slot) = call(config, media, Arc::clone(&self.model_bell) as Arc<dyn Bell>);
        assert!(self.worker.add(slot).is_ok());
        ports
    }

    /// How often the model's bell has rung since the last time.
    fn rung(&self) -> usize {
        self.model_bell.0.swap(0, Ordering::Relaxed)
    }

    fn tick(&mut self, ms: u64) -> Nanos {
        self.time.0.set(ms);
        self.worker.tick(&self.time)
    }

    fn frame(&self, i: u64) -> MediaFrame {
        MediaFrame::new(self.time.now(), i * 160, &[i as u8; 160]).unwrap()
    }

    fn packet(&self, i: u16) -> Packet {
        Packet::new(self.time.now(), ModelCodec::Pcmu, i, u32::from(i) * 160, false, &[i as u8; 160]).unwrap()
    }
}

#[test]
fn audio_goes_both_ways_and_bells_ring_once_a_tick() {
    let mut rig = Rig::new();
    let bell = Arc::new(Count::default());
    let mut ports = rig.add(bell.clone());
    for i in 0..10_u16 {
        rig.time.0.set(u64::from(i) * 20);
        ports.media.push(&rig.frame(u64::from(i))).unwrap();
        ports.model.push(&rig.packet(i)).unwrap();
        let due = rig.tick(u64::from(i) * 20);
        assert_eq!(ports.model.pop().map(|p| p.payload()[0]), Some(i as u8));
        assert_eq!(ports.media.pop().map(|f| f.time), None, "not due yet");
        assert_eq!(due, Nanos::from_millis(1_000 + u64::from(i) * 20 + 1));
        rig.tick(u64::from(i) * 20 + 1);
        assert_eq!(ports.media.pop().map(|f| f.payload()[0]), Some(i as u8));
    }
    assert_eq!(bell.0.load(Ordering::Relaxed), 10);
    let stats = ports.control.stats();
    assert_eq!((stats.uplink_age.count(), stats.downlink_age.count()), (10, 10));
    assert!(stats.uplink_age.max() < Duration::from_millis(1));
    assert!(stats.downlink_age.max() < Duration::from_millis(1));
    assert!(stats.buffered.max() <= Duration::from_millis(1));
}

#[test]
fn an_idle_call_asks_for_nothing() {
    let mut rig = Rig::new();
    let _ports = rig.add(Arc::new(Count::default()));
    assert_eq!(rig.tick(0), Nanos::MAX);
    assert!(!rig.worker.has_news());
}

#[test]
fn what_was_pushed_before_the_call_had_a_worker_is_not_lost() {
    let mut rig = Rig::new();
    let config = CallConfig { codec: ModelCodec::Pcmu, ..CallConfig::default() };
    let (mut ports, slot) = call(config, Arc::new(Count::default()), Arc::new(Count::default()));
    ports.media.push(&rig.frame(0)).unwrap();
    rig.worker.add(slot).unwrap();
    rig.tick(0);
    assert!(ports.model.pop().is_some());
}

#[test]
fn a_packet_while_a_frame_is_due_does_not_wake() {
    let mut rig = Rig::new();
    let mut ports = rig.add(Arc::new(Count::default()));
    rig.tick(0);
    ports.model.push(&rig.packet(0)).unwrap();
    assert!(rig.worker.has_news(), "nothing was due, so it must be looked at");
    rig.tick(0);
    ports.model.push(&rig.packet(1)).unwrap();
    assert!(!rig.worker.has_news(), "it is looked at when packet 0 is due");
}

#[test]
fn a_reader_that_makes_room_wakes_who_waits_for_it() {
    let mut rig = Rig::new();
    let mut ports = rig.add(Arc::new(Count::default()));
    for i in 0..40 {
        rig.time.0.set(i * 20);
        ports.media.push(&rig.frame(i)).unwrap();
        rig.tick(i * 20);
    }
    assert!(!rig.worker.has_news());
    let mut got = Vec::new();
    let mut ms = 800;
    while let Some(packet) = ports.model.pop() {
        got.push(packet.payload()[0]);
        if rig.worker.has_news() {
            ms += 20;
            rig.tick(ms);
        }
    }
    assert_eq!(got, (0..40).collect::<Vec<_>>());
}

#[test]
fn commands_take_effect_in_order_before_audio() {
    let mut rig = Rig::new();
    let mut ports = rig.add(Arc::new(Count::default()));
    ports.model.push(&rig.packet(0)).unwrap();
    ports.control.send(Command::Flush { generation: 7 }).unwrap();
    rig.tick(0);
    rig.tick(5);
    assert!(ports.media.pop().is_none());
    assert_eq!(ports.control.stats().muted.get(), 1);
    ports.control.send(Command::OpenDownlink).unwrap();
    ports.control.send(Command::SetCodec(ModelCodec::Pcma)).unwrap();
    ports.model.push(&rig.packet(1)).unwrap();
    ports.media.push(&rig.frame(0)).unwrap();
    rig.tick(20);
    rig.tick(25);
    assert_eq!(ports.media.pop().map(|f| f.generation), Some(7));
    assert_eq!(ports.model.pop().map(|p| p.codec), Some(ModelCodec::Pcma));
}

#[test]
fn a_flush_takes_what_has_arrived_even_if_the_downlink_opens_at_once() {
    let mut rig = Rig::new();
    let mut ports = rig.add(Arc::new(Count::default()));
    rig.tick(0);
    for i in 0..3 {
        ports.model.push(&rig.packet(i)).unwrap();
    }
    ports.control.send(Command::Flush { generation: 1 }).unwrap();
    ports.control.send(Command::OpenDownlink).unwrap();
    for ms in 1..200 {
        rig.tick(ms);
    }
    assert!(ports.media.pop().is_none(), "sound of the old reply");
    assert_eq!(ports.control.stats().muted.get(), 3);
    ports.model.push(&rig.packet(3)).unwrap();
    for ms in 200..300 {
        rig.tick(ms);
    }
    assert_eq!(ports.media.pop().map(|frame| frame.generation), Some(1));
}

#[test]
fn a_call_ends_by_command_or_with_its_control() {
    let mut rig = Rig::new();
    let bell = Arc::new(Count::default());
    let CallPorts { media, model, control } = rig.add(bell.clone());
    control.send(Command::Stop).unwrap();
    rig.tick(0);
    assert!(media.is_closed() && model.is_closed() && control.is_closed());
    assert_eq!(bell.0.load(Ordering::Relaxed), 1, "the end is announced");
    assert_eq!(rig.worker.reap(), 1);

    let CallPorts { media, model: _, control } = rig.add(bell);
    drop(control);
    rig.tick(20);
    assert!(media.is_closed());
    assert_eq!(rig.worker.reap(), 1);
}

#[test]
fn a_slot_that_no_worker_took_closes_its_ports() {
    let (ports, slot) = call(CallConfig::default(), Arc::new(Count::default()), Arc::new(Count::default()));
    drop(slot);
    assert!(ports.media.is_closed());
}

#[test]
fn a_panic_ends_that_call_alone() {
    let mut rig = Rig::new();
    let mut bad = rig.add(Arc::new(Broken));
    let mut good = rig.add(Arc::new(Count::default()));
    for i in 0..3_u16 {
        rig.time.0.set(u64::from(i) * 20);
        let _ = bad.model.push(&rig.packet(i));
        good.model.push(&rig.packet(i)).unwrap();
        rig.tick(u64::from(i) * 20);
        rig.tick(u64::from(i) * 20 + 1);
        assert_eq!(good.media.pop().map(|f| f.payload()[0]), Some(i as u8));
    }
    assert!(bad.media.is_closed() && bad.model.is_closed());
    assert!(!good.media.is_closed());
    assert_eq!(rig.worker.reap(), 1);
}

#[test]
fn a_full_table_gives_the_call_back() {
    let mut rig = Rig::new();
    let ports: Vec<_> = (0..4).map(|_| rig.add(Arc::new(Count::default()))).collect();
    let (_more, slot) = call(CallConfig::default(), Arc::new(Count::default()), Arc::new(Count::default()));
    let slot = rig.worker.add(slot).unwrap_err();
    ports[2].control.send(Command::Stop).unwrap();
    rig.tick(0);
    assert!(rig.worker.add(slot).is_ok());
}
