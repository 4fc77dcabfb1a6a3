//! What the caller's ear gets: Twilio's queue of outbound audio and marks, played at 8 000 bytes a second.
//!
//! Twilio plays first in, first out, whatever the pace of arrival; a mark is echoed when all audio before it has been played, at once if nothing is queued; `clear`
//! empties the queue and echoes every pending mark in order (<https://www.twilio.com/docs/voice/media-streams/websocket-messages>). The far side is a 20 ms RTP
//! clock: a frame taken from the queue sounds for 20 ms, is not called back by `clear`, and its marks are due when it is over.

use std::collections::VecDeque;
use std::time::Duration;

use super::g711;

/// What a byte sounds for.
const BYTE: Duration = Duration::from_micros(125);

/// Bytes (= samples) in 20 ms of mu-law at 8 kHz.
pub const FRAME: usize = 160;

/// The most audio Twilio holds: ten minutes. Beyond it audio is discarded with warning 31931. Raising it would let a bridge that never paces itself go unnoticed.
pub const CAPACITY_BYTES: usize = 4_800_000;

/// The most marks held. Twilio documents no limit; ours keeps a bridge that only sends marks from growing us without bound.
pub const CAPACITY_MARKS: usize = 10_000;

/// What did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overflow {
    /// Bytes of audio discarded.
    pub bytes: usize,
    /// Whether it is the first time on this stream: Twilio warns once.
    pub first: bool,
}

#[derive(Debug)]
enum Item {
    Audio { bytes: Vec<u8>, played: usize },
    Mark(String),
}

/// The queue of one stream. Pure: [`Playback::tick`] is the passing of 20 ms.
#[derive(Debug, Default)]
pub struct Playback {
    queue: VecDeque<Item>,
    queued_bytes: usize,
    marks: usize,
    /// Whether the frame taken at the last tick held audio and is sounding now.
    sounding: bool,
    overflowed: bool,
}

impl Playback {
    /// Audio arrived. Returns what was discarded because the queue was full.
    pub fn push_audio(&mut self, mut bytes: Vec<u8>) -> Option<Overflow> {
        let fits = bytes.len().min(CAPACITY_BYTES - self.queued_bytes);
        let lost = bytes.len() - fits;
        bytes.truncate(fits);
        if fits > 0 {
            self.queued_bytes += fits;
            self.queue.push_back(Item::Audio { bytes, played: 0 });
        }
        (lost > 0).then(|| Overflow { bytes: lost, first: !std::mem::replace(&mut self.overflowed, true) })
    }

    /// A mark arrived. Returns it if it is to be echoed at once: nothing is queued or sounding, or no more marks are held.
    pub fn push_mark(&mut self, name: String) -> Option<String> {
        if (self.queue.is_empty() && !self.sounding) || self.marks >= CAPACITY_MARKS {
            return Some(name);
        }
        self.marks += 1;
        self.queue.push_back(Item::Mark(name));
        None
    }

    /// `clear` arrived. Returns the bytes that will not be heard and the marks to echo, in order.
    pub fn clear(&mut self) -> (usize, Vec<String>) {
        let discarded = std::mem::take(&mut self.queued_bytes);
        self.marks = 0;
        let marks = self.queue.drain(..).filter_map(|item| match item {
            Item::Mark(name) => Some(name),
            Item::Audio { .. } => None,
        });
        (discarded, marks.collect())
    }

    /// The last 20 ms are over. Fills `frame` with the next 20 ms, silence where there is nothing, and returns the marks that are due now and how many bytes of `frame`
    /// are the bridge's.
    pub fn tick(&mut self, frame: &mut [u8; FRAME]) -> (Vec<String>, usize) {
        let mut due = Vec::new();
        self.take_marks(&mut due);
        frame.fill(g711::SILENCE);
        let mut filled = 0;
        // Marks inside the frame wait for its end, so they go back in front of what is left.
        let mut inside = Vec::new();
        while filled < FRAME {
            match self.queue.front_mut() {
                None => break,
                Some(Item::Mark(_)) => {
                    if let Some(Item::Mark(name)) = self.queue.pop_front() {
                        inside.push(name);
                    }
                }
                Some(Item::Audio { bytes, played }) => {
                    let n = (bytes.len() - *played).min(FRAME - filled);
                    frame[filled..filled + n].copy_from_slice(&bytes[*played..*played + n]);
                    filled += n;
                    *played += n;
                    if *played == bytes.len() {
                        self.queue.pop_front();
                    }
                }
            }
        }
        for name in inside.into_iter().rev() {
            self.queue.push_front(Item::Mark(name));
        }
        self.queued_bytes -= filled;
        self.sounding = filled > 0;
        (due, filled)
    }

    fn take_marks(&mut self, due: &mut Vec<String>) {
        while let Some(Item::Mark(_)) = self.queue.front() {
            if let Some(Item::Mark(name)) = self.queue.pop_front() {
                self.marks -= 1;
                due.push(name);
            }
        }
    }

    /// Audio waiting, in bytes; 8 a millisecond. The frame that sounds now is not in it.
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// What sounds before audio that arrives when so much of this beat has passed: the rest of the frame that sounds, and all that waits.
    /// Nothing in silence, though such audio waits for the next beat.
    pub fn ahead(&self, into_beat: Duration) -> Duration {
        if self.queued_bytes == 0 && !self.sounding {
            return Duration::ZERO;
        }
        let beat = BYTE * FRAME as u32;
        beat.saturating_sub(into_beat) + BYTE * self.queued_bytes as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(playback: &mut Playback) -> (Vec<String>, Vec<u8>) {
        let mut frame = [0; FRAME];
        let (marks, filled) = playback.tick(&mut frame);
        assert!(frame[filled..].iter().all(|&b| b == g711::SILENCE));
        (marks, frame[..filled].to_vec())
    }

    #[test]
    fn audio_is_played_in_order_and_in_real_time() {
        let mut p = Playback::default();
        p.push_audio(vec![1; 100]);
        p.push_audio(vec![2; 300]);
        assert_eq!(p.queued_bytes(), 400);
        assert_eq!(tick(&mut p).1, [vec![1; 100], vec![2; 60]].concat());
        assert_eq!(tick(&mut p).1, vec![2; 160]);
        assert_eq!(tick(&mut p).1, vec![2; 80]);
        assert!(tick(&mut p).1.is_empty());
        assert_eq!(p.queued_bytes(), 0);
    }

    #[test]
    fn a_mark_is_due_when_the_audio_before_it_has_sounded() {
        let mut p = Playback::default();
        assert_eq!(p.push_mark("at once".into()), Some("at once".into()));
        p.push_audio(vec![1; 160]);
        assert_eq!(p.push_mark("after 20 ms".into()), None);
        p.push_audio(vec![1; 80]);
        assert_eq!(p.push_mark("after 30 ms".into()), None);
        assert!(tick(&mut p).0.is_empty(), "the first frame begins to sound");
        assert_eq!(tick(&mut p).0, ["after 20 ms"]);
        assert_eq!(p.push_mark("while sounding".into()), None, "the short frame still sounds");
        assert_eq!(tick(&mut p).0, ["after 30 ms", "while sounding"]);
        assert_eq!(p.push_mark("silence again".into()), Some("silence again".into()));
    }

    #[test]
    fn clear_empties_the_queue_and_echoes_all_marks_in_order() {
        let mut p = Playback::default();
        for n in 0..3 {
            p.push_audio(vec![n; 320]);
            p.push_mark(format!("m{n}"));
        }
        tick(&mut p);
        let (discarded, marks) = p.clear();
        assert_eq!(discarded, 3 * 320 - 160);
        assert_eq!(marks, ["m0", "m1", "m2"]);
        assert_eq!(tick(&mut p), (vec![], vec![]));
        assert_eq!(p.clear(), (0, vec![]), "an empty queue may be cleared");
        p.push_audio(vec![9; 160]);
        assert_eq!(tick(&mut p).1, vec![9; 160], "and is used again");
    }

    #[test]
    fn ten_minutes_fit_and_the_first_byte_more_is_told_once() {
        let mut p = Playback::default();
        assert_eq!(p.push_audio(vec![1; CAPACITY_BYTES]), None);
        assert_eq!(p.push_audio(vec![1; 10]), Some(Overflow { bytes: 10, first: true }));
        assert_eq!(p.push_audio(vec![1; 20]), Some(Overflow { bytes: 20, first: false }));
        tick(&mut p);
        assert_eq!(p.push_audio(vec![1; 170]), Some(Overflow { bytes: 10, first: false }));
    }

    #[test]
    fn what_is_ahead_is_the_rest_of_the_beat_and_what_waits() {
        let ms = Duration::from_millis;
        let mut p = Playback::default();
        assert_eq!(p.ahead(ms(5)), ms(0));
        p.push_audio(vec![1; 320]);
        assert_eq!(p.ahead(ms(5)), ms(15 + 40));
        tick(&mut p);
        assert_eq!(p.ahead(ms(5)), ms(15 + 20));
        tick(&mut p);
        assert_eq!((p.ahead(ms(5)), p.ahead(ms(30))), (ms(15), ms(0)));
        tick(&mut p);
        assert_eq!(p.ahead(ms(5)), ms(0));
    }

    #[test]
    fn marks_are_bounded() {
        let mut p = Playback::default();
        p.push_audio(vec![1; 160]);
        for n in 0..CAPACITY_MARKS {
            assert_eq!(p.push_mark(n.to_string()), None);
        }
        assert_eq!(p.push_mark("one more".into()), Some("one more".into()));
        tick(&mut p);
        assert_eq!(tick(&mut p).0.len(), CAPACITY_MARKS);
    }
}
