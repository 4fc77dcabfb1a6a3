//! Twelve networks to try a jitter buffer on: seeded, pure, in simulated milliseconds, 20 ms packets.
//!
//! The parameters are those that libwebrtc's NetEq was measured on (see `tests/neteq.rs`), so that figures compare.

pub mod others;
pub mod play;
pub mod random;
pub mod score;
pub mod svg;
pub mod voice;

use random::Random;

/// Time between packets on the sender's clock, ms.
pub const PACKET_MS: f64 = 20.0;
/// Time in which packets that were held up together follow each other, ms: a queue drains at the link's speed.
const DRAIN_MS: f64 = 0.2;

/// A kind of network.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Profile {
    pub name: &'static str,
    /// Fastest path, ms.
    pub base_ms: f64,
    jitter: Jitter,
    loss: Loss,
    stall: Stall,
    /// Packets may not overtake each other.
    fifo: bool,
    /// Share of packets held back for 25–45 ms and overtaken.
    overtaken: f64,
    /// By how much the sender's clock is fast, parts per million.
    pub drift_ppm: f64,
    /// Length of a run, s, and runs.
    pub seconds: u64,
    pub seeds: u64,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Jitter {
    /// Gamma of this mean (ms) and shape.
    Gamma(f64, f64),
    /// First-order autoregression around 18 ms with a standard deviation of 12 ms, plus up to 10 ms evenly.
    Cellular,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Loss {
    None,
    Random(f64),
    /// Gilbert-Elliott: this share in all, in bursts of three packets in the mean.
    Bursts(f64),
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Stall {
    None,
    /// About every so many ms (exponential if `regular` is false) nothing gets through for so long.
    Every {
        ms: f64,
        regular: bool,
        least: f64,
        most: f64,
    },
    /// A lost TCP segment holds up all after it: a fast retransmit, or rarely a retransmission timeout.
    Tcp {
        segment_loss: f64,
    },
}

const PLAIN: Profile = Profile {
    name: "",
    base_ms: 20.0,
    jitter: Jitter::Gamma(2.0, 2.0),
    loss: Loss::None,
    stall: Stall::None,
    fifo: false,
    overtaken: 0.0,
    drift_ppm: 0.0,
    seconds: 300,
    seeds: 10,
};

/// All of them.
pub const PROFILES: [Profile; 12] = [
    Profile { name: "clean", base_ms: 0.2, jitter: Jitter::Gamma(0.05, 2.0), ..PLAIN },
    Profile { name: "lan", base_ms: 1.0, jitter: Jitter::Gamma(0.4, 2.0), ..PLAIN },
    Profile { name: "inet", loss: Loss::Random(0.0005), ..PLAIN },
    Profile {
        name: "wifi",
        base_ms: 15.0,
        jitter: Jitter::Gamma(4.0, 1.2),
        loss: Loss::Random(0.005),
        stall: Stall::Every { ms: 3_000.0, regular: false, least: 20.0, most: 80.0 },
        ..PLAIN
    },
    Profile {
        name: "lte",
        base_ms: 45.0,
        jitter: Jitter::Cellular,
        loss: Loss::Random(0.005),
        stall: Stall::Every { ms: 25_000.0, regular: false, least: 120.0, most: 250.0 },
        fifo: true,
        ..PLAIN
    },
    Profile { name: "loss1", loss: Loss::Random(0.01), ..PLAIN },
    Profile { name: "ge5", jitter: Jitter::Gamma(3.0, 2.0), loss: Loss::Bursts(0.05), ..PLAIN },
    Profile { name: "reorder2", jitter: Jitter::Gamma(1.0, 2.0), overtaken: 0.02, ..PLAIN },
    Profile {
        name: "spike200",
        stall: Stall::Every { ms: 30_000.0, regular: true, least: 200.0, most: 200.0 },
        ..PLAIN
    },
    Profile {
        name: "tcphol",
        jitter: Jitter::Gamma(1.0, 2.0),
        stall: Stall::Tcp { segment_loss: 0.001 },
        fifo: true,
        ..PLAIN
    },
    Profile {
        name: "drift+100",
        loss: Loss::Random(0.0005),
        drift_ppm: 100.0,
        seconds: 1_200,
        seeds: 3,
        ..PLAIN
    },
    Profile {
        name: "drift-100",
        loss: Loss::Random(0.0005),
        drift_ppm: -100.0,
        seconds: 1_200,
        seeds: 3,
        ..PLAIN
    },
];

/// A packet that was sent.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sent {
    /// Its number from 0; its timestamp is 160 times that.
    pub number: u64,
    /// When, on the receiver's clock, ms.
    pub at: f64,
    /// When it came; `None` if it was lost.
    pub arrival: Option<f64>,
    /// Whether somebody speaks in it.
    pub voiced: bool,
}

impl Profile {
    /// One run's packets, in the order sent.
    pub fn trace(&self, seed: u64) -> Vec<Sent> {
        let mut random = Random::new(seed);
        let mut speech = Random::new(seed ^ 0x5EED);
        let (mut bad, mut wander) = (false, random.normal());
        let (mut released, mut last) = (f64::MIN, f64::MIN);
        let mut next_stall = match self.stall {
            Stall::Every { ms, .. } => ms * random.unit(),
            _ => f64::MAX,
        };
        let mut turn = (true, 0.0);
        let count = self.seconds * 1000 / PACKET_MS as u64;
        let mut trace = Vec::with_capacity(count as usize);
        for number in 0..count {
            let at = number as f64 * PACKET_MS / (1.0 + self.drift_ppm * 1e-6);
            while at >= turn.1 {
                // Phrases of one to three seconds, pauses of 0.2 to 0.6 s: read speech, a sixth of it silent.
                let (least, most) = if turn.0 { (200.0, 600.0) } else { (1_000.0, 3_000.0) };
                turn = (!turn.0, turn.1 + least + (most - least) * speech.unit());
            }
            match self.stall {
                Stall::Every { ms, regular, least, most } if at >= next_stall => {
                    released = at + self.base_ms + least + (most - least) * random.unit();
                    next_stall = at + if regular { ms } else { random.exponential(ms).max(most) };
                }
                Stall::Tcp { segment_loss } if random.unit() < segment_loss => {
                    let timeout = random.unit() < 0.1;
                    let held = if timeout { 240.0 } else { 100.0 + 10.0 * random.unit() };
                    released = f64::max(released, at + self.base_ms + held);
                }
                _ => {}
            }
            let mut delay = match self.jitter {
                Jitter::Gamma(mean, shape) => random.gamma(shape) * mean / shape,
                Jitter::Cellular => {
                    // Correlated over 0.4 s, as fading at walking pace is.
                    wander = 0.95 * wander + (1.0_f64 - 0.95 * 0.95).sqrt() * random.normal();
                    (18.0 + 12.0 * wander).max(0.0) + 10.0 * random.unit()
                }
            };
            if self.overtaken > 0.0 && random.unit() < self.overtaken {
                delay += 25.0 + 20.0 * random.unit();
            }
            let lost = match self.loss {
                Loss::None => false,
                Loss::Random(share) => random.unit() < share,
                Loss::Bursts(share) => {
                    let enter = share / (1.0 - share) / 3.0;
                    bad = random.unit() < if bad { 2.0 / 3.0 } else { enter };
                    bad
                }
            };
            let mut arrival = at + self.base_ms + delay;
            if arrival < released || self.fifo {
                arrival = arrival.max(released).max(last + DRAIN_MS);
            }
            if arrival < released + PACKET_MS || self.fifo {
                last = last.max(arrival);
            }
            trace.push(Sent { number, at, arrival: (!lost).then_some(arrival), voiced: turn.0 });
        }
        trace
    }
}
