use super::*;
use crate::chains::CALM_FRAMES;

/// A call whose model sends a packet every 20 ms, over a path that takes no time.
struct Down {
    rig: Rig,
    ports: CallPorts,
    media_bell: Arc<Count>,
    /// What is due next, as the port says.
    due: Nanos,
    /// Of each frame for the caller its first byte, with when it left.
    heard: Vec<(u8, u64)>,
}

impl Down {
    fn new() -> Self {
        let (mut rig, media_bell) = (Rig::new(), Arc::new(Count::default()));
        let ports = rig.add_with(media_bell.clone(), JitterConfig::default().at_once);
        rig.tick(0);
        Self { rig, ports, media_bell, due: Nanos::MAX, heard: Vec::new() }
    }

    /// The network thread and the audio thread do what they have been called for, until nobody calls any more.
    fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 100, "they call each other for ever");
            let (rung, due) = (self.rig.rung() > 0, self.due <= self.rig.time.now());
            let news = self.rig.worker.has_news();
            if rung || due {
                self.due = self.ports.model.run_downlink(&self.rig.time);
            }
            if news {
                self.rig.worker.tick(&self.rig.time);
            }
            if !(rung || due || news) {
                break;
            }
        }
        let now = self.rig.time.0.get();
        while let Some(frame) = self.ports.media.pop() {
            self.heard.push((frame.payload()[0], now));
        }
    }

    /// Time passes, and the audio thread's timer with it.
    fn pass_to(&mut self, ms: u64) {
        while self.rig.time.0.get() < ms {
            let next = self.rig.time.0.get() + 1;
            self.rig.tick(next);
            self.settle();
        }
    }

    /// The packet of this number comes, 20 ms after the one before.
    fn packet(&mut self, i: u16) {
        self.pass_to(u64::from(i) * 20);
        self.ports.model.push(&self.rig.packet(i)).unwrap();
        self.due = self.ports.model.run_downlink(&self.rig.time);
        self.settle();
    }

    fn is_lent(&self) -> bool {
        self.due < Nanos::MAX
    }

    /// Packets until it is lent, and some. The number of the next.
    fn lent(&mut self) -> u16 {
        let calm = CALM_FRAMES as u16 + 5;
        (0..calm).for_each(|i| self.packet(i));
        assert!(self.is_lent());
        calm
    }
}

#[test]
fn packets_that_only_pass_do_not_wake_the_audio_thread() {
    let mut down = Down::new();
    let first = down.lent();
    for i in first..100 {
        down.pass_to(u64::from(i) * 20);
        let (rung, heard) = (down.media_bell.0.load(Ordering::Relaxed), down.heard.len());
        down.ports.model.push(&down.rig.packet(i)).unwrap();
        assert!(!down.rig.worker.has_news(), "the audio thread is woken");
        let due = down.ports.model.run_downlink(&down.rig.time);
        assert!(!down.rig.worker.has_news());
        let next = Nanos::from_millis(1_000 + u64::from(i + 1) * 20);
        assert!((next..next + Duration::from_millis(2)).contains(&due), "{due:?}");
        assert_eq!(down.media_bell.0.load(Ordering::Relaxed), rung + 1, "its reader is told");
        down.due = due;
        down.settle();
        assert_eq!(down.heard[heard..], [(i as u8, u64::from(i) * 20)]);
    }
    let stats = down.ports.control.stats();
    assert_eq!((stats.packets_in.get(), stats.frames_out.get(), stats.concealed.get()), (100, 100, 0));
}

#[test]
fn an_offer_is_told_for_the_next_packet_may_be_missing() {
    let mut down = Down::new();
    down.ports.model.run_downlink(&down.rig.time);
    let mut told = None;
    for i in 0..20_u16 {
        down.pass_to(u64::from(i) * 20);
        down.ports.model.push(&down.rig.packet(i)).unwrap();
        down.rig.worker.tick(&down.rig.time);
        if down.rig.rung() > 0 {
            told = Some(i);
            break;
        }
    }
    assert_eq!(told, Some(CALM_FRAMES as u16 - 1));
}

#[test]
fn what_is_missing_is_made_up_on_the_audio_thread_and_calm_returns() {
    let mut down = Down::new();
    let lost = down.lent();
    down.pass_to(u64::from(lost) * 20 + 15);
    assert!(!down.is_lent(), "it was due");
    for i in lost + 1..lost + 40 {
        down.packet(i);
    }
    assert!(down.is_lent());
    let stats = down.ports.control.stats();
    assert_eq!((stats.concealed.get(), stats.late.get()), (1, 0));
    let heard: Vec<u8> = down.heard.iter().map(|(byte, _)| *byte).collect();
    let expected = (0..lost + 40).map(|i| i as u8);
    let same = heard.iter().zip(expected).filter(|(heard, sent)| **heard == *sent).count();
    assert_eq!(heard.len(), usize::from(lost) + 40, "20 ms were made up for 20 ms");
    // The one made up, and the one that it blends into.
    assert!(same >= heard.len() - 2, "{heard:?}");
}

#[test]
fn a_late_packet_is_held_on_for_and_passes() {
    let mut down = Down::new();
    let late = down.lent();
    down.pass_to(u64::from(late) * 20 + 3);
    down.ports.model.push(&down.rig.packet(late)).unwrap();
    down.due = down.ports.model.run_downlink(&down.rig.time);
    down.settle();
    down.packet(late + 1);
    let heard: Vec<u8> = down.heard.iter().map(|(byte, _)| *byte).collect();
    assert_eq!(heard, (0..=late + 1).map(|i| i as u8).collect::<Vec<_>>());
    assert_eq!(down.ports.control.stats().concealed.get(), 0);
}

#[test]
fn commands_find_a_downlink_that_is_lent() {
    let mut down = Down::new();
    let next = down.lent();
    let frames = down.heard.len();
    down.ports.control.send(Command::Flush { generation: 1 }).unwrap();
    down.ports.control.send(Command::SetCodec(ModelCodec::Pcma)).unwrap();
    // What comes before the port has heard of it is of the old reply.
    down.rig.worker.tick(&down.rig.time);
    down.ports.model.push(&down.rig.packet(next)).unwrap();
    down.settle();
    assert!(!down.is_lent());
    assert_eq!(down.heard.len(), frames);
    for i in next + 1..next + 20 {
        down.packet(i);
    }
    assert_eq!(down.heard.len(), frames, "closed until it is opened");
    assert!(!down.is_lent());
    assert_eq!(down.ports.control.stats().muted.get(), 20);
    down.ports.control.send(Command::OpenDownlink).unwrap();
    down.settle();
    for i in next + 20..next + 40 {
        down.pass_to(u64::from(i) * 20);
        down.ports.model.push(&down.rig.packet(i)).unwrap();
        down.due = down.ports.model.run_downlink(&down.rig.time);
        down.settle();
    }
    down.pass_to(u64::from(next + 40) * 20 - 1);
    assert_eq!(down.heard.len(), frames + 20);
    assert!(down.is_lent(), "and again");
}

#[test]
fn a_codec_calls_the_downlink_home() {
    let mut down = Down::new();
    let next = down.lent();
    for i in next..next + 30 {
        down.pass_to(u64::from(i) * 20);
        let packet = Packet::new(
            down.rig.time.now(),
            ModelCodec::Opus,
            i,
            u32::from(i) * 960,
            false,
            &[0xF8, 0xFF, 0xFE],
        );
        down.ports.model.push(&packet.unwrap()).unwrap();
        down.due = down.ports.model.run_downlink(&down.rig.time);
        down.settle();
        assert!(!down.is_lent() || i == next, "Opus is decoded on a network thread");
    }
    down.pass_to(u64::from(next + 30) * 20 - 1);
    assert!(down.heard.len() >= usize::from(next) + 29, "{}", down.heard.len());
}

#[test]
fn a_peer_that_leaves_keeps_no_downlink() {
    for gone in [false, true] {
        let mut down = Down::new();
        let next = down.lent();
        down.ports.model.leave();
        down.due = Nanos::MAX;
        down.rig.worker.tick(&down.rig.time);
        for i in next..next + 20 {
            down.pass_to(u64::from(i) * 20);
            down.ports.model.push(&down.rig.packet(i)).unwrap();
            assert!(down.rig.worker.has_news(), "nobody is called");
            down.rig.worker.tick(&down.rig.time);
        }
        assert_eq!(down.ports.control.stats().frames_out.get(), u64::from(next) + 20);
        if gone {
            down.due = down.ports.model.run_downlink(&down.rig.time);
            down.rig.worker.tick(&down.rig.time);
            let CallPorts { media: _media, model, control } = down.ports;
            drop(model);
            down.rig.worker.tick(&down.rig.time);
            control.send(Command::Flush { generation: 3 }).unwrap();
            control.send(Command::Stop).unwrap();
            down.rig.worker.tick(&down.rig.time);
            assert_eq!(down.rig.worker.reap(), 1, "a command waits for what is gone");
        }
    }
}

#[test]
fn a_call_ends_while_its_downlink_is_lent() {
    let mut down = Down::new();
    let next = down.lent();
    down.ports.control.send(Command::Stop).unwrap();
    down.rig.worker.tick(&down.rig.time);
    assert!(down.ports.media.is_closed());
    let _ = down.ports.model.push(&down.rig.packet(next));
    assert_eq!(down.ports.model.run_downlink(&down.rig.time), Nanos::MAX);
    assert_eq!(down.rig.worker.reap(), 1);
}
