//! The jitter buffer on seeded networks, in simulated time: what it adds and what it conceals.
//!
//! "added" is the time a packet is played minus the time it was sent plus the path's base delay. The bounds are those
//! of a first buffer; each would fail if the buffer waited or dropped noticeably more.
#![allow(clippy::disallowed_macros)] // a test may print its table

use pipeline::jitter::{Arrival, JitterBuffer, Playout};
use pipeline::{JitterConfig, ModelCodec, Nanos, Packet};

const BASE_MS: f64 = 20.0;
const ORIGIN_MS: f64 = 10_000.0;

/// A small generator with known statistics is all that a trace needs.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Gamma of shape 2: the sum of two exponentials.
    fn gamma2(&mut self, mean: f64) -> f64 {
        -(1.0 - self.unit()).ln() * mean / 2.0 - (1.0 - self.unit()).ln() * mean / 2.0
    }
}

/// What a network does to the packet sent at `20 * i` ms: its delay beyond the base, or nothing if it is lost.
type Network = Box<dyn FnMut(u64, &mut Random) -> Option<f64>>;

/// A queue that stalls now and then and then drains in order.
fn stalls(mean: f64, every_ms: f64, least: f64, most: f64) -> Network {
    let (mut free_at, mut next) = (0.0_f64, every_ms / 2.0);
    Box::new(move |i, random| {
        let sent = i as f64 * 20.0;
        if sent >= next {
            free_at = sent + least + random.unit() * (most - least);
            next = sent + every_ms * (0.5 + random.unit());
        }
        Some((free_at - sent).max(0.0) + random.gamma2(mean))
    })
}

fn jitter(mean: f64, loss: f64) -> Network {
    Box::new(move |_, random| (random.unit() >= loss).then(|| random.gamma2(mean)))
}

/// Gilbert-Elliott: bursts of three packets in the mean, five percent lost in all.
fn bursts(mean: f64) -> Network {
    let mut bad = false;
    Box::new(move |_, random| {
        bad = if bad { random.unit() < 2.0 / 3.0 } else { random.unit() < 0.05 / 0.95 / 3.0 };
        (!bad).then(|| random.gamma2(mean))
    })
}

fn overtaken(share: f64) -> Network {
    Box::new(move |_, random| {
        let late = if random.unit() < share { 25.0 + 20.0 * random.unit() } else { 0.0 };
        Some(random.gamma2(1.0) + late)
    })
}

#[derive(Default)]
struct Result {
    sent: u64,
    lost: u64,
    played: u64,
    concealed_ms: f64,
    added: Vec<f64>,
    counted: u64,
    late: u64,
}

impl Result {
    fn mean(&self) -> f64 {
        self.added.iter().sum::<f64>() / self.added.len() as f64
    }

    fn quantile(&self, q: f64) -> f64 {
        let mut sorted = self.added.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[((sorted.len() - 1) as f64 * q) as usize]
    }

    fn concealed_percent(&self) -> f64 {
        self.counted as f64 / self.sent as f64 * 100.0
    }
}

/// Runs `seconds` of speech through a network and the buffer; `sends` says whether packet `i` is sent at all.
fn run(
    seed: u64,
    seconds: u64,
    network: &mut Network,
    first_seq: u16,
    first_timestamp: u32,
    sends: impl Fn(u64) -> bool,
) -> Result {
    let mut random = Random(seed | 1);
    let mut result = Result::default();
    let mut arrivals: Vec<(f64, u64, u64)> = Vec::new();
    let mut number = 0;
    for i in 0..seconds * 50 {
        let delay = network(i, &mut random);
        if !sends(i) {
            continue;
        }
        result.sent += 1;
        match delay {
            Some(delay) => arrivals.push((i as f64 * 20.0 + BASE_MS + delay, i, number)),
            None => result.lost += 1,
        }
        number += 1;
    }
    arrivals.sort_by(|a, b| a.0.total_cmp(&b.0));

    let nanos = |ms: f64| Nanos(((ORIGIN_MS + ms) * 1e6) as u64);
    let mut buffer = JitterBuffer::new(JitterConfig::default());
    let mut arrivals = arrivals.into_iter().peekable();
    loop {
        let due = buffer.next_due();
        let arrival = arrivals.peek().map(|a| nanos(a.0));
        let (Some(now), from_network) = (match (due, arrival) {
            (Some(due), Some(arrival)) if due < arrival => (Some(due), false),
            (_, Some(arrival)) => (Some(arrival), true),
            (due, None) => (due, false),
        }) else {
            break;
        };
        if from_network {
            let Some((_, i, number)) = arrivals.next() else { break };
            let seq = first_seq.wrapping_add(number as u16);
            let timestamp = first_timestamp.wrapping_add(i as u32 * 160);
            let mut payload = [0x80; 160];
            payload[..8].copy_from_slice(&i.to_le_bytes());
            let packet = Packet::new(now, ModelCodec::Pcmu, seq, timestamp, false, &payload).unwrap();
            if buffer.handle_packet(&packet) == Arrival::Late {
                result.late += 1;
            }
            continue;
        }
        while let Some((due, playout)) = buffer.poll(now, true) {
            match playout {
                Playout::Packet(packet) => {
                    let i = u64::from_le_bytes(packet.payload()[..8].try_into().unwrap());
                    let sent = i as f64 * 20.0 + BASE_MS + ORIGIN_MS;
                    result.added.push(due.0 as f64 / 1e6 - sent);
                    result.played += 1;
                }
                Playout::Conceal(length) => result.concealed_ms += length.0 as f64 / 48.0,
                Playout::Fec { .. } => panic!("there is no FEC in G.711"),
                Playout::Silence(_) | Playout::Pause => {}
            }
        }
    }
    let counts = buffer.take_counts();
    result.counted = counts.concealed;
    assert_eq!(
        result.played + result.late + counts.dropped,
        result.sent - result.lost,
        "every packet has a fate"
    );
    result
}

fn table(name: &str, network: impl Fn() -> Network) -> Result {
    let mut all = Result::default();
    for seed in 1..=5 {
        let one = run(seed * 7_919, 120, &mut network(), 100, 5_000, |_| true);
        all.sent += one.sent;
        all.lost += one.lost;
        all.played += one.played;
        all.late += one.late;
        all.counted += one.counted;
        all.added.extend(one.added);
    }
    println!(
        "{name:9} added mean {:6.1} p50 {:6.1} p99 {:6.1} ms, concealed {:.3} % (lost {:.3} %), J {:.1}",
        all.mean(),
        all.quantile(0.5),
        all.quantile(0.99),
        all.concealed_percent(),
        all.lost as f64 / all.sent as f64 * 100.0,
        all.mean() + 20.0 * all.concealed_percent(),
    );
    all
}

#[test]
fn clean_paths_cost_three_milliseconds_and_nothing_is_concealed() {
    for (name, mean) in [("clean", 0.05), ("lan", 0.4)] {
        let result = table(name, || jitter(mean, 0.0));
        assert!(
            result.mean() <= 3.0 && result.quantile(0.99) <= 10.0,
            "{} {}",
            result.mean(),
            result.quantile(0.99)
        );
        assert!(result.concealed_percent() <= 0.05, "{}", result.concealed_percent());
    }
}

#[test]
fn the_internet_costs_eleven() {
    let result = table("inet", || jitter(2.0, 0.0005));
    assert!(result.mean() <= 11.0, "{}", result.mean());
    assert!(result.concealed_percent() <= 0.5, "{}", result.concealed_percent());
}

#[test]
fn losses_are_concealed_without_waiting_for_them() {
    for (name, network, lost) in
        [("loss1", (|| jitter(2.0, 0.01)) as fn() -> Network, 1.0), ("ge5", || bursts(3.0), 5.0)]
    {
        let result = table(name, network);
        let wire = result.lost as f64 / result.sent as f64 * 100.0;
        assert!((wire - lost).abs() < lost * 0.35, "the trace is what it claims: {wire}");
        assert!(result.mean() <= 15.0, "{name} {}", result.mean());
        assert!(result.concealed_percent() <= wire + 0.5, "{name} {}", result.concealed_percent());
    }
}

#[test]
fn overtaken_packets_are_waited_for() {
    let result = table("reorder2", || overtaken(0.02));
    assert!(result.mean() <= 56.0, "{}", result.mean());
    assert!(result.concealed_percent() <= 1.0, "{}", result.concealed_percent());
}

#[test]
fn stalls_are_survived() {
    for (name, network) in [
        ("wifi", (|| stalls(4.0, 3_000.0, 20.0, 80.0)) as fn() -> Network),
        ("spike200", || stalls(2.0, 30_000.0, 200.0, 200.0)),
    ] {
        let result = table(name, network);
        assert!(result.mean() <= 90.0, "{name} {}", result.mean());
        assert!(result.concealed_percent() <= 2.0, "{name} {}", result.concealed_percent());
    }
}

#[test]
fn a_sender_that_stops_and_resumes_loses_nothing() {
    // Two seconds of speech, one of nothing, its clock going on.
    let result = run(42, 120, &mut jitter(1.0, 0.0), 0, 0, |i| i % 150 < 100);
    assert!(
        result.counted <= result.sent / 200, // the share that the quantile gives up
        "only lateness may be concealed, not pauses: {} of {}",
        result.counted,
        result.sent
    );
    assert!(result.mean() <= 10.0, "{}", result.mean());
}

#[test]
fn wrapping_numbers_change_nothing() {
    let plain = run(7, 60, &mut jitter(2.0, 0.01), 0, 0, |_| true);
    let wrapping = run(7, 60, &mut jitter(2.0, 0.01), 65_000, u32::MAX - 100_000, |_| true);
    assert_eq!(plain.added, wrapping.added);
    assert_eq!(plain.counted, wrapping.counted);
}
