//! Media time of the caller's sound. Pure.
//!
//! Twilio stamps each message with ms since the stream's start, but not exactly: 72 frames of 20 ms were seen to span 1438 ms.
//! Followed to the letter such stamps would tear the sound apart, ignored they would close real gaps. So time follows the
//! samples, and leaps only where stamp and samples are half a frame apart or more, by whole frames.

/// One frame, ms.
const FRAME_MS: u64 = 20;
/// A stamp that leaps further ahead than this is no gap but another clock, ms: no call is silent for so long without `stop`.
const MAX_GAP_MS: u64 = 60_000;
/// A stamp this far back is a clock that began anew; nearer ones are repetitions, ms. TCP keeps order, so repetitions are near; a clock
/// that begins anew nearer than this costs as much sound.
const RESET_MS: u64 = 1_000;

/// Where a message's sound belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At this sample since the stream's start. `gap` samples before it never came.
    At {
        /// Samples since the first one, gaps included.
        time: u64,
        /// Samples missing before it.
        gap: u64,
        /// The stamps began anew; time goes on.
        reset: bool,
    },
    /// It was here before.
    Duplicate,
}

/// One stream's media time.
#[derive(Debug)]
pub struct MediaClock {
    samples_per_ms: u64,
    /// Where the next sample belongs if nothing is missing.
    next: u64,
    /// Stamp of media time 0, in ms; may lie before the first stamp or, after a reset, anywhere.
    origin_ms: i128,
    last: Option<Last>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    chunk: Option<u64>,
    timestamp_ms: Option<u64>,
}

impl MediaClock {
    /// `rate_hz` of the stream's media format, a multiple of 1000.
    pub fn new(rate_hz: u32) -> Self {
        Self { samples_per_ms: u64::from(rate_hz / 1000), next: 0, origin_ms: 0, last: None }
    }

    /// Places a message of `samples` samples.
    pub fn place(&mut self, chunk: Option<u64>, timestamp_ms: Option<u64>, samples: u64) -> Place {
        let Some(last) = self.last.replace(Last { chunk, timestamp_ms }) else {
            // Twilio's first stamp is 100–170 ms: what came before was never sent to anyone.
            self.origin_ms = i128::from(timestamp_ms.unwrap_or(0));
            return self.advance(0, samples, false);
        };
        let Some(stamp) = timestamp_ms else {
            // No stamp to go by: a chunk number said twice is a repetition, anything else follows.
            self.last = Some(Last { chunk, timestamp_ms: last.timestamp_ms });
            if chunk.is_some() && chunk == last.chunk {
                return Place::Duplicate;
            }
            return self.advance(0, samples, false);
        };
        if let Some(before) = last.timestamp_ms {
            let repeated_chunk = match (chunk, last.chunk) {
                (Some(now), Some(then)) => now <= then,
                _ => true,
            };
            if stamp <= before && before - stamp < RESET_MS && repeated_chunk {
                self.last = Some(last);
                return Place::Duplicate;
            }
            if stamp < before || stamp - before > MAX_GAP_MS {
                let next_ms = self.next / self.samples_per_ms;
                self.origin_ms = i128::from(stamp) - i128::from(next_ms);
                return self.advance(0, samples, true);
            }
        }
        let expected_ms = self.origin_ms + i128::from(self.next / self.samples_per_ms);
        let ahead_ms = u64::try_from(i128::from(stamp) - expected_ms).unwrap_or(0);
        let frames = (ahead_ms + FRAME_MS / 2) / FRAME_MS;
        self.advance(frames * FRAME_MS * self.samples_per_ms, samples, false)
    }

    fn advance(&mut self, gap: u64, samples: u64, reset: bool) -> Place {
        let time = self.next + gap;
        self.next = time + samples;
        Place::At { time, gap, reset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: u64, gap: u64) -> Place {
        Place::At { time, gap, reset: false }
    }

    #[test]
    fn stamps_of_a_capture_are_no_gaps() {
        let mut clock = MediaClock::new(8000);
        // First stamp 155, then 19.97 ms apart, unevenly rounded.
        for i in 0..3000u64 {
            let stamp = 155 + (i * 1997 + (i % 3) * 100) / 100;
            assert_eq!(clock.place(Some(i + 1), Some(stamp), 160), at(i * 160, 0), "frame {i}");
        }
    }

    #[test]
    fn a_lost_frame_and_a_long_mute_keep_their_length() {
        let mut clock = MediaClock::new(8000);
        assert_eq!(clock.place(Some(1), Some(100), 160), at(0, 0));
        assert_eq!(clock.place(Some(3), Some(138), 160), at(320, 160));
        assert_eq!(clock.place(Some(4), Some(10_161), 160), at(160 * 503, 160 * 500));
    }

    #[test]
    fn the_error_of_the_timeline_stays_below_a_frame() {
        let mut clock = MediaClock::new(8000);
        // A sender 1 % slow: its stamps outrun its samples.
        for i in 0..5000u64 {
            let stamp = 100 + i * 202 / 10;
            let Place::At { time, .. } = clock.place(Some(i + 1), Some(stamp), 160) else { panic!() };
            assert!((time / 8).abs_diff(stamp - 100) <= 20, "frame {i}");
        }
    }

    #[test]
    fn repetitions_are_dropped_and_resets_go_on() {
        let mut clock = MediaClock::new(8000);
        for i in 0..400u64 {
            clock.place(Some(i + 1), Some(100 + 20 * i), 160);
        }
        assert_eq!(clock.place(Some(400), Some(8080), 160), Place::Duplicate);
        assert_eq!(clock.place(Some(399), Some(8060), 160), Place::Duplicate);
        assert_eq!(clock.place(Some(401), Some(8100), 160), at(64_000, 0));
        assert_eq!(clock.place(Some(1), Some(100), 160), Place::At { time: 64_160, gap: 0, reset: true });
        assert_eq!(clock.place(Some(2), Some(120), 160), at(64_320, 0));
        assert_eq!(clock.place(Some(2), Some(120), 160), Place::Duplicate);
    }

    #[test]
    fn absurd_stamps_do_not_move_time() {
        let mut clock = MediaClock::new(8000);
        clock.place(Some(1), Some(100), 160);
        assert_eq!(clock.place(Some(2), Some(u64::MAX), 160), Place::At { time: 160, gap: 0, reset: true });
        assert_eq!(clock.place(Some(3), Some(0), 160), Place::At { time: 320, gap: 0, reset: true });
        assert_eq!(clock.place(Some(4), None, 160), at(480, 0));
        assert_eq!(clock.place(Some(4), None, 160), Place::Duplicate);
        assert_eq!(clock.place(None, Some(40), 160), at(640, 0));
    }

    #[test]
    fn chunk_numbers_alone_never_stop_the_sound() {
        let mut clock = MediaClock::new(8000);
        for i in 0..100u64 {
            assert_eq!(clock.place(Some(1), Some(100 + 20 * i), 160), at(i * 160, 0));
        }
    }
}
