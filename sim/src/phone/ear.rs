//! When somebody is heard speaking: the caller's ear, deciding from the level of 20 ms frames.

use std::time::Duration;

/// The level above which a frame is sound: -44 dBFS, well above G.711's idle noise and below the quietest syllables of recorded speech.
const LOUD_RMS: f64 = 200.0;

/// How long it must be quiet before speech is over: longer than the stops inside words and the short pauses between them.
pub const HANGOVER: Duration = Duration::from_millis(300);

const FRAME: Duration = Duration::from_millis(20);

/// A change of what is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Speech began with the frame that began at this time.
    On(Duration),
    /// Speech ended with the frame that ended at this time, one [`HANGOVER`] ago.
    Off(Duration),
}

/// Follows one voice. Times are those of the frames' starts, on any axis.
#[derive(Debug, Default)]
pub struct Ear {
    since: Option<Duration>,
    last_loud: Option<Duration>,
    now: Duration,
}

impl Ear {
    /// Takes the frame that begins at `at`.
    pub fn hear(&mut self, at: Duration, frame: &[i16]) -> Option<Heard> {
        self.now = at + FRAME;
        let energy: f64 = frame.iter().map(|&s| f64::from(s).powi(2)).sum();
        if (energy / frame.len().max(1) as f64).sqrt() > LOUD_RMS {
            self.last_loud = Some(self.now);
            if self.since.is_none() {
                self.since = Some(at);
                return Some(Heard::On(at));
            }
            return None;
        }
        let end = self.last_loud.filter(|&end| self.since.is_some() && self.now - end >= HANGOVER)?;
        self.since = None;
        Some(Heard::Off(end))
    }

    /// How long the present utterance has lasted; nothing while it is quiet.
    pub fn speaking_for(&self) -> Option<Duration> {
        Some(self.now.saturating_sub(self.since?))
    }

    /// How long it has been quiet; since the beginning if nothing was heard yet.
    pub fn quiet_for(&self) -> Duration {
        self.now.saturating_sub(self.last_loud.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn speech_begins_at_once_and_ends_where_it_ended() {
        let mut ear = Ear::default();
        let mut events = vec![];
        for n in 0..100u64 {
            // 200 ms of speech from 400 ms on, a stop of 100 ms, and 100 ms more.
            let loud = (20..30).contains(&n) || (35..40).contains(&n);
            events.extend(ear.hear(ms(20 * n), &[if loud { 3_000 } else { 30 }; 160]));
            if n == 29 {
                assert_eq!((ear.speaking_for(), ear.quiet_for()), (Some(ms(200)), ms(0)));
            }
        }
        assert_eq!(events, [Heard::On(ms(400)), Heard::Off(ms(800))]);
        assert_eq!((ear.speaking_for(), ear.quiet_for()), (None, ms(1_200)));
    }
}
