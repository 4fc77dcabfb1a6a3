//! Twilio's queue of our sound, as far as it can be known from here. Pure.
//!
//! Twilio plays outbound sound first in, first out, a frame of 20 ms a beat, and never takes any back; a mark is echoed when everything
//! before it has been played, and `clear` empties the queue and echoes what was waiting
//! (<https://www.twilio.com/docs/voice/media-streams/websocket-messages>). So what waits there is delay for everything behind it.
//!
//! Known on this side are the moment each frame was written, the moment each echo was read, and the shortest round trip. All moments in
//! here are this side's, **the way there left out**: what is written at [`FarEnd::ends`] arrives just as the queue runs dry. An echo
//! read at *t* then says that the sound before its mark ended at *t* less the whole round trip, however that divides into there and back.
//!
//! Between echoes the queue is reckoned forward: a frame that meets sound is played behind it, one that meets silence at the next beat.
//! Every echo puts that right: frames that were held up on the way and met silence unseen, and a clock of Twilio's that is not ours. An
//! echo that was itself held up on its way would look like a longer queue; the caller's sound, which comes the same way, tells them apart.

use std::collections::VecDeque;
use std::time::Duration;

use pipeline::{Nanos, SampleRate};

use super::least::Least;

/// Marks waiting at once. At one per 160 ms this is over 40 s of sound in Twilio's queue, where 100 ms is the aim.
pub const MAX_WAITING: usize = 256;
/// A mark not echoed for so long never will be: Twilio's queue would have to be this long.
pub const LOST_AFTER: Duration = Duration::from_secs(30);
/// Twilio hands a frame to the telephone network each 20 ms, at a phase of its own.
const BEAT: Duration = Duration::from_millis(20);
/// What passes until the next beat, on average: the wait of a frame that meets silence, and the rest of the one that `clear` finds
/// sounding. The next echo tells exactly. To go by the phase of earlier echoes would be nearer as a rule and a whole beat off whenever
/// a frame comes close to a beat, which some calls do all the time.
const TO_NEXT_BEAT: Duration = BEAT.checked_div(2).expect("two is not zero");

/// Three pings are within. Shorter, and one that met a stall would be all there is; longer, and a path that has become longer for good
/// would be taken for a queue for all that time.
const ROUND_TRIP_WINDOW: Duration = Duration::from_secs(30);
/// Longer than any stall, or it would be taken for the path; shorter than two clocks 200 ppm apart need to differ by what counts. After
/// the caller's clock has stood still, no echo is believed for so long.
const WAY_BACK_WINDOW: Duration = Duration::from_secs(10);

/// What waits at Twilio on one stream.
#[derive(Debug)]
pub struct FarEnd {
    rate: SampleRate,
    /// Samples sent since the stream's start.
    sent: u64,
    /// Of these, what was before the current generation.
    before: u64,
    /// Of these, what has been played for certain.
    heard: u64,
    /// When all of it will have been played; 0 before the first frame.
    ends: Nanos,
    /// No sooner than then can the last frame have been played: it cannot sound before it is written.
    earliest: Nanos,
    marks: VecDeque<Mark>,
    /// Of pings and of echoes, ns.
    round_trip: Least,
    /// Arrival less media time of the caller's frames, ns.
    way_back: Least,
    /// How much later than the quickest the caller's last frame came, ns, and when.
    late: (i64, Nanos),
}

#[derive(Debug)]
struct Mark {
    name: String,
    sent: Nanos,
    /// Samples sent before it.
    behind: u64,
    /// No sooner than then can what is before it have been played.
    earliest: Nanos,
    /// The queue was taken for empty when it was sent.
    idle: bool,
    /// A `clear` follows it: its echo says nothing about what was played.
    cleared: bool,
    /// Where the stream's first sample would have had to be played at the latest for the frames between this mark and the next to be
    /// played when they were written, ns: a frame cannot sound before that.
    since: Option<i64>,
}

impl FarEnd {
    /// An empty queue of sound at `rate`.
    pub fn new(rate: SampleRate) -> Self {
        Self {
            rate,
            sent: 0,
            before: 0,
            heard: 0,
            ends: Nanos(0),
            earliest: Nanos(0),
            marks: VecDeque::new(),
            round_trip: Least::over(ROUND_TRIP_WINDOW),
            way_back: Least::over(WAY_BACK_WINDOW),
            late: (0, Nanos(0)),
        }
    }

    /// When everything sent so far will have been played; [`Nanos`] 0 before the first frame.
    pub fn ends(&self) -> Nanos {
        self.ends
    }

    /// What waits in front of a frame that is written at `now`.
    pub fn depth(&self, now: Nanos) -> Duration {
        self.ends.saturating_sub(now)
    }

    /// Samples of this generation that have left the queue at `now`: at least up to the last mark that was echoed, at most all. Half the
    /// round trip is taken for the way there.
    pub fn played(&self, now: Nanos) -> u64 {
        let there = self.round_trip.get().unwrap_or(0) / 2;
        let waiting = self.samples(self.ends.offset(there).saturating_sub(now));
        let played = self.sent.saturating_sub(waiting).max(self.heard);
        played.saturating_sub(self.before)
    }

    /// A frame of `samples` was written.
    pub fn frame(&mut self, samples: u64, now: Nanos) {
        if let Some(mark) = self.marks.back_mut() {
            let since = now.0 as i64 - length(self.sent, self.rate);
            mark.since = mark.since.max(Some(since));
        }
        let begins = if self.ends > now { self.ends } else { now + TO_NEXT_BEAT };
        self.ends = begins.offset(length(samples, self.rate));
        self.earliest = now.offset(length(samples, self.rate));
        self.sent += samples;
    }

    /// A mark is being written. Returns how many older ones were given up.
    pub fn mark(&mut self, name: String, now: Nanos) -> usize {
        let before = self.marks.len();
        let old = |mark: &Mark| now.saturating_sub(mark.sent) >= LOST_AFTER;
        while self.marks.len() >= MAX_WAITING || self.marks.front().is_some_and(old) {
            self.marks.pop_front();
        }
        let lost = before - self.marks.len();
        self.marks.push_back(Mark {
            name,
            sent: now,
            behind: self.sent,
            earliest: self.earliest.max(now),
            idle: self.ends <= now,
            cleared: false,
            since: None,
        });
        lost
    }

    /// An echo was read. Returns whether the mark was waiting; one that came out of turn changes nothing but that.
    pub fn echoed(&mut self, name: &str, now: Nanos) -> bool {
        let Some(at) = self.marks.iter().position(|mark| mark.name == name) else { return false };
        let since = self.marks.range(at..).filter_map(|mark| mark.since).max();
        let Some(mark) = self.marks.remove(at) else { return false };
        if let Some(older) = at.checked_sub(1).and_then(|at| self.marks.get_mut(at)) {
            older.since = older.since.max(mark.since);
        }
        if mark.cleared || mark.behind < self.heard {
            return true;
        }
        self.heard = mark.behind;
        self.round_trip.took(now.minus(mark.earliest).max(0), now);
        let trip = self.round_trip.get().unwrap_or(0);
        let held_up = self.held_up(now);
        let ended = now.offset(-trip - held_up).max(mark.earliest);
        if mark.idle && ended <= mark.sent + BEAT {
            // Nothing was waiting, and this is when the mark came rather than when sound ended.
            return true;
        }
        let ends = ended.offset(length(self.sent - mark.behind, self.rate));
        let at_least = since.map_or(Nanos(0), |since| Nanos(0).offset(since + length(self.sent, self.rate)));
        self.ends = if at_least > ends { at_least + TO_NEXT_BEAT } else { ends };
        true
    }

    /// `clear` was written: what waits is gone, but for the frame that sounds. Returns how many samples of the stream will have been
    /// played by then.
    pub fn clear(&mut self, now: Nanos) -> u64 {
        let waiting = self.samples(self.ends.saturating_sub(now + TO_NEXT_BEAT));
        let played = self.sent.saturating_sub(waiting).max(self.heard);
        self.ends = self.ends.min(now + TO_NEXT_BEAT);
        for mark in &mut self.marks {
            mark.cleared = true;
        }
        self.heard = self.sent;
        self.before = self.sent;
        played
    }

    /// Frames of a new generation follow.
    pub fn begin_generation(&mut self) {
        self.before = self.sent;
    }

    /// Sound of the caller's was read that belongs at sample `time` of the stream.
    pub fn caller(&mut self, time: u64, now: Nanos) {
        let offset = (now.0 as i64).saturating_sub(length(time, self.rate));
        self.way_back.took(offset, now);
        self.late = (offset.saturating_sub(self.way_back.get().unwrap_or(offset)), now);
    }

    /// When the caller's last frame was read; 0 before the first. While Twilio is there one comes every 20 ms, but for a muted line.
    pub fn last_sign(&self) -> Nanos {
        self.late.1
    }

    /// How long, ns, an echo was held up that is read at `now`: as long as the caller's last frame less the beat it was sent before it. Of
    /// a caller who sends nothing nothing can be said.
    fn held_up(&self, now: Nanos) -> i64 {
        let (late, at) = self.late;
        if now.saturating_sub(at) > 2 * BEAT { 0 } else { (late - BEAT.as_nanos() as i64).max(0) }
    }

    /// A ping was answered after `round_trip`.
    pub fn pinged(&mut self, round_trip: Duration, now: Nanos) {
        self.round_trip.took(round_trip.as_nanos() as i64, now);
    }

    fn samples(&self, length: Duration) -> u64 {
        (length.as_nanos() * u128::from(self.rate.hz()) / 1_000_000_000) as u64
    }
}

/// The length of so many samples, ns.
fn length(samples: u64, rate: SampleRate) -> i64 {
    i64::try_from(u128::from(samples) * 1_000_000_000 / u128::from(rate.hz())).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
