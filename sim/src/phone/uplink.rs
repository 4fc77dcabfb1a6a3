//! The messages of one stream toward the bridge: numbering, timestamps, and the faults that disturb them. Pure.

use std::time::Duration;

use super::faults::StreamFault;
use super::g711;
use super::message::{self, StreamIds};
use super::playback::FRAME;
use super::sid::Dice;

/// How far a timestamp may stray from its grid of 20 ms, either way: captures show a mean of 19.97 ms, so they are not exact multiples.
const DITHER_MS: i64 = 2;

/// The sender's half of one stream. Times count from the answer to the upgrade; every method returns what goes to the socket now, in order.
#[derive(Debug)]
pub struct Uplink {
    ids: StreamIds,
    faults: Vec<StreamFault>,
    dice: Dice,
    sequence: u64,
    chunk: u64,
    /// Subtracted from the clock after a restart, added after a flood.
    shift_ms: i64,
    restarted: bool,
    flooded: bool,
    held: Vec<String>,
    held_media: usize,
    swapped: Option<String>,
}

impl Uplink {
    /// A stream that has sent nothing yet.
    pub fn new(ids: StreamIds, faults: &[StreamFault], seed: u64) -> Self {
        Self {
            ids,
            faults: faults.to_vec(),
            dice: Dice::new(seed),
            sequence: 1,
            chunk: 1,
            shift_ms: 0,
            restarted: false,
            flooded: false,
            held: vec![],
            held_media: 0,
            swapped: None,
        }
    }

    fn number(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence - 1
    }

    /// `start`, with the identifiers it is to tell and what the TwiML's `<Parameter>`s said.
    pub fn start(
        &mut self,
        told: &StreamIds,
        parameters: &[(String, String)],
        format: Option<&(serde_json::Value, serde_json::Value)>,
    ) -> String {
        let sequence = self.number();
        message::start(told, sequence, parameters, format)
    }

    /// 20 ms of the caller's voice, complete at `now`.
    pub fn media(&mut self, now: Duration, frame: &[u8; FRAME]) -> Vec<String> {
        let mut fresh = Vec::new();
        for fault in self.faults.clone() {
            match fault {
                StreamFault::Gap { at, lasting } if (at..at + lasting).contains(&now) => {
                    return self.release(now, vec![]);
                }
                StreamFault::Restart { at } if now >= at && !self.restarted => {
                    self.restarted = true;
                    (self.sequence, self.chunk, self.shift_ms) = (1, 1, -(now.as_millis() as i64));
                }
                StreamFault::Flood { at, frames } if now >= at && !self.flooded => {
                    self.flooded = true;
                    for _ in 0..frames {
                        fresh.push(self.frame(now, &[g711::SILENCE; FRAME]));
                        self.shift_ms += 20;
                    }
                }
                _ => {}
            }
        }
        let message = self.frame(now, frame);
        let number = self.chunk - 1;
        let every = |pick: fn(&StreamFault) -> Option<u64>| {
            self.faults.iter().filter_map(pick).any(|n| n > 0 && number.is_multiple_of(n))
        };
        let repeat = every(|f| if let StreamFault::Repeat { every } = f { Some(*every) } else { None });
        let swap = every(|f| if let StreamFault::Swap { every } = f { Some(*every) } else { None });
        let late = self.swapped.take();
        if swap {
            self.swapped = Some(message);
        } else {
            fresh.extend(repeat.then(|| message.clone()));
            fresh.push(message);
        }
        fresh.extend(late);
        self.held_media += 1;
        self.release(now, fresh)
    }

    fn frame(&mut self, now: Duration, frame: &[u8; FRAME]) -> String {
        let dither = self.dice.between(-DITHER_MS, DITHER_MS);
        let timestamp = (now.as_millis() as i64 + self.shift_ms + dither).max(0).unsigned_abs();
        let sequence = self.number();
        self.chunk += 1;
        message::media(&self.ids, sequence, self.chunk - 1, timestamp, frame)
    }

    /// 20 ms passed without a frame.
    pub fn silent(&mut self, now: Duration) -> Vec<String> {
        self.release(now, vec![])
    }

    /// A key.
    pub fn dtmf(&mut self, now: Duration, digit: char) -> Vec<String> {
        let sequence = self.number();
        let message = message::dtmf(&self.ids, sequence, digit);
        self.release(now, vec![message])
    }

    /// The echo of a mark.
    pub fn mark(&mut self, now: Duration, name: &str) -> Vec<String> {
        let sequence = self.number();
        let message = message::mark(&self.ids, sequence, name);
        self.release(now, vec![message])
    }

    /// Everything that was held back, then `stop`.
    pub fn stop(&mut self) -> Vec<String> {
        let sequence = self.number();
        let mut messages = std::mem::take(&mut self.held);
        messages.extend(self.swapped.take());
        messages.push(message::stop(&self.ids, sequence));
        messages
    }

    /// Holds messages back as long as a stall or an unfinished burst says so.
    fn release(&mut self, now: Duration, fresh: Vec<String>) -> Vec<String> {
        self.held.extend(fresh);
        let hold = self.faults.iter().any(|fault| match fault {
            StreamFault::Stall { at, lasting } => (*at..*at + *lasting).contains(&now),
            StreamFault::Burst { at, frames } => now >= *at && self.held_media < *frames,
            _ => false,
        });
        if hold {
            return vec![];
        }
        self.held_media = 0;
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn uplink(faults: &[StreamFault]) -> Uplink {
        Uplink::new(StreamIds { account: "AC1".into(), call: "CA1".into(), stream: "MZ1".into() }, faults, 7)
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Sends `count` frames from 100 ms on; the (tick, sequence, chunk, timestamp) of what came out.
    fn send(uplink: &mut Uplink, count: u64) -> Vec<(u64, i64, i64, i64)> {
        let mut out = vec![];
        for n in 0..count {
            for text in uplink.media(ms(100 + 20 * n), &[0xFF; FRAME]) {
                let v: Value = serde_json::from_str(&text).unwrap();
                let number = |v: &Value| v.as_str().expect("a string on the wire").parse::<i64>().unwrap();
                out.push((
                    n,
                    number(&v["sequenceNumber"]),
                    number(&v["media"]["chunk"]),
                    number(&v["media"]["timestamp"]),
                ));
            }
        }
        out
    }

    #[test]
    fn numbers_count_and_timestamps_follow_the_clock() {
        let mut u = uplink(&[]);
        assert!(u.start(&u.ids.clone(), &[], None).contains(r#""sequenceNumber":"1""#));
        let sent = send(&mut u, 50);
        assert_eq!(sent.len(), 50);
        for (n, sequence, chunk, timestamp) in sent {
            assert_eq!((sequence, chunk), (n as i64 + 2, n as i64 + 1));
            assert!((timestamp - (100 + 20 * n as i64)).abs() <= DITHER_MS);
        }
    }

    #[test]
    fn a_burst_comes_together_and_a_stall_ends_with_everything() {
        let ticks =
            |faults: &[StreamFault]| send(&mut uplink(faults), 20).iter().map(|m| m.0).collect::<Vec<_>>();
        let burst = ticks(&[StreamFault::Burst { at: ms(0), frames: 5 }]);
        assert_eq!(burst[..10], [4, 4, 4, 4, 4, 9, 9, 9, 9, 9]);
        let stall = ticks(&[StreamFault::Stall { at: ms(140), lasting: ms(100) }]);
        assert_eq!(stall[..9], [0, 1, 7, 7, 7, 7, 7, 7, 8]);
    }

    #[test]
    fn a_gap_loses_frames_and_time_goes_on() {
        let sent = send(&mut uplink(&[StreamFault::Gap { at: ms(140), lasting: ms(100) }]), 10);
        assert_eq!(sent.iter().map(|m| m.0).collect::<Vec<_>>(), [0, 1, 7, 8, 9]);
        assert_eq!(
            sent.iter().map(|m| m.2).collect::<Vec<_>>(),
            [1, 2, 3, 4, 5],
            "chunks count what was sent"
        );
        assert!((sent[2].3 - sent[1].3 - 120).abs() <= 2 * DITHER_MS);
    }

    #[test]
    fn a_flood_runs_ahead_of_the_clock() {
        let sent = send(&mut uplink(&[StreamFault::Flood { at: ms(120), frames: 500 }]), 3);
        assert_eq!(sent.iter().filter(|m| m.0 == 1).count(), 501);
        let last = sent.last().unwrap();
        assert!((last.3 - (140 + 10_000)).abs() <= DITHER_MS);
        assert!(sent.windows(2).all(|w| w[1].3 > w[0].3));
    }

    #[test]
    fn repeats_swaps_and_restarts() {
        let chunks =
            |faults: &[StreamFault]| send(&mut uplink(faults), 7).iter().map(|m| m.2).collect::<Vec<_>>();
        assert_eq!(chunks(&[StreamFault::Repeat { every: 3 }]), [1, 2, 3, 3, 4, 5, 6, 6, 7]);
        assert_eq!(chunks(&[StreamFault::Swap { every: 3 }]), [1, 2, 4, 3, 5, 7, 6]);
        assert_eq!(chunks(&[StreamFault::Restart { at: ms(160) }]), [1, 2, 3, 1, 2, 3, 4]);
    }

    #[test]
    fn a_stop_is_the_last_even_after_a_stall() {
        let mut u = uplink(&[StreamFault::Stall { at: ms(0), lasting: ms(60_000) }]);
        assert!(send(&mut u, 3).is_empty());
        assert!(u.mark(ms(200), "m").is_empty());
        let messages = u.stop();
        assert_eq!(messages.len(), 5);
        assert!(messages[3].contains("\"m\"") && messages[4].contains("stop"));
    }
}
