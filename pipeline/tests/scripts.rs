//! Ten thousand random networks that no network is: duplicates, wraps, jumps, hour-long gaps, floods, all lengths.
//!
//! Whatever comes, frames are whole and follow each other, the delay and the memory keep their bounds, nothing panics.

#[path = "profiles/random.rs"]
#[allow(dead_code)] // it makes traces elsewhere
mod random;

use std::time::Duration;

use pipeline::jitter::{CAPACITY, JitterBuffer, Playout};
use pipeline::{CallStats, Downlink, JitterConfig, MediaFormat, ModelCodec, Nanos, Packet, Ticks};
use random::Random;

const SCRIPTS: u64 = 10_000;
const EVENTS: u64 = 120;
const MS: u64 = 1_000_000;
/// A timestamp that jumps further starts the stream anew.
const LEAP: Duration = Duration::from_secs(1);
/// A frame of mu-law.
const FRAME_BYTES: usize = 160;

/// A sender gone mad.
struct Script {
    random: Random,
    now: u64,
    seq: u16,
    timestamp: u32,
    last: Option<Packet>,
}

impl Script {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let (seq, timestamp) = (random.next() as u16, random.next() as u32);
        Self { random, now: 3_600_000 * MS, seq, timestamp, last: None }
    }

    /// The next packet, and when it comes.
    fn next(&mut self) -> Packet {
        self.now += match self.random.below(40) {
            0 => 3_600_000 * MS,
            1 => self.random.below(2_000) * MS,
            2..=9 => 0,
            10..=14 => self.random.below(80 * MS),
            _ => 18 * MS + self.random.below(4 * MS),
        };
        match self.random.below(40) {
            0 => self.seq = self.random.next() as u16,
            1 => self.seq = self.seq.wrapping_add(1 << 15),
            2 => self.seq = self.seq.wrapping_sub(self.random.below(80) as u16),
            3 => self.seq = self.seq.wrapping_add(self.random.below(80) as u16),
            4 => self.timestamp = self.random.next() as u32,
            5 => self.timestamp = self.timestamp.wrapping_add(1 << 31),
            6 => self.timestamp = self.timestamp.wrapping_add(3_600 * 8_000),
            7 => self.timestamp = self.timestamp.wrapping_add(1 << 16),
            8..=10 => {
                if let Some(mut packet) = self.last {
                    packet.born = Nanos(self.now);
                    return packet;
                }
            }
            _ => {}
        }
        let (codec, payload): (_, Vec<u8>) = match self.random.below(30) {
            0 => (ModelCodec::Opus, vec![self.random.next() as u8, 0, 0]),
            1 => (ModelCodec::Pcma, vec![0x2A; 1 + self.random.below(1_200) as usize]),
            2 => (ModelCodec::Pcmu, vec![0x11; 80 * (1 + self.random.below(4) as usize)]),
            _ => (ModelCodec::Pcmu, vec![if self.random.below(3) == 0 { 0xFF } else { 0x23 }; FRAME_BYTES]),
        };
        let marker = self.random.below(20) == 0;
        let packet = Packet::new(Nanos(self.now), codec, self.seq, self.timestamp, marker, &payload)
            .expect("it fits and is not empty");
        self.seq = self.seq.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(payload.len() as u32);
        self.last = Some(packet);
        packet
    }
}

#[test]
fn the_buffer_keeps_its_bounds() {
    let max = JitterConfig::default().max_delay;
    for seed in 0..SCRIPTS {
        let mut script = Script::new(seed);
        let mut random = Random::new(!seed);
        let mut buffer = JitterBuffer::new(JitterConfig::default());
        for _ in 0..EVENTS {
            let packet = script.next();
            let mut polls = 0;
            while let Some(due) = buffer.next_due().filter(|due| *due <= packet.born) {
                while let Some((_, playout)) = buffer.poll(due, random.below(4) > 0) {
                    polls += 1;
                    assert!(polls < 1_000, "seed {seed}: it plays on and on");
                    if let Playout::Packet(_) = playout
                        && random.below(8) == 0
                    {
                        let excess = buffer.excess();
                        buffer.handle_cut(excess, Ticks(random.below(2) as i64 * 480));
                    }
                }
            }
            buffer.handle_packet(&packet);
            assert!(buffer.len() <= CAPACITY, "seed {seed}: {} packets", buffer.len());
            assert!(buffer.target() <= max, "seed {seed}: {:?}", buffer.target());
            if random.below(200) == 0 {
                buffer.clear();
                assert!(buffer.is_empty());
            }
        }
    }
}

#[test]
fn frames_are_whole_and_follow_each_other() {
    let max = JitterConfig::default().max_delay;
    let stats = CallStats::default();
    for seed in 0..SCRIPTS / 10 {
        let mut script = Script::new(seed);
        let mut downlink = Downlink::new(MediaFormat::default(), JitterConfig::default())
            .expect("a decoder for 8 kHz exists");
        let (mut time, mut last_due) = (0, Nanos(0));
        for _ in 0..EVENTS {
            let packet = script.next();
            while let Some(due) = downlink.next_due().filter(|due| *due <= packet.born) {
                let mut frames = 0;
                while let Some((frame, _)) = downlink.poll(due, &stats) {
                    assert_eq!(frame.payload().len(), FRAME_BYTES, "seed {seed}");
                    assert_eq!(frame.time, time, "seed {seed}: 20 ms after the one before");
                    assert!(frame.due >= last_due, "seed {seed}: in order");
                    let waited = due.saturating_sub(frame.born);
                    // A timestamp that leaps by less than a second is believed: what was lost before it lasts so long.
                    // And its own audio may last 160 ms.
                    assert!(waited <= max + LEAP + Duration::from_millis(160), "seed {seed}: {waited:?}");
                    (time, last_due) = (time + FRAME_BYTES as u64, frame.due);
                    frames += 1;
                    assert!(frames < 100, "seed {seed}: it sends on and on");
                }
            }
            downlink.handle_packet(&packet, &stats);
        }
    }
}
