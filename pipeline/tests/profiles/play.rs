//! Runs a trace through the jitter buffer in simulated time.

use pipeline::jitter::{Arrival, JitterBuffer, Playout};
use pipeline::{JitterConfig, ModelCodec, Nanos, Packet, SampleRate, Ticks};

use super::score::Score;
use super::{Profile, Sent};

/// Where the clock starts, ms: nothing may happen before its origin.
const ORIGIN_MS: f64 = 10_000.0;
const FRAME: Ticks = Ticks::from_millis(20);

/// A moment of the trace on the buffer's clock.
pub fn nanos(ms: f64) -> Nanos {
    Nanos(((ORIGIN_MS + ms) * 1e6) as u64)
}

fn millis(at: Nanos) -> f64 {
    at.0 as f64 / 1e6 - ORIGIN_MS
}

/// What became of each packet.
pub struct Run {
    pub score: Score,
    /// When each packet was sent and by how much its playing was later than that plus the base path, ms.
    pub played: Vec<(f64, f64)>,
}

/// Plays a trace. Silence is cut in whole frames as [`pipeline::Downlink`] does it.
pub fn play(profile: &Profile, trace: &[Sent], config: JitterConfig) -> Run {
    let mut arrivals: Vec<(f64, usize)> =
        trace.iter().enumerate().filter_map(|(i, sent)| Some((sent.arrival?, i))).collect();
    arrivals.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut score = Score { sent: trace.len() as u64, ..Score::default() };
    score.lost = score.sent - arrivals.len() as u64;
    let mut played = Vec::with_capacity(arrivals.len());

    let mut buffer = JitterBuffer::new(config);
    let mut arrivals = arrivals.into_iter().peekable();
    let mut voiced = false;
    // When what was put out so far ends, and what of it was made up since the last packet.
    let (mut end, mut made_up): (Option<f64>, f64) = (None, 0.0);
    let mut paused = false;
    loop {
        let arrival = arrivals.peek().map(|a| nanos(a.0));
        let due = buffer.next_due();
        if let Some(now) = arrival.filter(|arrival| due.is_none_or(|due| *arrival <= due)) {
            let (_, i) = arrivals.next().expect("it was just looked at");
            let packet = packet(&trace[i], now);
            if buffer.handle_packet(&packet) == Arrival::Late {
                score.discarded += 1;
            }
            continue;
        }
        // What rings out after the end is no part of the stream.
        let Some(due) = due.filter(|_| arrival.is_some() || !buffer.is_empty()) else { break };
        while let Some((due_at, playout)) = buffer.poll(due, voiced) {
            let due = millis(due_at);
            let gap = end.map_or(0.0, |end| due - end);
            let mut cut = false;
            let mut nothing_there = paused;
            let length = match playout {
                Playout::Packet(packet) => {
                    nothing_there |= packet.born == due_at;
                    let i = u64::from_le_bytes(packet.payload()[..8].try_into().expect("it is 8 bytes"));
                    let sent = &trace[i as usize];
                    played.push((sent.at, due - sent.at - profile.base_ms));
                    voiced = sent.voiced;
                    cut = !voiced;
                    score.concealed_ms += made_up;
                    made_up = 0.0;
                    20.0
                }
                Playout::Conceal(length) | Playout::Silence(length) => {
                    nothing_there = true;
                    made_up += length.0 as f64 / 48.0;
                    length.0 as f64 / 48.0
                }
                Playout::Fec { .. } => panic!("there is no FEC in G.711"),
                Playout::Pause => {
                    voiced = false;
                    0.0
                }
            };
            // A wait for something to come is a hole; one before a packet that is here is the delay growing.
            if nothing_there && gap > 0.0 {
                score.concealed_ms += gap;
                score.gap_ms += gap;
            } else {
                score.stretched_ms += gap.abs();
            }
            paused = length == 0.0;
            end = Some(due + length);
            if cut && buffer.excess() >= FRAME {
                buffer.handle_cut(FRAME);
                end = end.map(|end| end - 20.0);
                played.pop();
            }
        }
    }
    score.discarded += buffer.take_counts().dropped;
    score.added = played.iter().map(|(_, added)| *added as f32).collect();
    Run { score, played }
}

fn packet(sent: &Sent, now: Nanos) -> Packet {
    let mut payload = [0x80; 160];
    payload[..8].copy_from_slice(&sent.number.to_le_bytes());
    let timestamp = (sent.number as u32).wrapping_mul(SampleRate::Hz8000.samples(20) as u32);
    Packet::new(now, ModelCodec::Pcmu, sent.number as u16, timestamp, false, &payload)
        .expect("160 bytes are a packet")
}
