//! Other people's buffers on the same traces: what they do in principle, in a few lines each.

use super::score::Score;
use super::{PACKET_MS, Profile, Sent};

/// A fixed delay over the first packet's arrival (LiveKit SIP: 60 ms; many gateways: 40 ms).
pub fn fixed(profile: &Profile, trace: &[Sent], delay_ms: f64) -> Score {
    let mut score = started(trace);
    let Some(origin) = origin(trace) else { return score };
    for sent in trace {
        let due = origin + delay_ms + sent.number as f64 * PACKET_MS;
        match sent.arrival {
            Some(arrival) if arrival <= due => {
                score.added.push((due - sent.at - profile.base_ms) as f32);
            }
            _ => score.concealed_ms += PACKET_MS,
        }
    }
    score
}

/// Asterisk's adaptive buffer (`jitterbuf.c`): the spread of the last 500 delays less their worst 3 %, plus 40 ms;
/// one whole frame is put in or left out at a time, at most every 40 ms; a frame put in is made up.
pub fn asterisk(profile: &Profile, trace: &[Sent]) -> Score {
    const HISTORY: usize = 500;
    const DROPPED: f64 = 0.03;
    const EXTRA_MS: f64 = 40.0;
    let mut score = started(trace);
    let Some(origin) = origin(trace) else { return score };
    let mut arrivals: Vec<(f64, f64)> = trace
        .iter()
        .filter_map(|s| Some((s.arrival?, s.arrival? - s.number as f64 * PACKET_MS - origin)))
        .collect();
    arrivals.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut arrived = 0;
    let mut history: std::collections::VecDeque<f64> = std::collections::VecDeque::new();
    let (mut delay, mut target, mut adjusted) = (EXTRA_MS, EXTRA_MS, f64::MIN);
    for sent in trace {
        let media = origin + sent.number as f64 * PACKET_MS;
        let before = arrived;
        while arrived < arrivals.len() && arrivals[arrived].0 <= media + delay {
            history.push_back(arrivals[arrived].1);
            if history.len() > HISTORY {
                history.pop_front();
            }
            arrived += 1;
        }
        if arrived > before {
            let mut sorted: Vec<f64> = history.iter().copied().collect();
            sorted.sort_unstable_by(f64::total_cmp);
            let kept = sorted.len() - (sorted.len() as f64 * DROPPED) as usize;
            target = sorted[kept - 1] + EXTRA_MS;
        }
        let now = media + delay;
        if now >= adjusted + 2.0 * PACKET_MS {
            if target > delay + PACKET_MS {
                delay += PACKET_MS;
                score.concealed_ms += PACKET_MS;
                adjusted = now;
            } else if target < delay - PACKET_MS {
                // This frame is left out.
                delay -= PACKET_MS;
                adjusted = now;
                continue;
            }
        }
        match sent.arrival {
            Some(arrival) if arrival <= media + delay => {
                score.added.push((media + delay - sent.at - profile.base_ms) as f32);
            }
            _ => score.concealed_ms += PACKET_MS,
        }
    }
    score
}

fn started(trace: &[Sent]) -> Score {
    let lost = trace.iter().filter(|sent| sent.arrival.is_none()).count();
    Score { sent: trace.len() as u64, lost: lost as u64, ..Score::default() }
}

/// When the first packet would have been sent to come when it came, ms.
fn origin(trace: &[Sent]) -> Option<f64> {
    trace.iter().find_map(|sent| Some(sent.arrival? - sent.number as f64 * PACKET_MS))
}
