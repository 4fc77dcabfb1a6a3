//! A bad network, in one direction: loss, delay, jitter, reordering, duplicates and stalls, from a seed.
//!
//! Pure: packets and the time go in, packets come out when they are due. The caller owns the clock and the socket.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// How the network misbehaves. The default does nothing: every packet leaves at once.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkConfig {
    /// Share of packets lost, 0.0 to 1.0.
    pub loss: f64,
    /// Mean length of a burst of losses in packets; 1.0 means independent losses.
    pub loss_burst: f64,
    /// Delay of every packet.
    pub delay: Duration,
    /// Extra delay, uniform between zero and this. Order is kept, as on a queue in a router.
    pub jitter: Duration,
    /// Share of packets that are overtaken: they leave [`NetworkConfig::reorder_by`] later than their place in the queue.
    pub reorder: f64,
    /// How long an overtaken packet is held.
    pub reorder_by: Duration,
    /// Share of packets sent twice.
    pub duplicate: f64,
    /// Nothing leaves for a while, then everything at once.
    pub stalls: Vec<Stall>,
    /// Also impair STUN, DTLS and data-channel packets. RTP and RTCP alone otherwise, so that set-up stays as quick as on a good path.
    pub everything: bool,
}

/// One stall of the network, in time since the session was requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// When it begins.
    pub at: Duration,
    /// How long nothing leaves.
    pub length: Duration,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            loss: 0.0,
            loss_burst: 1.0,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            reorder: 0.0,
            reorder_by: Duration::from_millis(45),
            duplicate: 0.0,
            stalls: Vec::new(),
            everything: false,
        }
    }
}

impl NetworkConfig {
    /// True if no packet is ever lost, held or doubled.
    pub fn is_clean(&self) -> bool {
        self.loss == 0.0
            && self.delay.is_zero()
            && self.jitter.is_zero()
            && self.reorder == 0.0
            && self.duplicate == 0.0
            && self.stalls.is_empty()
    }
}

/// Packets held at once. Beyond it the oldest waiting packet is lost, as in a full router queue: at 50 packets a second this is more
/// than 80 seconds.
pub const QUEUE_PACKETS: usize = 4096;

/// One direction of a path.
#[derive(Debug)]
pub struct Network<T> {
    config: NetworkConfig,
    rng: SmallRng,
    bursting: bool,
    last_release: Duration,
    queue: BTreeMap<(Duration, u64), T>,
    order: u64,
    lost: u64,
}

impl<T: Clone> Network<T> {
    /// A path with these faults. The same seed and the same packets give the same fate.
    pub fn new(config: NetworkConfig, seed: u64) -> Self {
        Self {
            config,
            rng: SmallRng::seed_from_u64(seed),
            bursting: false,
            last_release: Duration::ZERO,
            queue: BTreeMap::new(),
            order: 0,
            lost: 0,
        }
    }

    /// Takes a packet at `now`; it comes out of [`Network::pop`] when it is due, or never.
    pub fn push(&mut self, now: Duration, packet: T) {
        if self.loses() {
            self.lost += 1;
            return;
        }
        let jitter = self.config.jitter.mul_f64(self.rng.random::<f64>());
        let mut release = (now + self.config.delay + jitter).max(self.last_release);
        for stall in &self.config.stalls {
            if release >= stall.at && release < stall.at + stall.length {
                release = stall.at + stall.length;
            }
        }
        self.last_release = release;
        if self.rng.random::<f64>() < self.config.duplicate {
            self.enqueue(release, packet.clone());
        }
        if self.rng.random::<f64>() < self.config.reorder {
            release += self.config.reorder_by;
        }
        self.enqueue(release, packet);
    }

    fn enqueue(&mut self, release: Duration, packet: T) {
        if self.queue.len() >= QUEUE_PACKETS {
            self.queue.pop_first();
            self.lost += 1;
        }
        self.order += 1;
        self.queue.insert((release, self.order), packet);
    }

    /// Gilbert's two states: losses come in bursts of the configured mean length, and their long-run share is `loss`.
    fn loses(&mut self) -> bool {
        let NetworkConfig { loss, loss_burst, .. } = self.config;
        if loss <= 0.0 {
            return false;
        }
        if loss >= 1.0 {
            return true;
        }
        let leave = 1.0 / loss_burst.max(1.0);
        let enter = (leave * loss / (1.0 - loss)).min(1.0);
        let draw = self.rng.random::<f64>();
        self.bursting = if self.bursting { draw >= leave } else { draw < enter };
        self.bursting
    }

    /// A packet that is due at `now`, oldest first.
    pub fn pop(&mut self, now: Duration) -> Option<T> {
        let entry = self.queue.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    /// When the next packet is due.
    pub fn next(&self) -> Option<Duration> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// Packets lost so far.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(config: NetworkConfig, packets: u32) -> Vec<(Duration, u32)> {
        let mut network = Network::new(config, 7);
        let mut out = Vec::new();
        for i in 0..packets {
            let now = Duration::from_millis(20) * i;
            while let Some(at) = network.next().filter(|at| *at <= now) {
                out.push((at, network.pop(now).expect("due")));
            }
            network.push(now, i);
        }
        while let Some(at) = network.next() {
            out.push((at, network.pop(at).expect("due")));
        }
        out
    }

    #[test]
    fn a_clean_path_passes_everything_at_once() {
        assert!(NetworkConfig::default().is_clean());
        let out = run(NetworkConfig::default(), 100);
        assert_eq!(out.len(), 100);
        assert!(out.iter().all(|(at, i)| *at == Duration::from_millis(20) * *i));
    }

    #[test]
    fn losses_have_their_share_and_their_burst_length() {
        for burst in [1.0, 4.0] {
            let config = NetworkConfig { loss: 0.1, loss_burst: burst, ..Default::default() };
            let kept: Vec<u32> = run(config, 40_000).into_iter().map(|(_, i)| i).collect();
            let lost = 40_000 - kept.len();
            assert!((3_500..4_500).contains(&lost), "{lost}");
            let bursts = kept.windows(2).filter(|w| w[1] - w[0] > 1).count();
            let mean = lost as f64 / bursts as f64;
            let expected = if burst == 1.0 { 1.11 } else { 4.0 };
            assert!((mean - expected).abs() < 0.6, "mean burst {mean}");
        }
    }

    #[test]
    fn jitter_keeps_order_and_reordering_breaks_it() {
        let config = NetworkConfig { jitter: Duration::from_millis(80), ..Default::default() };
        let order: Vec<u32> = run(config, 500).into_iter().map(|(_, i)| i).collect();
        assert!(order.is_sorted());
        let config = NetworkConfig { reorder: 0.1, ..Default::default() };
        let order: Vec<u32> = run(config, 500).into_iter().map(|(_, i)| i).collect();
        assert!(!order.is_sorted());
        assert_eq!(order.len(), 500);
    }

    #[test]
    fn a_stall_holds_everything_and_lets_it_go_together() {
        let stall = Stall { at: Duration::from_millis(200), length: Duration::from_millis(300) };
        let out = run(NetworkConfig { stalls: vec![stall], ..Default::default() }, 50);
        assert_eq!(out.iter().filter(|(at, _)| *at == Duration::from_millis(500)).count(), 16);
        assert!(!out.iter().any(|(at, _)| *at >= stall.at && *at < stall.at + stall.length));
    }

    #[test]
    fn duplicates_come_twice() {
        let out = run(NetworkConfig { duplicate: 1.0, ..Default::default() }, 10);
        assert_eq!(out.len(), 20);
    }
}
