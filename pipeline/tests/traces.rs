//! The jitter buffer on seeded networks, in simulated time: what it adds and what it conceals.
//!
//! "added" is the time a packet is played minus the time it was sent plus the path's base delay. How the buffer
//! compares on the networks it is made for is in `neteq.rs`.

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

fn jitter(mean: f64, loss: f64) -> Network {
    Box::new(move |_, random| (random.unit() >= loss).then(|| random.gamma2(mean)))
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
